"""When a rollout ends by itself, where that is a known function of what is observed.

An imagined world and a recorded step both need to know it: beyond an end there is nothing to earn.
A task says it by a method `termination`; of Gymnasium's own tasks that end by themselves some are
known here. For any other an imagined world never ends by itself.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from robo_al.plugins import GYMNASIUM
from robo_al.tasks.layers import is_bare
from robo_al.tasks.offers import offers_of
from robo_al.tasks.shelf import borrowed
from robo_al.types import Task
from robo_al_envs.arrays import namespace

Termination = Callable[[Any, Any, Any], Any]
"""(observation [...,O], action [...,A], next observation [...,O]) -> whether it ended [...]."""


def hopper_v5(
    terminate_when_unhealthy: bool = True,
    healthy_state_range: Sequence[float] = (-100.0, 100.0),
    healthy_z_range: Sequence[float] = (0.7, math.inf),
    healthy_angle_range: Sequence[float] = (-0.2, 0.2),
    exclude_current_positions_from_observation: bool = True,
    **_: Any,
) -> Termination | None:
    """Return when Hopper-v5 ends: fallen, tilted, or out of its range; None where it never does.

    Observed velocities are clipped to 10: a faster one is taken to be within its range.
    """
    if not terminate_when_unhealthy:
        return None
    height = 0 if exclude_current_positions_from_observation else 1

    def termination(observation: Any, action: Any, next_observation: Any) -> Any:
        z, angle = next_observation[..., height], next_observation[..., height + 1]
        state = next_observation[..., height + 1 :]
        healthy = (healthy_z_range[0] < z) & (z < healthy_z_range[1])
        healthy &= (healthy_angle_range[0] < angle) & (angle < healthy_angle_range[1])
        inside = (healthy_state_range[0] < state) & (state < healthy_state_range[1])
        return ~(healthy & inside.all(-1))

    return termination


def inverted_pendulum_v5(**_: Any) -> Termination:
    """Return when InvertedPendulum-v5 ends: its pole is more than 0.2 rad from upright."""

    def termination(observation: Any, action: Any, next_observation: Any) -> Any:
        finite = namespace(next_observation).isfinite(next_observation).all(-1)
        return ~(finite & (abs(next_observation[..., 1]) <= 0.2))

    return termination


KNOWN: dict[str, Callable[..., Termination | None]] = {
    f"{GYMNASIUM}Hopper-v5": hopper_v5,
    f"{GYMNASIUM}InvertedPendulum-v5": inverted_pendulum_v5,
}


def termination_of(task: Task) -> Termination | None:
    """Return when a task's rollouts end by themselves; None: never, or it is not known."""
    with borrowed(task.env) as env:
        own, bare = offers_of(env).termination, is_bare(env)
    if own is not None:
        return own
    factory = KNOWN.get(task.env.name) if bare and task.env.python is None else None
    return None if factory is None else factory(**task.env.parameters)
