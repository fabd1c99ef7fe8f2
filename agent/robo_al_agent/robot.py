"""What a robot is, as values: the words that drivers, envelope, journal and host share.

Axes: **J** joints (components of a command), **S** further sensors, **T** steps. SI units: rad or
m, rad/s, N m or N. A driver converts from and to its device's units.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

CommandKind: TypeAlias = Literal["position", "action"]
"""`position`: J joint positions. `action`: J numbers that only the device interprets (torques of a
Gymnasium env): the envelope then knows their range and rate of change, and nothing of motion."""

WatchdogKind: TypeAlias = Literal["controller", "device", "none"]
"""Who stops the robot when its commands cease: its controller, a register of its motors, nobody."""

OutcomeKind: TypeAlias = Literal[
    "SUCCEEDED",
    "REJECTED_ENVELOPE",
    "REJECTED_OPERATOR",
    "EXPIRED",
    "ABORTED_OPERATOR",
    "ABORTED_SAFETY",
    "LINK_LOST",
    "TOLERANCE_VIOLATED",
    "FAULTED",
    "ESTOP",
    "INTERRUPTED",
]
"""How the execution of a rollout ended; whether the task was solved is another question."""


@dataclass(frozen=True)
class Joint:
    """One component of a command."""

    name: str
    low: float
    """Smallest command that the device itself takes (rad or m)."""
    high: float
    unit: str = "rad"
    """`rad`, `m`, `%` (of a gripper's opening), or `1` for an action that has none."""
    velocity: float = float("inf")
    """Largest speed that the device itself allows (unit/s)."""
    effort: float | None = None
    """Largest torque or force that it measures (N m or N); None: its samples have no effort."""


@dataclass(frozen=True)
class Sensor:
    """One further number that every sample brings: an object's position, a force."""

    name: str
    unit: str


@dataclass(frozen=True)
class RobotSpec:
    """What a driver says of its robot, before it is connected or after."""

    name: str
    joints: tuple[Joint, ...]
    rate: float
    """Commands a second that the device is made for (Hz)."""
    watchdog: WatchdogKind
    watchdog_seconds: float | None
    """After which it acts; None where there is none."""
    stop_seconds: float
    """Within which `safe_stop` has brought the robot to rest."""
    command: CommandKind = "position"
    sensors: tuple[Sensor, ...] = ()
    experimental: bool = False
    """Whether it was never tried on the device or an emulation of it."""
    call_seconds: float = 1.0
    """Within which `read`, `command` and `fault` return or raise, also when the device is dead."""
    connect_seconds: float = 30.0
    """Within which `connect`, `clear_fault`, `release`, `reset`, `close` and what begins and ends
    leading by hand do."""


@dataclass(frozen=True)
class Sample:
    """One reading, all of it from the same instant as far as the device allows."""

    time_ns: int
    """`time.monotonic_ns()` of this machine when it was taken."""
    sequence: int
    """Grows by one with every new reading; the same number again means a stale one."""
    positions: Array
    """[J] rad or m."""
    velocities: Array
    """[J] rad/s or m/s."""
    efforts: Array
    """[J] N m or N; zeros where the device does not measure them."""
    sensors: Array
    """[S]"""
    device: str = ""
    """Of several devices, the one whose reading was the oldest when it came."""


@dataclass(frozen=True)
class Fault:
    """Why the robot must not move; stays until a person clears it."""

    code: str
    """Short and stable: `protective_stop`, `no_reply`, `overload`, `stale`, `estop`."""
    message: str
    """What happened and what to do about it."""


@dataclass(frozen=True)
class JointTrajectory:
    """Positions over time, for a controller that takes whole trajectories."""

    seconds: Array
    """[T] from the start, increasing; the first is above 0."""
    positions: Array
    """[T, J]"""
    velocities: Array
    """[T, J]"""


@dataclass(frozen=True)
class Tolerance:
    """How far from a trajectory the robot may be."""

    path: Array
    """[J] rad or m, at any time."""
    goal: Array
    """[J] rad or m, at the end."""
    goal_seconds: float
    """Seconds after the planned end within which it must be there."""


@dataclass(frozen=True)
class Ended:
    """How a trajectory's execution ended, as its driver saw it."""

    kind: OutcomeKind
    reason: str
    fraction: float
    """Share of the planned time that was executed, 0 to 1."""


Options: TypeAlias = Mapping[str, tuple[float, ...]]
"""What a rollout starts from: `{"joints": ..., "goal": ...}`."""
