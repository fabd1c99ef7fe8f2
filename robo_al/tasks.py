"""What the stations need to know of a `gymnasium.Env`, read off the env itself."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from robo_al.errors import ConfigError
from robo_al.plugins import known_reward
from robo_al.protocols import (
    SupportsChannels,
    SupportsConstraint,
    SupportsContext,
    SupportsEpisodes,
    SupportsReward,
)
from robo_al.seeds import integer
from robo_al.types import Channel, Context, EnvSpec, Task

Env = gymnasium.Env[Any, Any]


def describe(env: Env, spec: EnvSpec) -> Task:
    """Describe an env: what it does not say of itself gets a plain default.

    Args:
        env: with a flat continuous observation and action.
        spec: what it was made from. An env that is not registered with Gymnasium says its
            `horizon` (steps) and, if it has one, its `threshold` (return) as attributes.

    Raises:
        ConfigError: a space that is no flat box, an unbounded action, or no horizon.
    """
    inner, name = env.unwrapped, spec.name
    for which, space in (("observation", env.observation_space), ("action", env.action_space)):
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise ConfigError(f"env {name}: its {which} space is {space}; a flat Box is needed")
    action_space, observation_space = env.action_space, env.observation_space
    assert isinstance(action_space, spaces.Box) and isinstance(observation_space, spaces.Box)
    if not action_space.is_bounded():
        raise ConfigError(f"env {name}: its action space {action_space} has no limits; set them")
    horizon = getattr(inner, "horizon", None)
    horizon = horizon or (env.spec.max_episode_steps if env.spec else None)
    if not horizon:
        raise ConfigError(
            f"env {name}: no horizon; give it an attribute `horizon` (steps of an evaluation)"
        )
    threshold = getattr(inner, "threshold", None)
    if threshold is None and env.spec:
        threshold = env.spec.reward_threshold
    size = observation_space.shape[0]
    channels = (
        inner.channels
        if isinstance(inner, SupportsChannels)
        else tuple(Channel(f"observation[{i}]", "1") for i in range(size))
    )
    if len(channels) != size:
        raise ConfigError(f"env {name}: {len(channels)} channels for {size} observations")
    return Task(
        env=spec,
        channels=channels,
        action_low=action_space.low.astype(np.float64),
        action_high=action_space.high.astype(np.float64),
        horizon=int(horizon),
        control_period=float(getattr(inner, "dt", 1.0)),
        reward=inner.reward if isinstance(inner, SupportsReward) else known_reward(spec),
        threshold=threshold,
        constraint=inner.constraint if isinstance(inner, SupportsConstraint) else None,
        starts=len(inner.episodes) if isinstance(inner, SupportsEpisodes) else None,
        held_out=inner.held_out if isinstance(inner, SupportsEpisodes) else (),
    )


def sample_contexts(env: Env, rngs: Sequence[np.random.Generator]) -> list[Context]:
    """Draw one start for each generator, where the env's own reset puts it and nowhere else."""
    return contexts_from(env, [integer(rng) for rng in rngs])


def contexts_from(env: Env, seeds: Sequence[int]) -> list[Context]:
    """Return the starts where `env.reset(seed=...)` puts the env."""
    contexts = []
    for seed in seeds:
        observation, _ = env.reset(seed=seed)
        inner = env.unwrapped
        options = inner.context() if isinstance(inner, SupportsContext) else {}
        contexts.append(
            Context(
                observation=np.asarray(observation, dtype=np.float64),
                seed=seed,
                options={key: tuple(map(float, value)) for key, value in options.items()},
            )
        )
    return contexts
