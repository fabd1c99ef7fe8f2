"""When Gymnasium's own MuJoCo tasks end by themselves, as far as that is observed.

Each takes the parameters of its env and returns the function, or None where the env never ends by
itself. Parameters by which no end is decided are taken and not looked at.
"""

import math
from collections.abc import Sequence
from typing import Any

from robo_al.types import TerminationFunction
from robo_al_envs.arrays import namespace

LINK = 0.6
"""Length of each link of InvertedDoublePendulum-v5, m."""


def hopper_v5(
    terminate_when_unhealthy: bool = True,
    healthy_state_range: Sequence[float] = (-100.0, 100.0),
    healthy_z_range: Sequence[float] = (0.7, math.inf),
    healthy_angle_range: Sequence[float] = (-0.2, 0.2),
    exclude_current_positions_from_observation: bool = True,
    **_: Any,
) -> TerminationFunction | None:
    """Return when Hopper-v5 ends: fallen, tilted, or out of its range.

    Observed velocities are clipped to 10: a faster one is taken to be within its range.
    """
    if not terminate_when_unhealthy:
        return None
    height = 0 if exclude_current_positions_from_observation else 1

    def termination(observation: Any, action: Any, next_observation: Any) -> Any:
        z, angle = next_observation[..., height], next_observation[..., height + 1]
        state = next_observation[..., height + 1 :]
        healthy = _inside(z, healthy_z_range) & _inside(angle, healthy_angle_range)
        return ~(healthy & _inside(state, healthy_state_range).all(-1))

    return termination


def walker2d_v5(
    terminate_when_unhealthy: bool = True,
    healthy_z_range: Sequence[float] = (0.8, 2.0),
    healthy_angle_range: Sequence[float] = (-1.0, 1.0),
    exclude_current_positions_from_observation: bool = True,
    **_: Any,
) -> TerminationFunction | None:
    """Return when Walker2d-v5 ends: fallen, too high, or tilted."""
    if not terminate_when_unhealthy:
        return None
    height = 0 if exclude_current_positions_from_observation else 1

    def termination(observation: Any, action: Any, next_observation: Any) -> Any:
        z, angle = next_observation[..., height], next_observation[..., height + 1]
        return ~(_inside(z, healthy_z_range) & _inside(angle, healthy_angle_range))

    return termination


def ant_v5(
    terminate_when_unhealthy: bool = True,
    healthy_z_range: Sequence[float] = (0.2, 1.0),
    exclude_current_positions_from_observation: bool = True,
    **_: Any,
) -> TerminationFunction | None:
    """Return when Ant-v5 ends: its torso too low or too high, or a number not finite."""
    if not terminate_when_unhealthy:
        return None
    height = 0 if exclude_current_positions_from_observation else 2
    low, high = healthy_z_range

    def termination(observation: Any, action: Any, next_observation: Any) -> Any:
        z = next_observation[..., height]
        return ~(_finite(next_observation) & (low <= z) & (z <= high))

    return termination


def humanoid_v5(
    terminate_when_unhealthy: bool = True,
    healthy_z_range: Sequence[float] = (1.0, 2.0),
    exclude_current_positions_from_observation: bool = True,
    **_: Any,
) -> TerminationFunction | None:
    """Return when Humanoid-v5 ends: its torso too low or too high."""
    if not terminate_when_unhealthy:
        return None
    height = 0 if exclude_current_positions_from_observation else 2

    def termination(observation: Any, action: Any, next_observation: Any) -> Any:
        return ~_inside(next_observation[..., height], healthy_z_range)

    return termination


def inverted_pendulum_v5(**_: Any) -> TerminationFunction:
    """Return when InvertedPendulum-v5 ends: its pole is more than 0.2 rad from upright."""

    def termination(observation: Any, action: Any, next_observation: Any) -> Any:
        return ~(_finite(next_observation) & (abs(next_observation[..., 1]) <= 0.2))

    return termination


def inverted_double_pendulum_v5(
    xml_file: str | None = None, **_: Any
) -> TerminationFunction | None:
    """Return when InvertedDoublePendulum-v5 ends: its tip is at 1 m or below.

    With a model of one's own (`xml_file`) the links' lengths are not known: None.
    """
    if xml_file is not None:
        return None

    def termination(observation: Any, action: Any, next_observation: Any) -> Any:
        sine, sine_2, cosine, cosine_2 = (next_observation[..., i] for i in range(1, 5))
        return LINK * (cosine + cosine * cosine_2 - sine * sine_2) <= 1

    return termination


def _inside(values: Any, bounds: Sequence[float]) -> Any:
    """Return whether values are within an open interval; NaN is not."""
    return (bounds[0] < values) & (values < bounds[1])


def _finite(observations: Any) -> Any:
    return namespace(observations).isfinite(observations).all(-1)
