"""Universal Robots' arms (CB3 and e-Series), joint positions by `servoJ`; client: ur-rtde.

`servoJ` holds its last target when commands cease. Above that a watchdog in the controller stops
the control script when this program or the network is gone.

`moveJ(path)` has no time law: the controller would retime what the envelope has checked. So this is
no `TrajectoryDriver`; whoever follows a trajectory streams it through `command`.

Tried with the real client against an emulated controller, not on an arm.
"""

import math
import time
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from robo_al_agent.devices.rest import await_rest, need_new_readings
from robo_al_agent.drivers.ur_connection import LOCAL, REPLY, START, Connection
from robo_al_agent.errors import DriverError, SetupError
from robo_al_agent.robot import Array, Fault, Joint, RobotSpec, Sample, Sensor
from robo_al_agent.settings.files import problems

JointName: TypeAlias = Literal[
    "shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3"
]
JOINTS: tuple[JointName, ...] = get_args(JointName)


class Limits(BaseModel):
    """What a command may ask of one joint: an entry of the parameter `joints`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: FiniteFloat = -2 * math.pi
    """Smallest position (rad)."""
    high: FiniteFloat = 2 * math.pi
    """Largest position (rad)."""
    velocity: float = Field(default=math.pi, gt=0, le=2 * math.pi)
    """Largest speed (rad/s); the first two joints of a UR10e and larger do 2.09."""
    newton_metres_per_ampere: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Effort of one ampere of motor current; 0: none is measured. The client reads no torques."""


class Settings(BaseModel):
    """The parameters that have limits of their own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    joints: dict[JointName, Limits]
    rate: float = Field(ge=1, le=500)
    lookahead_seconds: float = Field(ge=0.03, le=0.2)
    gain: float = Field(ge=100, le=2000)
    deceleration: float = Field(ge=0.1, le=150)
    watchdog_seconds: float = Field(ge=0.05, le=10)
    stale_seconds: float = Field(ge=0.01, le=10)


class UrRtde:
    """An arm of Universal Robots.

    Args:
        hostname: of the controller; it must be in remote control.
        name: of the robot.
        joints: limits of the joints that have others than a UR5e; see `Limits` and `JOINTS`.
        rate: commands a second (Hz).
        lookahead_seconds: over which `servoJ` smooths.
        gain: of `servoJ`.
        deceleration: of the tool when it is stopped (m/s^2).
        watchdog_seconds: without a message after which the controller stops the script.
        stale_seconds: without a new state from the controller after which that is a fault.

    Raises:
        SetupError: when a parameter cannot be used.
    """

    def __init__(
        self,
        hostname: str,
        *,
        name: str = "ur",
        joints: Mapping[str, Any] | None = None,
        rate: float = 125.0,
        lookahead_seconds: float = 0.1,
        gain: float = 300.0,
        deceleration: float = 4.0,
        watchdog_seconds: float = 0.5,
        stale_seconds: float = 0.2,
    ) -> None:
        try:
            self._settings = Settings.model_validate(
                {
                    "joints": joints or {},
                    "rate": rate,
                    "lookahead_seconds": lookahead_seconds,
                    "gain": gain,
                    "deceleration": deceleration,
                    "watchdog_seconds": watchdog_seconds,
                    "stale_seconds": stale_seconds,
                }
            )
        except ValidationError as error:
            raise SetupError(f"ur_rtde: {'; '.join(problems(error))}") from None
        for joint, one in self._settings.joints.items():
            if one.low >= one.high:
                raise SetupError(f"ur_rtde: joints.{joint}: low {one.low} is not below {one.high}")
        all_limits = [self._settings.joints.get(joint, Limits()) for joint in JOINTS]
        self._torque_constants = np.array([one.newton_metres_per_ampere for one in all_limits])
        self._spec = RobotSpec(
            name=name,
            joints=tuple(
                Joint(
                    joint,
                    one.low,
                    one.high,
                    velocity=one.velocity,
                    effort=math.inf if one.newton_metres_per_ampere else None,
                )
                for joint, one in zip(JOINTS, all_limits, strict=True)
            ),
            rate=rate,
            watchdog="controller",
            watchdog_seconds=watchdog_seconds,
            stop_seconds=0.5 + 3.0 / deceleration,  # the tool goes 3 m/s at most
            call_seconds=stale_seconds + REPLY + 0.5,
            connect_seconds=3 * START + 10.0,
            sensors=tuple(Sensor(f"{joint}_current", "A") for joint in JOINTS),
        )
        self._connection = Connection(hostname, watchdog_seconds)
        self._wanted = False
        """Whether it should be connected: then a closed connection is one that was lost."""
        self._fault: Fault | None = None
        self._stamp, self._sequence = -1.0, 0

    def describe(self) -> RobotSpec:
        """Say what the robot is; the sensors are the motors' currents."""
        return self._spec

    def connect(self) -> None:
        """Connect, start the control script and arm its watchdog.

        An arm that is not ready to move (stopped, powered off, in local control, its speed slider
        down) is connected, can be read, and has that as its fault.

        Raises:
            SetupError: without ur-rtde.
            DriverError: when the controller cannot be reached, or another program has the arm.
        """
        self._open(unlock=False)

    def read(self) -> Sample:
        """Return the controller's state, once there is one that was not returned before.

        Raises:
            DriverError: when there is none: the robot has a fault.
        """
        state = self._connection.state(self._stamp, self._settings.stale_seconds)
        self._latch(state.trouble(self._settings.stale_seconds))
        if state.stamp == self._stamp:
            raise DriverError(f"{self._connection.hostname}: the controller sent nothing new")
        self._stamp = state.stamp
        self._sequence += 1
        efforts = state.currents * self._torque_constants
        return Sample(
            state.stamp_ns,
            self._sequence,
            state.positions,
            state.velocities,
            efforts,
            state.currents,
        )

    def command(self, target: Array, seconds: float) -> Array:
        """Send joint positions [6] (rad).

        Raises:
            DriverError: when they are outside the limits, or the robot has a fault.
        """
        for joint, value in zip(self._spec.joints, target, strict=True):
            if not joint.low <= value <= joint.high:
                limits = f"[{joint.low:g}, {joint.high:g}]"
                raise DriverError(f"{joint.name}: {value:g} rad is outside its limits {limits}")
        fault = self._fault  # as the reading before this command found it
        sent = np.array(target, np.float64)
        shape = (seconds, self._settings.lookahead_seconds, self._settings.gain)
        if fault is None and self._connection.ask("servoJ", sent.tolist(), 0.0, 0.0, *shape):
            return sent
        fault = self.fault() or Fault("refused", "the control script did not take the command")
        raise DriverError(f"{self._connection.hostname}: {fault.code}: {fault.message}")

    def safe_stop(self) -> None:
        """Decelerate and hold; returns when the arm is measured to be at rest.

        Raises:
            DriverError: when the control script did not take it, and no safety stop has come before
                it, or when the arm moves still.
        """
        settings, began = self._settings, time.monotonic()
        try:
            stopped = self._connection.is_idle or self._connection.ask(
                "servoStop", settings.deceleration, seconds=self._spec.stop_seconds
            )
        except DriverError as error:
            act = f"its watchdog acts {settings.watchdog_seconds:g} s after the last message"
            raise DriverError(f"{error}; the stop was not confirmed: {act}") from error
        if not stopped and self.fault() is None:  # with a fault the controller has stopped it
            raise DriverError(f"{self._connection.hostname}: the stop was not taken")
        await_rest(self.read, self._spec, began)

    def release(self) -> None:
        """Power the arm off: its brakes hold it."""
        self._connection.ask("power_off")

    def fault(self) -> Fault | None:
        """Return what is latched, after a look at the controller; an emergency stop prevails."""
        trouble: Fault | None = None
        try:
            if self._wanted:
                trouble = self._connection.state().trouble(self._settings.stale_seconds)
        except DriverError as error:
            trouble = Fault("no_reply", f"{error}: see to it, then clear the fault")
        self._latch(self._named(trouble))
        return self._fault

    def _named(self, trouble: Fault | None) -> Fault | None:
        """Return why a script has stopped, where it is because of who may start one."""
        if self._fault is not None or trouble is None or trouble.code != "program_stopped":
            return trouble
        try:
            return trouble if self._connection.ask("remote") else LOCAL
        except DriverError:
            return trouble

    def clear_fault(self, operator: str) -> None:
        """Connect anew and start the control script; unlock a protective stop if that is latched.

        Raises:
            DriverError: when the controller refuses (5 s after the stop it unlocks, not earlier),
                or what was wrong is still so, or its state stands still: the fault stays.
        """
        fault = self.fault()
        if fault is None:
            return
        self._connection.close()
        try:
            self._open(unlock=fault.code == "protective_stop")
            still = self._fault
            if still is None:
                need_new_readings(self.read, self._connection.hostname)
                still = self.fault()
        except DriverError:
            self._fault = fault
            raise
        if still is not None:
            self._fault = still if still.code == "estop" else fault
            raise DriverError(f"{self._connection.hostname}: {still.code}: {still.message}")

    def close(self) -> None:
        """Stop, end the control script, disconnect."""
        try:
            if self._wanted and self.fault() is None:
                self.safe_stop()
                self._connection.ask("stopScript")
        finally:
            self._wanted = False
            self._connection.close()

    def _open(self, unlock: bool) -> None:
        trouble = self._connection.open(unlock)
        self._wanted = True
        self._fault = trouble
        self._stamp = -1.0

    def _latch(self, trouble: Fault | None) -> None:
        if self._fault is None or (trouble is not None and trouble.code == "estop"):
            self._fault = trouble
