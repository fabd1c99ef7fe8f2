"""Where rollouts start: looked at before they are proposed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robo_al.seeds import integer
from robo_al.tasks.boxes import random_action
from robo_al.tasks.layers import Env
from robo_al.tasks.offers import offers_of
from robo_al.tasks.trial import own_copy, trying
from robo_al.types import Context

FOUND = (
    "the env does not start where a seed asks it to: each rollout is chosen for the start that is "
    "found after a reset; evaluations do not start alike, and neither do the runs of a comparison, "
    "so that differences between them show later; no rollout can be repeated, or drawn afterwards"
)
"""What a task loses whose starts cannot be asked for."""
_STEPS_BETWEEN = 3


def sample_contexts(env: Env, rngs: Sequence[np.random.Generator]) -> list[Context]:
    """Draw one start for each generator, where the env's own reset puts it and nowhere else."""
    return contexts_from(env, [integer(rng) for rng in rngs])


def contexts_from(env: Env, seeds: Sequence[int]) -> list[Context]:
    """Return the starts where `env.reset(seed=...)` puts the env.

    Raises:
        PluginError: the reset raises.
    """
    context = offers_of(env).context
    contexts = []
    for seed in seeds:
        with trying(env, "reset"):
            observation = own_copy(env.reset(seed=seed)[0])
        contexts.append(Context(observation, seed, plain_options(context()) if context else {}))
    return contexts


def finds_starts(env: Env) -> bool:
    """Return whether no seed and no options bring a start back: most robots, many simulators.

    The env is reset and stepped a few times between two resets that ask for the same.

    Raises:
        PluginError: it raises.
    """
    rng = np.random.default_rng(0)
    seed = integer(rng)
    (first,) = contexts_from(env, [seed])
    for _ in range(_STEPS_BETWEEN):
        with trying(env, "step"):
            *_, terminated, truncated, _ = env.step(random_action(env.action_space, rng))
        if terminated or truncated:
            break
    with trying(env, "reset"):
        env.reset(seed=seed + 1)
        again = own_copy(env.reset(seed=seed, options=dict(first.options) or None)[0])
    return not np.array_equal(first.observation, again)


def plain_options(options: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Return options of a reset as numbers that nobody else can change."""
    return {key: tuple(map(float, value)) for key, value in options.items()}
