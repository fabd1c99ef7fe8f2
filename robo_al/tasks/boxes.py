"""The spaces that a campaign needs, actions that are within them, and what to write for others."""

from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Shaped

from robo_al.encoding.flatten import has_pictures, is_plain, leaves
from robo_al.errors import ConfigError, PluginError
from robo_al.tasks.layers import Env

Limit = Float[np.ndarray, "A"]


def boxes(env: Env, name: str) -> tuple[spaces.Box, spaces.Box]:
    """Return the observation space and the action space of an env, flat boxes both.

    An env that `robo_al.plugins` made has them, as far as its own spaces and its spec allow.

    Args:
        env: whose.
        name: of the env, for messages.

    Raises:
        PluginError: the env does not say its spaces.
        ConfigError: a space that is no flat box, or an unbounded action; says what to write.
    """
    observation, action = (_space(env, which, name) for which in ("observation", "action"))
    if not isinstance(observation, spaces.Box) or len(observation.shape) != 1:
        wrong = f"its observation space is {observation}; a flat Box is needed"
        raise ConfigError(f"env {name}: {wrong}. {_encoded(observation)}")
    if not isinstance(action, spaces.Box) or len(action.shape) != 1 or not action.is_bounded():
        wrong = f"its action space is {action}; a flat Box with limits is needed"
        raise ConfigError(f"env {name}: {wrong}. {_limited(action)}")
    return observation, action


def within(
    asked: Float[np.ndarray, "*T A"], low: Limit, high: Limit, dtype: str
) -> Shaped[np.ndarray, "*T A"]:
    """Return the actions nearest to those asked for that the action space contains.

    Args:
        asked: actions, finite.
        low: limits of the action space.
        high: likewise.
        dtype: of the action space: an env is sent what it declares.
    """
    limited = np.clip(asked, low, high)
    sent = (np.rint(limited) if np.dtype(dtype).kind in "iu" else limited).astype(dtype)
    # Once more after the cast, whose rounding is not to leave the limits.
    allowed: np.ndarray = np.clip(sent, low.astype(dtype), high.astype(dtype))
    return allowed


def random_action(space: spaces.Space[Any], rng: np.random.Generator) -> Shaped[np.ndarray, "A"]:
    """Draw an action that a bounded box contains."""
    assert isinstance(space, spaces.Box)
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    return within(rng.uniform(low, high), low, high, np.dtype(space.dtype).name)


def _space(env: Env, which: str, name: str) -> spaces.Space[Any]:
    space = getattr(env, f"{which}_space", None)
    if not isinstance(space, spaces.Space):
        raise PluginError(
            f"env {name}: {type(env.unwrapped).__name__} has no {which}_space; every "
            f"gymnasium.Env says it: self.{which}_space = gymnasium.spaces.Box(low, high, (size,))"
        )
    return space


# ---------------------------------------------------------------- what to write


def _wrapped(wrapper: str) -> str:
    return f"Name a function of a file, env: my/env.py:make, that returns {wrapper}"


def _encoded(space: spaces.Space[Any]) -> str:
    """Return what makes a flat box of a space of observations."""
    own = "a class with `channels` and `encode`, as in docs/plugins.md"
    named = f"Name what makes numbers of it, `encoder: my/encoder.py:Mine` ({own})"
    if not (is_plain(space) and has_pictures(space)):
        return named
    shipped = "`encoder: {name: downscale, size: 8}` for the brightness of 8 x 8 fields"
    return f"{named}; {shipped}, `encoder: flatten` for every pixel"


def _limited(space: spaces.Space[Any]) -> str:
    """Return what makes a bounded flat box of a space of actions."""
    if not is_plain(space):
        box = "gymnasium.spaces.Box(low, high, (size,))"
        return _wrapped(f"gymnasium.wrappers.TransformAction(env, function, {box})")
    choices = [leaf for leaf in leaves(space) if not isinstance(leaf, spaces.Box)]
    what = " (a choice among n cuts them into n equal parts)" if choices else ""
    return (
        f"Say the limits between which actions are chosen{what}: `action_limits: [-1, 1]` in the "
        "configuration, or a pair for each of them, `action_limits: [[-1, 1], [0, 2]]`"
    )
