"""Steps of random actions in an env, to find out what it does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from robo_al.errors import EnvFault, PluginError
from robo_al.tasks.boxes import random_action
from robo_al.tasks.layers import Env

Array: TypeAlias = NDArray[np.float64]
LONGEST, ROLLOUTS = 1000, 5
"""Steps, and rollouts, for which it is looked when an env breaks one off."""


class Tried(NamedTuple):
    """T steps of one rollout, float64."""

    observations: Array
    """[T,O]"""
    actions: Array
    """[T,A]"""
    next_observations: Array
    """[T,O]"""
    rewards: Array
    """[T]"""
    terminated: Array
    """[T] 1 where the step ended the task, else 0; only the last one can."""
    truncated: bool
    """Whether the env broke the rollout off after the last of them."""


class Ending(NamedTuple):
    """How rollouts of random actions ended."""

    truncated_after: int | None
    """Steps of the first that was broken off; None: none was, within `LONGEST` steps."""
    terminated: bool
    """Whether one ended by itself before."""


class _Wrong(Exception):
    """What a method of an env gave cannot be."""


def play(env: Env, most: int, seed: int = 0) -> Tried:
    """Reset an env, and step it at most so often.

    Raises:
        PluginError: it raises, or what it answers cannot be; says which method of which env.
    """
    rng, rows = np.random.default_rng(seed), list[Any]()
    over = truncated = False
    with trying(env, "reset"):
        before = own_copy(env.reset(seed=seed)[0])
    while len(rows) < most and not over:
        action = random_action(env.action_space, rng)
        with trying(env, "step"):
            observation, answered, terminated, truncated, _ = env.step(action.copy())
            after, reward = own_copy(observation), np.asarray(answered, dtype=np.float64)
            if after.shape != before.shape:
                raise _Wrong(f"the observation has shape {after.shape}, not {before.shape}")
            if reward.ndim or not np.isfinite(reward):
                raise _Wrong(f"a reward of {answered!r}")
        rows.append((before, action, after, reward, bool(terminated)))
        before, over = after, bool(terminated or truncated)
    columns = [np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)]
    observations, actions, following, rewards, ends = columns
    return Tried(observations, actions, following, rewards, ends, bool(truncated))


def ending(env: Env) -> Ending:
    """Return how rollouts of random actions end by themselves; raises like `play`."""
    left, terminated = LONGEST, False
    for seed in range(ROLLOUTS):
        tried = play(env, left, seed)
        if tried.truncated:
            return Ending(len(tried.rewards), terminated)
        terminated = terminated or bool(tried.terminated.any())
        left -= len(tried.rewards)
        if not left:
            break
    return Ending(None, terminated)


def own_copy(observation: Any) -> Array:
    """Return an observation in an array of its own: an env may fill the same one again."""
    return np.array(observation, dtype=np.float64)


@contextmanager
def trying(env: Env, method: str) -> Iterator[None]:
    """Say of which method of which env it was, if anything is wrong."""
    name = f"{type(env.unwrapped).__qualname__}.{method}"
    try:
        yield
    except _Wrong as error:
        raise PluginError(f"{name}: {error}") from None
    except EnvFault as error:  # said in another process, and with words for people
        raise PluginError(f"{name}: {error}") from error
    except Exception as error:
        raise PluginError(f"{name}: raised {type(error).__name__}: {error}") from error
