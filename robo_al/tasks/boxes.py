"""The spaces that a campaign needs, actions that are within them, and what to write for others."""

import math
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Shaped

from robo_al.errors import ConfigError, PluginError
from robo_al.tasks.layers import Env

Limit = Float[np.ndarray, "A"]


def boxes(env: Env, name: str) -> tuple[spaces.Box, spaces.Box]:
    """Return the observation space and the action space of an env, flat boxes both.

    Args:
        env: whose.
        name: of the env, for messages.

    Raises:
        PluginError: the env does not say its spaces.
        ConfigError: a space that is no flat box, or an unbounded action; says what to write.
    """
    observation, action = (_space(env, which, name) for which in ("observation", "action"))
    for which, space, wrapper in (
        ("observation", observation, _flat_observation),
        ("action", action, _flat_action),
    ):
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            wrong = f"its {which} space is {space}; a flat Box is needed"
            raise ConfigError(f"env {name}: {wrong}. {_advice(wrapper(space))}")
    assert isinstance(observation, spaces.Box) and isinstance(action, spaces.Box)
    if not action.is_bounded():
        wrong = f"its action space {action} has no limits; set them"
        raise ConfigError(f"env {name}: {wrong}. {_advice(_limited(action))}")
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


def _advice(wrapped: str) -> str:
    return f"Name a function of a file, env: my/env.py:make, that returns {wrapped}"


def _flat_observation(space: spaces.Space[Any]) -> str:
    if space.is_np_flattenable:
        return "gymnasium.wrappers.FlattenObservation(env)"
    kept = "gymnasium.spaces.Box(low, high, (size,))"
    return f"gymnasium.wrappers.TransformObservation(env, function, {kept})"


def _flat_action(space: spaces.Space[Any]) -> str:
    """Return the wrapper that makes a space of actions a flat box."""
    function, box = "function", "Box(low, high, (size,))"
    match space:
        case spaces.Box():
            function = f"lambda a: a.reshape({space.shape})"
            limits = f"{float(space.low.min()):g}, {float(space.high.max()):g}"
            limits = limits if space.is_bounded() else "low, high"
            box = f"Box({limits}, ({math.prod(space.shape)},))"
        case spaces.Discrete():
            first, last = int(space.start), int(space.start + space.n - 1)
            function = f"lambda a: min(int(a[0] // 1), {last})"
            box = f"Box({first}, {last + 1}, (1,))"
        case spaces.MultiDiscrete() if space.nvec.ndim == 1:
            last = (space.start + space.nvec - 1).tolist()
            function = f"lambda a: numpy.minimum(a // 1, {last}).astype('{space.dtype}')"
            limits = f"{_array(space.start)}, {_array(space.start + space.nvec)}"
            box = f"Box({limits}, dtype='float32')"
        case spaces.MultiBinary() if len(space.shape) == 1:
            function = f"lambda a: (a > 0).astype('{space.dtype}')"
            box = f"Box(-1, 1, {space.shape})"
        case spaces.Dict() | spaces.Tuple() if _is_bounded(space):
            function = "lambda a: gymnasium.spaces.unflatten(env.action_space, a)"
            flat = "gymnasium.spaces.flatten_space(env.action_space)"
            return f"gymnasium.wrappers.TransformAction(env, {function}, {flat})"
    return f"gymnasium.wrappers.TransformAction(env, {function}, gymnasium.spaces.{box})"


def _limited(space: spaces.Box) -> str:
    box = f"gymnasium.spaces.Box(low, high, {space.shape}, '{np.dtype(space.dtype).name}')"
    return f"gymnasium.wrappers.TransformAction(env, lambda a: a, {box})"


def _is_bounded(space: spaces.Space[Any]) -> bool:
    """Whether a space is made of boxes with limits only."""
    match space:
        case spaces.Dict():
            return all(map(_is_bounded, space.spaces.values()))
        case spaces.Tuple():
            return all(map(_is_bounded, space.spaces))
    return isinstance(space, spaces.Box) and space.is_bounded()


def _array(values: np.ndarray) -> str:
    return f"numpy.array({values.tolist()})"
