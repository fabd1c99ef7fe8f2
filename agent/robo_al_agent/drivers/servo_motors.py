"""One servo as the joint that it moves: the parameter `motors` of the drivers of serial servos.

An entry is a joint in rad or, with `kind: gripper`, a gripper in a unit of its own:

    shoulder_pan: {id: 1, low: -1.9, high: 1.9, zero: 2048}
    gripper: {kind: gripper, id: 6, closed: 2010, open: 3105}                     # % of its opening
    gripper: {kind: gripper, id: 6, closed: 2010, open: 3105, opening: 0.07}      # m
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Field, FiniteFloat
from pydantic.dataclasses import dataclass as validated

from robo_al_agent.drivers.parameters import checked_entries
from robo_al_agent.drivers.servo_registers import TURN
from robo_al_agent.errors import SetupError
from robo_al_agent.robot import Fault, Joint

RADIANS = 2 * math.pi / TURN
"""Of one tick."""
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Id: TypeAlias = Annotated[int, Field(ge=0, le=252)]
Tick: TypeAlias = Annotated[int, Field(ge=0, lt=TURN)]


@dataclass(frozen=True)
class Servo:
    """A motor as what it moves: position = (tick - origin) * scale."""

    id: int
    unit: str
    """Of positions: `rad`, `m` or `%`."""
    low: float
    high: float
    velocity: float
    """Largest speed (unit/s)."""
    origin: int
    """Tick at position 0."""
    scale: float
    """Unit of one tick; negative where the position falls as the ticks grow."""
    effort_per_unit: float
    homing_offset: int
    model: int | None

    @property
    def effort_scale(self) -> float:
        """N m or N of one unit of load, in the direction of the position."""
        return math.copysign(self.effort_per_unit, self.scale)

    @property
    def ticks_a_second(self) -> float:
        """Largest speed (ticks/s)."""
        return self.velocity / abs(self.scale)

    @property
    def range(self) -> tuple[int, int]:
        """Lowest and highest tick within the limits."""
        ends = sorted(self.origin + end / self.scale for end in (self.low, self.high))
        return math.ceil(ends[0] - 1e-6), math.floor(ends[1] + 1e-6)

    def tick(self, position: float) -> int:
        """Return the tick nearest to a position."""
        return round(self.origin + position / self.scale)

    def position(self, tick: int) -> float:
        """Return the position at a tick."""
        return (tick - self.origin) * self.scale

    def joint(self, name: str) -> Joint:
        """Return it as the rest of the agent knows it."""
        effort = math.inf if self.effort_per_unit else None
        return Joint(name, self.low, self.high, self.unit, self.velocity, effort)


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class Motor:
    """An entry of the parameter `motors`: a joint in rad."""

    id: Id
    low: FiniteFloat
    """Smallest position (rad)."""
    high: FiniteFloat
    """Largest position (rad)."""
    zero: int = TURN // 2
    """Tick at which the joint is at 0 rad."""
    direction: Literal[1, -1] = 1
    """-1 where the ticks fall as the joint's angle grows."""
    velocity: Positive = 3.0
    """Largest speed (rad/s); the motor itself keeps to it."""
    effort_per_unit: NotNegative = 0.0
    """N m of one unit of the load or current that the motor reports; 0: no effort is measured."""
    homing_offset: int = 0
    """What the motor's register held when the ticks of this entry were measured."""
    model: int | None = None
    """Model number that the motor must have; None: one that the driver knows."""
    kind: Literal["joint"] = "joint"

    def servo(self) -> Servo:
        """Return what it says, as the drivers use it."""
        return Servo(
            id=self.id,
            unit="rad",
            low=self.low,
            high=self.high,
            velocity=self.velocity,
            origin=self.zero,
            scale=self.direction * RADIANS,
            effort_per_unit=self.effort_per_unit,
            homing_offset=self.homing_offset,
            model=self.model,
        )


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class Gripper:
    """An entry of the parameter `motors`: a gripper, whose position is 0 where it is closed.

    Between its ends a position is even in ticks. With fingers that turn, metres are right at both
    ends, and in between as far as the jaw opens evenly.
    """

    id: Id
    closed: Tick
    """Tick at which it is closed."""
    open: Tick
    """Tick at which it is open."""
    opening: Positive | None = None
    """m between the fingers where it is open; None: positions are in % of the opening."""
    seconds: Positive = 1.0
    """That it takes from closed to open at least; the motor itself keeps to it."""
    effort_per_unit: NotNegative = 0.0
    """N m, or N of a gripper in m, of one unit of load; 0: no effort is measured."""
    homing_offset: int = 0
    """What the motor's register held when `closed` and `open` were measured."""
    model: int | None = None
    """Model number that the motor must have; None: one that the driver knows."""
    kind: Literal["gripper"] = "gripper"

    def servo(self) -> Servo:
        """Return what it says, as the drivers use it."""
        width = 100.0 if self.opening is None else self.opening
        return Servo(
            id=self.id,
            unit="%" if self.opening is None else "m",
            low=0.0,
            high=width,
            velocity=width / self.seconds,
            origin=self.closed,
            scale=width / (self.open - self.closed),
            effort_per_unit=self.effort_per_unit,
            homing_offset=self.homing_offset,
            model=self.model,
        )


@dataclass(frozen=True)
class MotorState:
    """One motor's answer, in its own direction."""

    tick: int
    speed: float
    """ticks/s"""
    load: float
    """In the unit that the motor reports."""
    fault: Fault | None
    """What the motor itself says is wrong."""


def checked_motors(motors: Mapping[str, Any]) -> dict[str, Servo]:
    """Return the parameter `motors`, checked.

    Raises:
        SetupError: naming every entry that cannot be used.
    """
    kinds: dict[str, type[Motor | Gripper]] = {"joint": Motor, "gripper": Gripper}
    entries = checked_entries("motors", kinds, motors)
    ids = [entry.id for entry in entries.values()]
    if len(set(ids)) < len(ids):
        raise SetupError(f"motors: ids {ids}; each may occur once")
    for name, entry in entries.items():
        if isinstance(entry, Gripper) and entry.open == entry.closed:
            raise SetupError(f"motors.{name}: open and closed are both tick {entry.open}")
    servos = {name: entry.servo() for name, entry in entries.items()}
    for name, servo in servos.items():
        lowest, highest = servo.range
        if servo.low >= servo.high:
            raise SetupError(f"motors.{name}: low {servo.low} is not below high {servo.high}")
        if lowest < 0 or highest >= TURN:
            told = f"low and high are ticks {lowest} to {highest}, outside 0 to {TURN - 1}"
            jump = "the encoder jumps from 4095 to 0 inside the joint's travel"
            mend = "move the jump by a homing offset (robo-al-agent setup), and measure zero anew"
            raise SetupError(f"motors.{name}: {told}: {jump}; {mend}, or choose narrower limits")
    return servos
