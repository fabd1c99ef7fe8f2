"""A joint_trajectory_controller seen through rosbridge, by roslibpy: messages and connection.

- rosbridge answers a goal that is rejected since November 2025, and not before.
- A cancellation gets through while a goal is executed only where rosbridge runs with
  `send_action_goals_in_new_thread` (its launch file's default).
- roslibpy keeps what is sent without a connection, and sends it once it has connected again by
  itself: here it never does, for a command must not arrive late.
"""

import queue
from collections.abc import Mapping, Sequence
from typing import Any

from robo_al_agent.devices.ownership import claim_host
from robo_al_agent.drivers.ros2_states import JointStates
from robo_al_agent.errors import DriverError, SetupError
from robo_al_agent.robot import Array, Ended, Fault, JointTrajectory, Tolerance

REPLY = 3.0
"""Seconds within which bridge and controller answer."""
INVALID = {-1: "INVALID_GOAL", -2: "INVALID_JOINTS", -3: "OLD_HEADER_TIMESTAMP"}
VIOLATED = {-4: "PATH_TOLERANCE_VIOLATED", -5: "GOAL_TOLERANCE_VIOLATED"}
"""Values of `error_code` in the result of `control_msgs/action/FollowJointTrajectory`."""


class Bridge:
    """One connection to rosbridge.

    Args:
        host, port: of rosbridge.
        controller: its name; action and topic are below it.
        joint_states: the topic.
        joints: their names in the order of the driver, and whether their efforts are told.

    Raises:
        SetupError: without roslibpy.
        DriverError: when bridge, controller or joint states are not there, or another program on
            this machine has the controller.
    """

    def __init__(
        self, host: str, port: int, controller: str, joint_states: str, joints: Mapping[str, bool]
    ) -> None:
        try:
            import roslibpy
        except ImportError as error:
            need = "pip install 'robo-al-agent[ros2]'"
            raise SetupError(f"roslibpy is not installed: {need}") from error
        self.states = JointStates(joints)
        self._names = list(joints)
        self._claim = claim_host("ros2", host, f":{port} {controller}")
        self._ros: Any = roslibpy.Ros(host=host, port=port)
        self._ros.on("close", lambda _: self._ros.factory.stopTrying())
        try:
            try:
                self._ros.run(timeout=REPLY)
            except roslibpy.core.RosTimeoutError:
                raise DriverError(f"rosbridge does not answer at {host}:{port}") from None
            self._action: Any = self._find_action(roslibpy, controller)
            self._commands: Any = self._topic(
                roslibpy, f"{controller}/joint_trajectory", "trajectory_msgs/msg/JointTrajectory"
            )
            self._commands.advertise()
            states = self._topic(roslibpy, joint_states, "sensor_msgs/msg/JointState")
            states.subscribe(self.states.take)
            self.states.wait(1, REPLY)  # the second one: that time goes on
        except BaseException:
            self.close()
            raise

    @property
    def is_connected(self) -> bool:
        """Whether the connection is there."""
        return bool(self._ros.is_connected)

    def close(self) -> None:
        """Disconnect."""
        try:
            self._ros.factory.manager.call_later(0, self._ros.factory.stopTrying)
            self._ros.close()
        finally:
            self._claim.close()

    def trouble(self, stale_seconds: float) -> Fault | None:
        """Return what is wrong at this moment."""
        if not self.is_connected:
            lost = "the connection to rosbridge is lost: see to it, then clear the fault"
            return Fault("no_reply", lost)
        return self.states.trouble(stale_seconds)

    def publish(self, point: Mapping[str, Any]) -> None:
        """Send a trajectory of one point; the controller does not answer."""
        self._commands.publish(self._trajectory([point]))

    def start(
        self, trajectory: JointTrajectory, tolerance: Tolerance
    ) -> tuple[str, "queue.SimpleQueue[Any]"]:
        """Send a goal; return its id, and where its result will be."""
        columns = (trajectory.positions, trajectory.velocities, trajectory.seconds)
        points = [
            point(positions, seconds, velocities)
            for positions, velocities, seconds in zip(
                *(column.tolist() for column in columns), strict=True
            )
        ]
        goal = {
            "trajectory": self._trajectory(points),
            "path_tolerance": self._tolerances(tolerance.path),
            "goal_tolerance": self._tolerances(tolerance.goal),
            "goal_time_tolerance": duration(tolerance.goal_seconds),
        }
        results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        return self._action.send_goal(goal, results.put, lambda _: None, results.put), results

    def cancel(self, goal: str) -> None:
        """Tell the controller to end a goal."""
        self._action.cancel_goal(goal)

    def _trajectory(self, points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        at_once = {"stamp": {"sec": 0, "nanosec": 0}, "frame_id": ""}
        return {"header": at_once, "joint_names": self._names, "points": list(points)}

    def _tolerances(self, positions: Array) -> list[dict[str, Any]]:
        unchecked = {"velocity": -1.0, "acceleration": -1.0}
        return [
            {"name": name, "position": position, **unchecked}
            for name, position in zip(self._names, positions.tolist(), strict=True)
        ]

    def _topic(self, roslibpy: Any, name: str, kind: str) -> Any:
        return roslibpy.Topic(self._ros, name, kind, reconnect_on_close=False)

    def _find_action(self, roslibpy: Any, controller: str) -> Any:
        wanted = f"{controller}/follow_joint_trajectory"
        service = roslibpy.Service(
            self._ros, "/rosapi/action_servers", "rosapi_msgs/srv/GetActionServers"
        )
        try:
            answer = service.call(roslibpy.ServiceRequest(), timeout=REPLY)
        except Exception as error:  # of several kinds
            raise DriverError(f"rosapi does not answer ({error}): is it running?") from error
        known = sorted(answer["action_servers"])
        if wanted not in known:
            raise DriverError(f"{wanted}: no such action; there are {', '.join(known) or 'none'}")
        return roslibpy.ActionClient(
            self._ros,
            wanted,
            "control_msgs/action/FollowJointTrajectory",
            reconnect_on_close=False,
        )


def point(
    positions: list[float], seconds: float, velocities: list[float] | None = None
) -> dict[str, Any]:
    """Return a `trajectory_msgs/JointTrajectoryPoint`."""
    message = {"positions": positions, "time_from_start": duration(seconds)}
    return message if velocities is None else {**message, "velocities": velocities}


def duration(seconds: float) -> dict[str, int]:
    """Return a `builtin_interfaces/Duration`."""
    nanoseconds = round(seconds * 1e9)
    return {"sec": nanoseconds // 10**9, "nanosec": nanoseconds % 10**9}


def ended(result: Mapping[str, Any], cancelled: bool, fraction: float) -> Ended:
    """Return how a goal ended.

    Args:
        result: what roslibpy makes of rosbridge's `action_result`.
        cancelled: whether we asked for that.
        fraction: of the planned time that has passed.
    """
    status, values = result["status"].name, result["values"]
    if not isinstance(values, Mapping):
        return Ended("FAULTED", f"the goal was not executed: {values}", 0.0)
    code, text = int(values.get("error_code", 0)), str(values.get("error_string", ""))
    if code in INVALID:
        return Ended("FAULTED", f"{INVALID[code]}: {text}", 0.0)
    if code in VIOLATED:
        return Ended("TOLERANCE_VIOLATED", f"{VIOLATED[code]}: {text}", fraction)
    if status == "CANCELED" and cancelled:
        return Ended("ABORTED_OPERATOR", "cancelled", fraction)
    if status == "SUCCEEDED" and code == 0:
        return Ended("SUCCEEDED", text, 1.0)
    return Ended("FAULTED", f"{status}, error code {code}: {text}", fraction)
