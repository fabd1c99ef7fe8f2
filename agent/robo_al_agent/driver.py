"""The contract of a driver, on one screen. No driver needs to import it.

A driver is constructed with the parameters that AGENT.yaml gives it, as keyword arguments, and
touches no device before `connect`. It is called from one thread at a time, except `cancel`.
Whatever goes wrong at the device is a `DriverError` (or any exception), or a latched `fault()`;
a value that was not read now is never returned as if it had been.

Each call has a deadline, which `RobotSpec` declares: a call that takes longer is a fault, and one
that does not come back ends the agent's process, for nothing else can end it.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from robo_al_agent.robot import (
    Array,
    Ended,
    Fault,
    JointTrajectory,
    Options,
    RobotSpec,
    Sample,
    Tolerance,
)


@runtime_checkable
class RobotDriver(Protocol):
    """Reads and commands a robot."""

    def describe(self) -> RobotSpec:
        """Say what the robot is; may be called before `connect`, and does not change."""

    def connect(self) -> None:
        """Connect, and arm the device's watchdog where it has one; moves nothing."""

    def read(self) -> Sample:
        """Return a reading taken now; raises where there is none."""

    def command(self, target: Array, seconds: float) -> Array:
        """Send a command [J], to be reached `seconds` from now; return what was really sent.

        What was sent differs from the target where the device rounds or clips it.
        """

    def safe_stop(self) -> None:
        """Decelerate and hold the position; returns at once or when at rest. Never torque off."""

    def release(self) -> None:
        """Torque off: an arm falls. Called only after a person has said so."""

    def fault(self) -> Fault | None:
        """Return what is latched."""

    def clear_fault(self, operator: str) -> None:
        """Let the device forget its fault, on the word of a person."""

    def close(self) -> None:
        """Stop, and free what was connected; may be called twice. Afterwards nothing moves it."""


@runtime_checkable
class TrajectoryDriver(RobotDriver, Protocol):
    """A driver whose controller takes whole trajectories."""

    def execute(
        self,
        trajectory: JointTrajectory,
        tolerance: Tolerance,
        on_sample: Callable[[Sample], None],
    ) -> Ended:
        """Execute a trajectory; returns when it has ended one way or another."""

    def cancel(self) -> None:
        """End the trajectory that is being executed, from another thread: decelerate and hold."""


@runtime_checkable
class SupportsRecovery(Protocol):
    """A driver whose `command` keeps to the limits, and that can send a joint back into them."""

    def recover(self, target: Array, seconds: float) -> Array:
        """Send a command as `command` does, whose target [J] may lie outside the limits.

        The agent asks for it only on a person's word, in small steps that lead back inside.
        """


@runtime_checkable
class SupportsDevices(Protocol):
    """A driver of several devices, each with a driver of its own: see `composite`."""

    devices: Mapping[str, RobotDriver]
    """By name, in the order of their joints."""

    def overdue(self) -> Fault | None:
        """Return which device's call has not come back, if one should have; from any thread."""


@runtime_checkable
class SupportsLeading(Protocol):
    """A driver whose robot a person can lead by hand while it is read."""

    def begin_leading(self) -> None:
        """Let a person move the joints: torque off. `read` goes on, and no fault is latched."""

    def end_leading(self) -> None:
        """Hold the robot where it is, with torque on; moves nothing."""


@runtime_checkable
class SupportsReset(Protocol):
    """A driver that can put its scene at a start by itself: a simulated robot."""

    def reset(self, options: Options, seed: int) -> None:
        """Put robot and scene at the start that the options say."""
