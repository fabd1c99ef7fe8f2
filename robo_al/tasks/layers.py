"""An env and the wrappers around it: what is seen through them, and what is not."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import wrappers

from robo_al.encoding.adapted import Adapted
from robo_al.encoding.camera import Camera

Env = gymnasium.Env[Any, Any]


class Lent(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An env of `robo_al.tasks.shelf`: it is not reset again to a start where it still is.

    A start is looked at before a rollout is proposed from it; where a reset takes seconds, the
    rollout that follows is to have the same one.
    """

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self.offers: Any = None
        """What it offers, once that was looked at (`robo_al.tasks.offers`)."""
        self._start: tuple[Any, Any, Any] | None = None
        """What was asked for last, and what came of it; None since the first step."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the env, or tell again where it is."""
        if seed is not None and self._start is not None and self._start[0] == (seed, options):
            return self._start[1].copy(), self._start[2]
        self._start = None
        observation, info = self.env.reset(seed=seed, options=options)
        self._start = ((seed, options), np.array(observation), info)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the env."""
        self._start = None
        return self.env.step(action)


def layers(env: Env) -> Iterator[Env]:
    """Yield the outermost wrapper, what it wraps, and so on; the env itself is the last."""
    yield env
    while isinstance(env, gymnasium.Wrapper):
        env = env.env
        yield env


def clear_layers(env: Env) -> Iterator[Env]:
    """Yield the layers of which the whole env is sent and answers the same.

    From outside up to the first wrapper that may change an action, an observation or a reward,
    which is the last: whatever it says of itself, it says of what it answers.
    """
    for layer in layers(env):
        yield layer
        if isinstance(layer, gymnasium.Wrapper) and not _is_transparent(layer):
            return


def own_layers(env: Env) -> Iterator[Env]:
    """Yield the layers whose words on steps may be ours: those that are clear, and flattened ones.

    What flattens an env's spaces is not of its maker, who may mean the flat numbers; whoever asks
    tries it. What is meant by an encoder that somebody chose is another observation.
    """
    for layer in clear_layers(env):
        yield layer
        if isinstance(layer, Adapted) and not layer.only_limits and not layer.is_encoded:
            yield from own_layers(layer.env)


def camera_in(env: Env) -> Camera | None:
    """Return what sees the pictures that an env shows, if it does."""
    cameras = (layer.camera for layer in layers(env) if isinstance(layer, Adapted))
    return next(cameras, None)


def is_bare(env: Env) -> bool:
    """Whether no wrapper changes what the env is sent and what it answers."""
    return any(layer is env.unwrapped for layer in clear_layers(env))


def time_limit(env: Env) -> int | None:
    """Return the steps after which a `TimeLimit` among the layers breaks a rollout off."""
    limits = [
        layer._max_episode_steps for layer in layers(env) if isinstance(layer, wrappers.TimeLimit)
    ]
    return min(limits, default=None)


def _is_transparent(wrapper: "gymnasium.Wrapper[Any, Any, Any, Any]") -> bool:
    known = (
        Lent,
        wrappers.TimeLimit,
        wrappers.OrderEnforcing,
        wrappers.PassiveEnvChecker,
        wrappers.RecordEpisodeStatistics,
    )
    if isinstance(wrapper, known):
        return True
    if isinstance(wrapper, Adapted):
        return wrapper.only_limits
    kind, base = type(wrapper), gymnasium.Wrapper
    same_spaces = wrapper._observation_space is None and wrapper._action_space is None
    return same_spaces and all(
        getattr(kind, name) is getattr(base, name)
        for name in ("step", "reset", "observation_space", "action_space")
    )
