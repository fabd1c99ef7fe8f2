"""Where rollouts start: looked at before they are proposed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robo_al.seeds import integer
from robo_al.tasks.layers import Env
from robo_al.tasks.offers import offers_of
from robo_al.types import Context


def sample_contexts(env: Env, rngs: Sequence[np.random.Generator]) -> list[Context]:
    """Draw one start for each generator, where the env's own reset puts it and nowhere else."""
    return contexts_from(env, [integer(rng) for rng in rngs])


def contexts_from(env: Env, seeds: Sequence[int]) -> list[Context]:
    """Return the starts where `env.reset(seed=...)` puts the env."""
    context = offers_of(env).context
    contexts = []
    for seed in seeds:
        observation, _ = env.reset(seed=seed)
        # A copy: an env may return one array of its own again and again.
        observation = np.array(observation, dtype=np.float64)
        contexts.append(Context(observation, seed, plain_options(context()) if context else {}))
    return contexts


def plain_options(options: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Return options of a reset as numbers that nobody else can change."""
    return {key: tuple(map(float, value)) for key, value in options.items()}
