"""Franka Research 3 and Panda, joint positions by franky: experimental, never tried on an arm.

Written after franky 2.0.0's source and documentation. The real library was seen to take these
arguments; all the rest was run only against a stand-in that records the calls.

Each command is a motion to one waypoint that replaces the one before it; franky plans it within the
arm's limits and holds its target when commands cease. The arm itself stops when this program's
1 kHz messages cease (about 20 of them lost: libfranka's `communication_constraints_violation`).
Errors are recovered from on the word of a person only, never by a command.
"""

import math
import time
import warnings
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np

from robo_al_agent.devices.ownership import Claim, claim_host
from robo_al_agent.devices.rest import await_rest, need_new_readings
from robo_al_agent.errors import DriverError, SetupError
from robo_al_agent.robot import Array, Fault, Joint, RobotSpec, Sample

Model = Literal["fr3", "panda"]
LIMITS: dict[str, tuple[list[float], list[float], list[float]]] = {
    "fr3": (
        [-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159],
        [2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159],
        [2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26],
    ),
    "panda": (
        [-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973],
        [2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973],
        [2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61],
    ),
}
"""Lowest and highest position (rad), largest speed (rad/s); Franka's "Robot limits"."""
EFFORTS = [87.0] * 4 + [12.0] * 3
"""N m, of both."""
COMMUNICATION = 0.02
"""Seconds of silence after which the arm stops."""
STOP = 1.0
"""Seconds within which franky has stopped the arm."""


class Franka:
    """A Franka arm.

    Args:
        hostname: of the control box; its FCI must be active and the brakes open.
        model: `fr3` or `panda`.
        name: of the robot.
        rate: commands a second (Hz).
        dynamics: share of the arm's velocity, acceleration and jerk that franky may use.
        realtime: whether a real-time kernel is demanded.
        stale_seconds: without a new state after which that is a fault.

    Raises:
        SetupError: when a parameter cannot be used.
    """

    def __init__(
        self,
        hostname: str,
        model: Model = "fr3",
        *,
        name: str = "franka",
        rate: float = 20.0,
        dynamics: float = 0.1,
        realtime: bool = True,
        stale_seconds: float = 0.2,
    ) -> None:
        if model not in get_args(Model):
            raise SetupError(f"franka: model {model!r}; one of {', '.join(get_args(Model))}")
        if not 1 <= rate <= 100 or not 0 < dynamics <= 1 or not stale_seconds > 0:
            needed = "rate from 1 to 100, dynamics above 0 up to 1, stale_seconds above 0"
            raise SetupError(f"franka: {needed}")
        joints = enumerate(zip(*LIMITS[model], EFFORTS, strict=True), start=1)
        self._spec = RobotSpec(
            name=name,
            joints=tuple(
                Joint(f"joint{i}", low, high, velocity=velocity, effort=effort)
                for i, (low, high, velocity, effort) in joints
            ),
            rate=rate,
            watchdog="controller",
            watchdog_seconds=COMMUNICATION,
            stop_seconds=STOP,
            experimental=True,
        )
        self._hostname, self._dynamics, self._realtime = hostname, dynamics, realtime
        self._stale_seconds = stale_seconds
        self._franky: Any = None
        self._robot: Any = None
        self._claim: Claim | None = None
        self._fault: Fault | None = None
        self._stamp, self._stamp_ns, self._sequence = -1, 0, 0

    def describe(self) -> RobotSpec:
        """Say what the robot is."""
        return self._spec

    def connect(self) -> None:
        """Connect; moves nothing and recovers from nothing.

        Raises:
            SetupError: without franky.
            DriverError: when the arm cannot be reached, is not ready to move, or another program
                on this machine has it.
        """
        try:
            import franky
        except ImportError as error:
            need = "pip install 'robo-al-agent[franka]'"
            raise SetupError(f"franky is not installed: {need}") from error
        warnings.warn(
            "the Franka driver is experimental: it was never tried on an arm; keep the stop "
            "button in your hand",
            stacklevel=2,
        )
        self._franky = franky
        self._claim = claim_host("franka", self._hostname)
        try:
            self._robot = self._ready_arm()
        except BaseException:
            self._let_go()
            raise
        self._fault = None

    def _ready_arm(self) -> Any:
        """Return franky's robot; raises `DriverError` when it is not ready to move."""
        franky = self._franky
        config = franky.RealtimeConfig.Enforce if self._realtime else franky.RealtimeConfig.Ignore
        try:
            robot = franky.Robot(
                self._hostname, relative_dynamics_factor=self._dynamics, realtime_config=config
            )
            trouble = self._trouble(robot)
        except franky.Exception as error:
            raise DriverError(f"{self._hostname}: {error}") from error
        if trouble is not None:
            raise DriverError(f"{self._hostname}: {trouble.code}: {trouble.message}")
        return robot

    def read(self) -> Sample:
        """Return a state that was not returned before.

        Raises:
            DriverError: when there is none.
        """
        robot, deadline = self._connected(), time.monotonic() + self._stale_seconds
        while True:
            try:
                state = robot.state
            except self._franky.Exception as error:
                self._latch(Fault("no_reply", str(error)))
                raise DriverError(f"{self._hostname}: {error}") from error
            stamp = int(state.time.to_msec())
            if stamp != self._stamp:
                break
            if time.monotonic() > deadline:
                self._latch(Fault("stale", "the arm's time stands still"))
                raise DriverError(f"{self._hostname}: the arm's time stands still")
            time.sleep(0.001)
        self._stamp, self._stamp_ns = stamp, time.monotonic_ns()
        self._sequence += 1
        q, dq, torques = (np.array(values, float) for values in (state.q, state.dq, state.tau_J))
        return Sample(self._stamp_ns, self._sequence, q, dq, torques, np.zeros(0))

    def command(self, target: Array, seconds: float) -> Array:
        """Send joint positions [7] (rad), to be reached in no less than `seconds`.

        Raises:
            DriverError: when they are outside the limits, or the robot has a fault.
        """
        robot = self._connected()
        for joint, value in zip(self._spec.joints, target, strict=True):
            if not joint.low <= value <= joint.high:
                limits = f"[{joint.low:g}, {joint.high:g}]"
                raise DriverError(f"{joint.name}: {value:g} rad is outside its limits {limits}")
        fault = self.fault()
        if fault is not None:
            raise DriverError(f"{self._hostname}: {fault.code}: {fault.message}")
        franky, sent = self._franky, np.array(target, np.float64)
        waypoint = franky.JointWaypoint(
            franky.JointState(sent), minimum_time=franky.Duration(math.ceil(seconds * 1e3))
        )
        motion = franky.JointWaypointMotion([waypoint], return_when_finished=False)
        self._asking(lambda: robot.move(motion, asynchronous=True))
        return sent

    def safe_stop(self) -> None:
        """Decelerate and hold; returns when the motion has ended and the arm is at rest.

        Raises:
            DriverError: when it has not ended in time: then it was ended without a ramp; or when
                the arm is measured to move still.
        """
        robot, began = self._connected(), time.monotonic()
        if robot.is_in_control:
            self._end_motion(robot)
        await_rest(self.read, self._spec, began)

    def _end_motion(self, robot: Any) -> None:
        self._asking(lambda: robot.move(self._franky.JointStopMotion(), asynchronous=True))
        if not self._asking(lambda: robot.join_motion(timeout=STOP)):
            self._asking(robot.stop)
            raise DriverError(f"{self._hostname}: no stop within {STOP:g} s: ended without a ramp")

    def release(self) -> None:
        """Franka's control interface closes no brakes.

        Raises:
            DriverError: always.
        """
        raise DriverError(f"{self._hostname}: close the brakes in Desk")

    def fault(self) -> Fault | None:
        """Return what is latched, after a look at the arm; the stop button prevails."""
        if self._robot is None:
            return self._fault
        try:
            self._latch(self._trouble(self._robot))
        except self._franky.Exception as error:
            self._latch(Fault("no_reply", str(error)))
        return self._fault

    def clear_fault(self, operator: str) -> None:
        """Let the arm recover from its errors, or connect anew.

        Raises:
            DriverError: when what was wrong is still so: the fault stays.
        """
        fault = self.fault()
        if fault is None:
            return
        if fault.code == "no_reply":
            self._let_go()
        if self._robot is None:
            self.connect()
            return
        try:
            recovered = self._robot.recover_from_errors()
            trouble = self._trouble(self._robot)
        except self._franky.Exception as error:
            raise DriverError(f"{self._hostname}: {error}") from error
        if trouble is not None or not recovered:
            told = trouble.message if trouble is not None else "it did not recover"
            raise DriverError(f"{self._hostname}: {told}")
        need_new_readings(self.read, self._hostname)
        self._fault = None

    def close(self) -> None:
        """Stop, and let go of the arm."""
        try:
            if self._robot is not None and self.fault() is None:
                self.safe_stop()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._robot = None
        if self._claim is not None:
            self._claim.close()

    def _connected(self) -> Any:
        if self._robot is None:
            raise DriverError(f"{self._hostname}: not connected")
        return self._robot

    def _asking(self, ask: Callable[[], Any]) -> Any:
        """Call franky, whose errors of earlier motions come up in later calls."""
        try:
            return ask()
        except self._franky.Exception as error:
            self._latch(Fault("control_error", str(error)))
            raise DriverError(f"{self._hostname}: {error}") from error

    def _latch(self, trouble: Fault | None) -> None:
        if self._fault is None or (trouble is not None and trouble.code == "estop"):
            self._fault = trouble

    def _trouble(self, robot: Any) -> Fault | None:
        """Return what is wrong at this moment."""
        modes, state = self._franky.RobotMode, robot.state
        if state.robot_mode == modes.UserStopped:
            return Fault("estop", "the stop button is pressed: release it")
        if robot.has_errors or state.robot_mode == modes.Reflex:
            return Fault("reflex", f"the arm has stopped itself: {state.current_errors!r}")
        if state.robot_mode not in (modes.Idle, modes.Move):
            return Fault("not_running", f"the arm is in mode {state.robot_mode}")
        if not robot.is_in_control:
            try:
                robot.join_motion(timeout=0.0)  # raises what has ended the last motion
            except self._franky.ControlException as error:
                return Fault("control_error", str(error))
        return None
