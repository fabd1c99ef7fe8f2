"""One servo as the joint that it moves: the parameter `motors` of the drivers of serial servos."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, FiniteFloat
from pydantic.dataclasses import dataclass as validated

from robo_al_agent.drivers.parameters import checked_entries
from robo_al_agent.errors import DriverError, SetupError
from robo_al_agent.robot import Fault

TURN = 4096
"""Ticks of a whole turn."""
RADIANS = 2 * math.pi / TURN
"""Of one tick."""


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class Motor:
    """One joint's motor: an entry of the parameter `motors`."""

    id: Annotated[int, Field(ge=0, le=252)]
    low: FiniteFloat
    """Smallest position (rad)."""
    high: FiniteFloat
    """Largest position (rad)."""
    zero: int = TURN // 2
    """Tick at which the joint is at 0 rad."""
    direction: Literal[1, -1] = 1
    """-1 where the ticks fall as the joint's angle grows."""
    velocity: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3.0
    """Largest speed (rad/s); the motor itself keeps to it."""
    effort_per_unit: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """N m of one unit of the load or current that the motor reports; 0: efforts read as 0."""

    def tick(self, position: float) -> int:
        """Return the tick nearest to a position (rad) that lies within the limits."""
        lowest, highest = self.range
        return min(max(round(self.zero + self.direction * position / RADIANS), lowest), highest)

    def position(self, tick: int) -> float:
        """Return the position (rad) at a tick."""
        return self.direction * (tick - self.zero) * RADIANS

    @property
    def range(self) -> tuple[int, int]:
        """Lowest and highest tick within the limits."""
        ends = sorted(self.zero + self.direction * end / RADIANS for end in (self.low, self.high))
        return math.ceil(ends[0] - 1e-6), math.floor(ends[1] + 1e-6)

    def check_limits(self, lowest: int, highest: int) -> None:
        """Refuse limits (ticks) of the motor itself, which would clip or drop goals silently.

        Raises:
            DriverError: the joint's limits go beyond them.
        """
        low, high = self.range
        if low < lowest or high > highest:
            told = f"goes from tick {lowest} to {highest}; low and high are ticks {low} to {high}"
            raise DriverError(f"motor {self.id}: {told}: narrow them, or calibrate the motor anew")


@dataclass(frozen=True)
class MotorState:
    """One motor's answer, in its own direction."""

    tick: int
    speed: float
    """rad/s"""
    load: float
    """In the unit that the motor reports."""
    fault: Fault | None
    """What the motor itself says is wrong."""


def checked_motors(motors: Mapping[str, Any]) -> dict[str, Motor]:
    """Return the parameter `motors`, checked.

    Raises:
        SetupError: naming every entry that cannot be used.
    """
    checked = checked_entries("motors", Motor, motors)
    ids = [motor.id for motor in checked.values()]
    if len(set(ids)) < len(ids):
        raise SetupError(f"motors: ids {ids}; each may occur once")
    for name, motor in checked.items():
        lowest, highest = motor.range
        if motor.low >= motor.high:
            raise SetupError(f"motors.{name}: low {motor.low} is not below high {motor.high}")
        if lowest < 0 or highest >= TURN:
            told = f"low and high are ticks {lowest} to {highest}, outside 0 to {TURN - 1}"
            raise SetupError(f"motors.{name}: {told}: choose another zero, or narrower limits")
    return checked
