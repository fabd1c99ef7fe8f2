"""An arm behind ROS 2's joint_trajectory_controller, through rosbridge; client: roslibpy.

Whole trajectories go to the action `FollowJointTrajectory`; single commands, as trajectories of one
point, to the controller's topic. Joints are matched by name, for ROS publishes them in an order of
its own.

- The controller finishes its trajectory whatever becomes of this program or the bridge, and then
  holds: there is no watchdog.
- Its tolerances default where they are 0 and are unchecked where they are -1, and a goal time of 0
  waits for ever: all of them are always set.
- rosbridge asks nobody who they are: let it listen on loopback, or behind a tunnel.

Tried with the real roslibpy against a server that speaks the protocol, not tried on ROS 2 itself.
"""

import queue
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError

from robo_al_agent.devices.rest import await_rest, need_new_readings
from robo_al_agent.drivers.ros2_bridge import REPLY, Bridge, ended, point
from robo_al_agent.errors import DriverError, SetupError
from robo_al_agent.robot import (
    Array,
    Ended,
    Fault,
    Joint,
    JointTrajectory,
    RobotSpec,
    Sample,
    Tolerance,
)
from robo_al_agent.settings.files import problems


class JointLimits(BaseModel):
    """What a command may ask of one joint: an entry of the parameter `joints`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: FiniteFloat
    """Smallest position (rad or m)."""
    high: FiniteFloat
    """Largest position (rad or m)."""
    unit: str = Field(default="rad", pattern="^(rad|m)$")
    velocity: float = Field(gt=0)
    """Largest speed (rad/s or m/s)."""
    effort: float | None = Field(default=None, gt=0)
    """Largest torque or force (N m or N) that the joint states tell; None: they do not."""


class Ros2Trajectory:
    """An arm with a joint_trajectory_controller.

    Args:
        joints: every joint of the controller, by its name in ROS, with its limits; their order is
            that of commands and readings.
        name: of the robot.
        host: of rosbridge.
        port: of rosbridge.
        controller: its name; the action and the topic are below it.
        joint_states: topic of `sensor_msgs/JointState` with all of the joints in each message.
        rate: commands a second (Hz); that of `joint_states` is the most that makes sense.
        stop_seconds: that a stop takes.
        stale_seconds: without a new message on `joint_states` after which that is a fault.

    Raises:
        SetupError: when a parameter cannot be used.
    """

    def __init__(
        self,
        joints: Mapping[str, Any],
        *,
        name: str = "ros2",
        host: str = "127.0.0.1",
        port: int = 9090,
        controller: str = "/joint_trajectory_controller",
        joint_states: str = "/joint_states",
        rate: float = 20.0,
        stop_seconds: float = 1.0,
        stale_seconds: float = 0.5,
    ) -> None:
        try:
            limits = TypeAdapter(dict[str, JointLimits]).validate_python(dict(joints))
        except ValidationError as error:
            told = "; ".join(f"joints.{problem}" for problem in problems(error))
            raise SetupError(f"ros2_trajectory: {told}") from None
        if not limits or any(one.low >= one.high for one in limits.values()):
            raise SetupError("ros2_trajectory: joints: each needs a low below its high")
        if min(rate, stop_seconds, stale_seconds) <= 0:
            needed = "rate, stop_seconds and stale_seconds must be above 0"
            raise SetupError(f"ros2_trajectory: {needed}")
        self._spec = RobotSpec(
            name=name,
            joints=tuple(
                Joint(joint, one.low, one.high, one.unit, one.velocity, one.effort)
                for joint, one in limits.items()
            ),
            rate=rate,
            watchdog="none",
            watchdog_seconds=None,
            stop_seconds=stop_seconds,
            call_seconds=stale_seconds + REPLY + 0.5,
        )
        self._bridge: Bridge | None = None
        self._address = (host, port, controller, joint_states)
        self._stale_seconds = stale_seconds
        self._fault: Fault | None = None
        self._goal: str | None = None
        self._cancelled = 0.0
        """When the goal was cancelled; 0: not."""

    def describe(self) -> RobotSpec:
        """Say what the robot is."""
        return self._spec

    def connect(self) -> None:
        """Connect to rosbridge, and see that controller and joint states are there.

        Raises:
            SetupError: without roslibpy.
            DriverError: when one of them is not there.
        """
        joints = {joint.name: joint.effort is not None for joint in self._spec.joints}
        bridge = Bridge(*self._address, joints)
        trouble = bridge.trouble(self._stale_seconds)
        if trouble is not None:
            bridge.close()
            raise DriverError(f"{trouble.code}: {trouble.message}")
        self._bridge, self._fault = bridge, None

    def read(self) -> Sample:
        """Return the next reading that is published.

        Raises:
            DriverError: when none came for `stale_seconds`, or it cannot be used.
        """
        sample = self._connected().states.next(self._stale_seconds)
        fault = self.fault()
        if sample is None:
            raise DriverError(f"{fault.code}: {fault.message}" if fault else "no new joint state")
        return sample

    def command(self, target: Array, seconds: float) -> Array:
        """Send positions [J]; nobody confirms that they arrive.

        Raises:
            DriverError: when they are outside the limits, or the robot has a fault.
        """
        for joint, value in zip(self._spec.joints, target, strict=True):
            if not joint.low <= value <= joint.high:
                limits = f"[{joint.low:g}, {joint.high:g}]"
                raise DriverError(f"{joint.name}: {value:g} is outside its limits {limits}")
        sent = np.array(target, np.float64)
        self._healthy().publish(point(sent.tolist(), seconds))
        return sent

    def safe_stop(self) -> None:
        """Send the controller to where the arm comes to rest, and see it come to rest.

        Raises:
            DriverError: without a connection, without knowing where the arm is, or when it is
                measured to move still.
        """
        began = time.monotonic()
        self.cancel()
        bridge = self._connected()
        sample = bridge.states.latest()
        if sample is None or not bridge.is_connected:
            raise DriverError("rosbridge is not connected: the arm finishes what it was told")
        seconds = self._spec.stop_seconds / 2
        low, high = np.array([(joint.low, joint.high) for joint in self._spec.joints]).T
        # An arm that rests outside its limits is held there, not moved to them.
        low, high = np.minimum(low, sample.positions), np.maximum(high, sample.positions)
        rest = np.clip(sample.positions + sample.velocities * seconds / 2, low, high)
        bridge.publish(point(rest.tolist(), seconds, [0.0] * len(rest)))
        await_rest(self.read, self._spec, began)

    def release(self) -> None:
        """Nothing that every arm in ROS 2 understands takes its torque off.

        Raises:
            DriverError: always.
        """
        raise DriverError("ros2_trajectory cannot take torque off: use the arm's own means")

    def fault(self) -> Fault | None:
        """Return what is latched, after a look at what came in."""
        if self._bridge is not None and self._fault is None:
            self._fault = self._bridge.trouble(self._stale_seconds)
        return self._fault

    def clear_fault(self, operator: str) -> None:
        """Connect anew, and see that readings are new and the arm stands.

        Raises:
            DriverError: when what was wrong is still so, or the arm moves: the fault stays.
        """
        fault = self.fault()
        if fault is None:
            return
        self._disconnect()
        try:
            self.connect()
            need_new_readings(self.read, self._spec.name)
            await_rest(self.read, self._spec, time.monotonic())
        except DriverError:
            self._fault = fault
            raise

    def close(self) -> None:
        """Stop and disconnect."""
        try:
            if self._bridge is not None and self.fault() is None:
                self.safe_stop()
        finally:
            self._disconnect()

    def execute(
        self,
        trajectory: JointTrajectory,
        tolerance: Tolerance,
        on_sample: Callable[[Sample], None],
    ) -> Ended:
        """Execute a trajectory that ends at rest.

        Raises:
            DriverError: when it cannot be sent as it is; nothing has moved then.
        """
        if min(*tolerance.path, *tolerance.goal, tolerance.goal_seconds) <= 0:
            raise DriverError("tolerances must be above 0: to the controller 0 is its default")
        if np.abs(trajectory.velocities[-1]).max() > 1e-6:
            raise DriverError("the trajectory must end at rest: the controller refuses others")
        self._cancelled = 0.0
        self._goal, results = self._healthy().start(trajectory, tolerance)
        try:
            return self._follow(results, trajectory, tolerance.goal_seconds, on_sample)
        except BaseException:
            self.cancel()
            raise
        finally:
            self._goal = None

    def cancel(self) -> None:
        """Tell the controller to end its goal: it holds the arm where it is."""
        goal = self._goal
        if goal is not None and not self._cancelled:
            self._cancelled = time.monotonic()
            self._connected().cancel(goal)

    def _follow(
        self,
        results: "queue.SimpleQueue[Any]",
        trajectory: JointTrajectory,
        goal_seconds: float,
        on_sample: Callable[[Sample], None],
    ) -> Ended:
        """Hand out samples until the controller says how it ended, or nothing more is to come."""
        planned, began = float(trajectory.seconds[-1]), time.monotonic()
        while results.empty():
            try:
                sample = self.read()
                self._need_answer(began + planned + goal_seconds + REPLY)
            except DriverError as error:
                self.cancel()
                passed = min(1.0, (time.monotonic() - began) / planned)
                return Ended("FAULTED", f"{error}; the arm may still move", passed)
            on_sample(sample)
        passed = min(1.0, (time.monotonic() - began) / planned)
        return ended(results.get(), bool(self._cancelled), passed)

    def _need_answer(self, latest: float) -> None:
        """Raise when the controller should have said by now how the goal ended."""
        if self._cancelled:
            latest = min(latest, self._cancelled + REPLY)
        if time.monotonic() > latest:
            message = "the controller has not said how its goal ended: see what it does"
            self._fault = Fault("no_reply", message)
            raise DriverError(f"no_reply: {message}")

    def _connected(self) -> Bridge:
        if self._bridge is None:
            raise DriverError("ros2_trajectory: not connected")
        return self._bridge

    def _healthy(self) -> Bridge:
        bridge, fault = self._connected(), self.fault()
        if fault is not None:
            raise DriverError(f"{fault.code}: {fault.message}")
        return bridge

    def _disconnect(self) -> None:
        bridge, self._bridge = self._bridge, None
        if bridge is not None:
            bridge.close()
