"""A rosbridge server (protocol v2, ROS 2) in front of an arm with a JointTrajectoryController.

Speaks what roslibpy 2.1.0 says to one: subscribe, advertise, publish, call_service (rosapi's
`action_servers`), send_action_goal, cancel_action_goal; answers with publish, service_response,
action_feedback and action_result. Sources: ROSBRIDGE_PROTOCOL.md and `rosbridge_library` of
rosbridge_suite; `control_msgs/action/FollowJointTrajectory`; the user's guide of ros2_controllers'
joint_trajectory_controller. Nothing of ROS 2 itself is here.

The first line on standard output is the port. Lines on standard input make it fail; each is
answered with the state as a line of JSON:

    state             nothing
    block             the arm is held: it follows no trajectory; `unblock`
    offset            it stops 0.05 rad short of where it is sent, as with friction
    freeze_encoder    it moves, and the positions that it reports do not
    stop_states       joint_states are published no more
    freeze_states     they are published with the same time and positions
    lose_joint        they lack the elbow
    creep             the pan joint moves at 0.3 rad/s whatever it is told
    no_efforts        there are no efforts in the joint states
    old_states        after each joint state comes one that is older, with other positions
    short_states      positions are fewer than names
    null_velocities   velocities are NaN, which rosbridge turns into null
    mute              goals are executed, and nothing is ever said about them
    reject            goals are rejected
    answer CODE       goals end at once with this error code
    drop              connections are closed
    unplug, plug      the network is gone: nothing is sent or heard
    mend              all of it works again, and the arm is where it was at first
"""

import asyncio
import contextlib
import json
import sys
import time

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

NAMES = ["elbow", "gripper", "lift", "pan"]
"""In the order in which ROS publishes them: the alphabet's."""
START = np.array([0.9, 0.02, -1.0, 0.3])
ACTION = "/arm_controller/follow_joint_trajectory"
TOPIC = "/arm_controller/joint_trajectory"
PERIOD = 0.01
LAG = 0.03
"""Seconds by which the arm follows its controller."""
SUCCEEDED, CANCELED, ABORTED = 4, 5, 6
REJECTED = "Action goal was rejected"


def duration(message: dict | None) -> float:
    message = message or {}
    return message.get("sec", 0) + message.get("nanosec", 0) * 1e-9


class Trajectory:
    """Points from a start, by cubic splines, or linearly where they have no velocities."""

    def __init__(self, message: dict, start: np.ndarray) -> None:
        self.message, self.began = message, time.monotonic()
        self.columns = [NAMES.index(name) for name in message["joint_names"]]
        points = message["points"]
        self.times = np.array([0.0, *(duration(point["time_from_start"]) for point in points)])
        self.positions = np.array([start[self.columns], *(point["positions"] for point in points)])
        rest = [0.0] * len(self.columns)
        given = all(point.get("velocities") for point in points)
        speeds = [point["velocities"] for point in points] if given else []
        self.velocities = np.array([rest, *speeds]) if given else None

    def at(self, start: np.ndarray, seconds: float) -> np.ndarray:
        """Return where the controller wants all joints to be."""
        seconds = min(seconds, self.times[-1])
        k = min(int(np.searchsorted(self.times, seconds, side="right")), len(self.times) - 1)
        span = self.times[k] - self.times[k - 1]
        s = (seconds - self.times[k - 1]) / span
        one, other = self.positions[k - 1], self.positions[k]
        wanted = one + s * (other - one)
        if self.velocities is not None:
            v, w = self.velocities[k - 1] * span, self.velocities[k] * span
            wanted = (
                (2 * s**3 - 3 * s**2 + 1) * one
                + (s**3 - 2 * s**2 + s) * v
                + (3 * s**2 - 2 * s**3) * other
                + (s**3 - s**2) * w
            )
        everything = start.copy()
        everything[self.columns] = wanted
        return everything

    def wrong(self) -> str | None:
        """Return why the controller would not take it."""
        if len(set(self.columns)) != len(NAMES) - 1:
            return "joints are missing"
        if (np.diff(self.times) <= 0).any():
            return "times do not grow"
        if self.velocities is not None and np.abs(self.velocities[-1]).max() > 1e-6:
            return "velocity at the end is not zero"
        return None


class Goal:
    """An action goal that is being executed."""

    def __init__(self, bridge: ServerConnection, message: dict) -> None:
        self.bridge, self.id, self.args = bridge, message.get("id"), message["args"]
        self.path = self.tolerances("path_tolerance")
        self.goal = self.tolerances("goal_tolerance")
        self.goal_seconds = duration(self.args.get("goal_time_tolerance"))

    def tolerances(self, which: str) -> np.ndarray:
        """Return them for all joints; -1, and the controller's default 0, mean unchecked here."""
        values = np.full(len(NAMES), np.inf)
        for tolerance in self.args.get(which, []):
            if tolerance["position"] > 0:
                values[NAMES.index(tolerance["name"])] = tolerance["position"]
        return values


class Robot:
    """The arm, its controller, and the bridge's clients."""

    def __init__(self) -> None:
        self.subscribers: dict[ServerConnection, set[str]] = {}
        self.counts = {"points": 0, "goals": 0, "cancels": 0}
        self.mend()

    def mend(self) -> None:
        self.positions, self.velocities = START.copy(), np.zeros(len(NAMES))
        self.wanted = START.copy()
        self.trajectory: Trajectory | None = None
        self.goal: Goal | None = None
        self.failures: set[str] = set()
        self.slip = 0.0
        self.answer: int | None = None
        self.last: dict | None = None
        self.frozen: np.ndarray | None = None

    # ---------------------------------------------------------------- the controller

    async def cycle(self, dt: float) -> None:
        if self.trajectory is not None:
            self.wanted = self.trajectory.at(self.wanted, time.monotonic() - self.trajectory.began)
        before = self.positions.copy()
        if "block" not in self.failures:
            aim = self.wanted - (0.05 if "offset" in self.failures else 0.0)
            self.slip += 0.3 * dt if "creep" in self.failures else 0.0
            aim[NAMES.index("pan")] += self.slip
            self.positions += (aim - self.positions) * min(1.0, dt / LAG)
        self.velocities = (self.positions - before) / dt
        if self.goal is not None and self.trajectory is not None:
            await self.supervise(self.goal, self.trajectory)

    async def supervise(self, goal: Goal, trajectory: Trajectory) -> None:
        seconds = time.monotonic() - trajectory.began
        error = np.abs(self.wanted - self.reported())
        over = seconds - trajectory.times[-1]
        if (over < 0) and (error > goal.path).any():
            await self.finish(ABORTED, -4, "Aborted due to path tolerance violation")
        elif over >= 0 and (error <= goal.goal).all():
            await self.finish(SUCCEEDED, 0, "Goal successfully reached!")
        elif goal.goal_seconds and over > goal.goal_seconds:
            await self.finish(ABORTED, -5, "Aborted due to goal tolerance violation")

    async def finish(self, status: int, code: int, text: str) -> None:
        """End the goal; whatever else than success holds the arm where it is."""
        goal, self.goal = self.goal, None
        if status != SUCCEEDED:
            self.trajectory, self.wanted = None, self.positions.copy()
        if "mute" not in self.failures:
            values = {"error_code": code, "error_string": text}
            await self.result(goal.bridge, goal.id, values, status, True)

    def reported(self) -> np.ndarray:
        return self.positions if self.frozen is None else self.frozen

    # ---------------------------------------------------------------- rosbridge

    async def publish_states(self) -> None:
        if "stop_states" in self.failures:
            return
        stamp = time.time_ns()
        speeds = self.velocities if self.frozen is None else np.zeros(len(NAMES))
        if "freeze_states" not in self.failures or self.last is None:
            self.last = {
                "header": {
                    "stamp": {"sec": stamp // 10**9, "nanosec": stamp % 10**9},
                    "frame_id": "",
                },
                "name": list(NAMES),
                "position": self.reported().tolist(),
                "velocity": speeds.tolist(),
                "effort": [1.0, 0.1, 2.0, 3.0],
            }
        if "null_velocities" in self.failures:
            self.last["velocity"] = [None] * len(NAMES)
        if "no_efforts" in self.failures:
            self.last["effort"] = []
        if "short_states" in self.failures:
            self.last["position"] = self.last["position"][:2]
        if "lose_joint" in self.failures:
            self.last = {
                key: value if key == "header" else value[-3:] for key, value in self.last.items()
            }
        message = {"op": "publish", "topic": "/joint_states", "msg": self.last}
        gripper = {**self.last, "name": ["other_gripper"], "position": [0.0]}
        for bridge, topics in list(self.subscribers.items()):
            if "/joint_states" in topics:
                await self.say(bridge, {**message, "msg": gripper})
                await self.say(bridge, message)
                if "old_states" in self.failures:
                    header = {"stamp": {"sec": 1, "nanosec": stamp % 10**9}, "frame_id": ""}
                    older = {**self.last, "header": header, "position": [9.0] * len(NAMES)}
                    await self.say(bridge, {**message, "msg": older})

    async def say(self, bridge: ServerConnection, message: dict) -> None:
        if "unplug" in self.failures:
            return
        with contextlib.suppress(ConnectionClosed):
            await bridge.send(json.dumps(message))

    async def result(self, bridge, id, values, status: int, success: bool) -> None:
        message = {"op": "action_result", "action": ACTION, "id": id, "values": values}
        await self.say(bridge, {**message, "status": status, "result": success})

    async def client(self, bridge: ServerConnection) -> None:
        self.subscribers[bridge] = set()
        try:
            async for text in bridge:
                if "unplug" not in self.failures:
                    await self.hear(bridge, json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            del self.subscribers[bridge]

    async def hear(self, bridge: ServerConnection, message: dict) -> None:
        op = message["op"]
        if op == "subscribe":
            self.subscribers[bridge].add(message["topic"])
        elif op == "publish" and message["topic"] == TOPIC:
            self.counts["points"] += 1
            trajectory = Trajectory(message["msg"], self.wanted)
            if trajectory.wrong() is None:
                self.trajectory = trajectory
        elif op == "call_service":
            values = {"action_servers": [ACTION]}
            known = message["service"] == "/rosapi/action_servers"
            answer = {"op": "service_response", "service": message["service"]}
            answer |= {"values": values if known else "no such service", "result": known}
            await self.say(bridge, answer | {"id": message["id"]})
        elif op == "send_action_goal":
            await self.take(bridge, message)
        elif op == "cancel_action_goal":
            self.counts["cancels"] += 1
            if self.goal is not None and self.goal.id == message["id"]:
                await self.finish(CANCELED, 0, "")
        elif op not in ("advertise", "unadvertise", "unsubscribe"):
            await self.say(bridge, {"op": "status", "level": "error", "msg": f"unknown op {op}"})

    async def take(self, bridge: ServerConnection, message: dict) -> None:
        self.counts["goals"] += 1
        goal = Goal(bridge, message)
        trajectory = Trajectory(goal.args["trajectory"], self.wanted)
        if message["action"] != ACTION or "reject" in self.failures or trajectory.wrong():
            await self.result(bridge, goal.id, REJECTED, 0, False)  # as rosbridge since 2025-11
            return
        self.goal, self.trajectory = goal, trajectory
        if self.answer is not None:
            await self.finish(ABORTED, self.answer, "as told")

    # ---------------------------------------------------------------- failures

    async def fail(self, what: str) -> None:
        if what == "mend":
            self.mend()
        elif what == "drop":
            for bridge in list(self.subscribers):
                bridge.transport.abort()
        elif what.startswith("answer "):
            self.answer = int(what.split()[1])
        elif what == "freeze_encoder":
            self.frozen = self.positions.copy()
        elif what == "unblock":
            self.failures.discard("block")
        elif what == "plug":
            self.failures.discard("unplug")
        elif what != "state":
            self.failures.add(what)

    def state(self) -> dict:
        goal = self.goal.args if self.goal is not None else None
        return {
            **self.counts,
            "positions": dict(zip(NAMES, self.positions.tolist(), strict=True)),
            "velocities": self.velocities.tolist(),
            "clients": len(self.subscribers),
            "goal": goal,
        }


async def main() -> None:
    robot = Robot()
    lines = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)

    async def failures() -> None:
        while line := await lines.readline():
            await robot.fail(line.decode().strip())
            print(json.dumps(robot.state()), flush=True)

    async with serve(robot.client, "127.0.0.1", 0) as server:
        told = asyncio.create_task(failures())
        print(server.sockets[0].getsockname()[1], flush=True)
        before, cycle = time.monotonic(), 0
        while not told.done():  # until standard input is closed
            await asyncio.sleep(PERIOD)
            now = time.monotonic()
            await robot.cycle(now - before)
            before, cycle = now, cycle + 1
            if cycle % 2:
                await robot.publish_states()
            if cycle % 5 == 0 and robot.goal is not None and "mute" not in robot.failures:
                feedback = {"op": "action_feedback", "action": ACTION, "id": robot.goal.id}
                values = {"joint_names": NAMES, "actual": {"positions": robot.positions.tolist()}}
                await robot.say(robot.goal.bridge, {**feedback, "values": values})
        told.result()


if __name__ == "__main__":
    asyncio.run(main())
