"""The real roslibpy against a server that speaks rosbridge's protocol, in a process of its own."""

import runpy
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from robo_al_agent.conformance import check_driver
from robo_al_agent.driver import TrajectoryDriver
from robo_al_agent.drivers.ros2_trajectory import Ros2Trajectory
from robo_al_agent.errors import DriverError, SetupError
from robo_al_agent.robot import JointTrajectory, Tolerance

pytest.importorskip("roslibpy")

process = runpy.run_path(str(Path(__file__).parents[2] / "emulators" / "process.py"))
JOINTS = {
    name: {"low": -2.0, "high": 2.0, "velocity": 2.0, "effort": 50.0}
    for name in ("pan", "lift", "elbow")
}
"""In another order than ROS publishes them."""
START = [0.3, -1.0, 0.9]


def tolerance(path: float, goal: float, goal_seconds: float) -> Tolerance:
    """Return the same tolerance for each of the three joints."""
    return Tolerance(np.full(3, path), np.full(3, goal), goal_seconds)


LOOSE = tolerance(path=0.2, goal=0.02, goal_seconds=1.0)


class Emulator(process["Process"]):
    def __init__(self):
        super().__init__("rosbridge")
        self.port = int(self.said)

    def state(self):
        return self.tell("state")


def await_that(true, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def bridge():
    emulator = Emulator()
    yield emulator
    emulator.close()


@pytest.fixture
def emulator(bridge):
    yield bridge
    await_that(lambda: bridge.state()["clients"] == 0)  # what was sent last has come
    bridge.tell("mend")


def driver_of(emulator, **parameters):
    return Ros2Trajectory(JOINTS, port=emulator.port, controller="/arm_controller", **parameters)


@pytest.fixture
def arm(emulator):
    driver = driver_of(emulator)
    driver.connect()
    yield driver
    driver.close()


def latched(driver, code):
    await_that(lambda: driver.fault() is not None)
    assert driver.fault().code == code


def swing(joint=0, distance=0.3, seconds=0.6, steps=12):
    """A minimum-jerk motion of one joint from the start."""
    s = np.arange(1, steps + 1) / steps
    positions, velocities = np.tile(START, (steps, 1)), np.zeros((steps, 3))
    positions[:, joint] += distance * (10 * s**3 - 15 * s**4 + 6 * s**5)
    velocities[:, joint] = distance / seconds * (30 * s**2 - 60 * s**3 + 30 * s**4)
    return JointTrajectory(s * seconds, positions, velocities)


def run(driver, trajectory, tolerance=LOOSE):
    samples = []
    ended = driver.execute(trajectory, tolerance, samples.append)
    return ended, samples


@pytest.mark.proof
def test_keeps_the_contract(emulator):
    driver = driver_of(emulator)
    assert isinstance(driver, TrajectoryDriver)
    report = check_driver(driver, move=True, cycles=20)
    assert report.moved
    assert report.spec.watchdog == "none"


def test_joints_are_matched_by_name(arm, emulator):
    before = emulator.state()["points"]
    sample = arm.read()
    assert sample.positions == pytest.approx(START)
    assert sample.efforts == pytest.approx([3.0, 2.0, 1.0])
    arm.command(np.array([0.5, -1.0, 0.9]), 0.1)
    await_that(lambda: abs(arm.read().positions[0] - 0.5) < 1e-3)
    assert emulator.state()["positions"]["pan"] == pytest.approx(0.5, abs=1e-3)
    assert emulator.state()["positions"]["gripper"] == pytest.approx(0.02)
    with pytest.raises(DriverError, match=r"elbow: 3 is outside its limits \[-2, 2\]"):
        arm.command(np.array([0.5, -1.0, 3.0]), 0.1)
    assert emulator.state()["points"] == before + 1


def test_executes_a_trajectory(arm, emulator):
    trajectory = swing()
    seen = []

    def watch(sample):
        seen.append(sample)
        if len(seen) == 3:
            seen.append(emulator.state()["goal"])

    ended = arm.execute(trajectory, LOOSE, watch)
    goal = seen.pop(3)
    assert (ended.kind, ended.fraction) == ("SUCCEEDED", 1.0)
    assert arm.read().positions == pytest.approx(trajectory.positions[-1], abs=0.02)
    assert [sample.sequence for sample in seen] == sorted({sample.sequence for sample in seen})
    assert len(seen) > 10
    assert goal["trajectory"]["joint_names"] == ["pan", "lift", "elbow"]
    assert len(goal["trajectory"]["points"]) == 12
    assert goal["goal_time_tolerance"] == {"sec": 1, "nanosec": 0}
    for which, position in (("path_tolerance", 0.2), ("goal_tolerance", 0.02)):
        unchecked = {"velocity": -1.0, "acceleration": -1.0}
        expected = [{"name": name, "position": position, **unchecked} for name in JOINTS]
        assert goal[which] == expected


def test_tolerances_that_would_mean_something_else_are_refused(arm, emulator):
    for wrong in (tolerance(0.0, 0.1, 1.0), tolerance(0.1, -1.0, 1.0), tolerance(0.1, 0.1, 0.0)):
        with pytest.raises(DriverError, match="tolerances must be above 0"):
            run(arm, swing(), wrong)
    with pytest.raises(DriverError, match="must end at rest"):
        moving = swing()
        run(arm, JointTrajectory(moving.seconds, moving.positions, moving.velocities + 0.1))
    assert emulator.state()["goal"] is None


def test_a_blocked_arm_violates_the_path_tolerance(arm, emulator):
    emulator.tell("block")
    ended, _ = run(arm, swing(), tolerance(path=0.05, goal=0.02, goal_seconds=1.0))
    assert ended.kind == "TOLERANCE_VIOLATED"
    assert ended.reason.startswith("PATH_TOLERANCE_VIOLATED")
    assert 0 < ended.fraction < 1
    assert arm.fault() is None


def test_an_arm_that_stops_short_violates_the_goal_tolerance(arm, emulator):
    emulator.tell("offset")
    ended, _ = run(arm, swing(), tolerance(path=0.2, goal=0.02, goal_seconds=0.2))
    assert (ended.kind, ended.fraction) == ("TOLERANCE_VIOLATED", 1.0)
    assert ended.reason.startswith("GOAL_TOLERANCE_VIOLATED")


def test_a_frozen_encoder_violates_the_path_tolerance(arm, emulator):
    emulator.tell("freeze_encoder")
    first = arm.read()
    ended, samples = run(arm, swing(), tolerance(path=0.1, goal=0.02, goal_seconds=1.0))
    assert ended.kind == "TOLERANCE_VIOLATED"
    assert all((sample.positions == first.positions).all() for sample in samples)
    assert samples[-1].sequence > first.sequence + 5


@pytest.mark.parametrize(
    ("code", "name"),
    [(-1, "INVALID_GOAL"), (-2, "INVALID_JOINTS"), (-3, "OLD_HEADER_TIMESTAMP"), (-9, "ABORTED")],
)
def test_error_codes(arm, emulator, code, name):
    emulator.tell(f"answer {code}")
    ended, _ = run(arm, swing())
    assert ended.kind == "FAULTED"
    assert ended.reason.startswith(name)


def test_a_rejected_goal(arm, emulator):
    emulator.tell("reject")
    ended, _ = run(arm, swing())
    assert (ended.kind, ended.fraction) == ("FAULTED", 0.0)
    assert ended.reason == "the goal was not executed: Action goal was rejected"
    assert arm.fault() is None


def test_cancel_from_another_thread(arm, emulator):
    cancelling = threading.Timer(0.5, arm.cancel)
    cancelling.start()
    ended, _ = run(arm, swing(distance=1.0, seconds=2.0))
    cancelling.join()
    assert ended.kind == "ABORTED_OPERATOR"
    assert 0.1 < ended.fraction < 0.9
    there = arm.read().positions[0]
    assert START[0] < there < START[0] + 0.9
    time.sleep(0.3)
    assert arm.read().positions[0] == pytest.approx(there, abs=0.02)


def test_what_the_samples_handler_raises_cancels(arm, emulator):
    before = emulator.state()["cancels"]

    def fail(sample):
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        arm.execute(swing(seconds=2.0), LOOSE, fail)
    await_that(lambda: emulator.state()["cancels"] == before + 1)


def test_a_result_that_never_comes(arm, emulator, monkeypatch):
    monkeypatch.setattr("robo_al_agent.drivers.ros2_trajectory.REPLY", 0.3)
    emulator.tell("mute")
    ended, samples = run(arm, swing(seconds=0.3), tolerance(0.2, 0.02, 0.2))
    assert ended.kind == "FAULTED"
    assert ended.reason.startswith("no_reply: the controller has not said how its goal ended")
    assert len(samples) > 10
    assert arm.fault().code == "no_reply"
    with pytest.raises(DriverError, match="no_reply"):
        run(arm, swing())
    emulator.tell("mend")
    arm.clear_fault("Ada")
    assert run(arm, swing())[0].kind == "SUCCEEDED"


@pytest.mark.parametrize("failure", ["stop_states", "freeze_states"])
def test_joint_states_that_stop(arm, emulator, failure, monkeypatch):
    failing = threading.Timer(0.3, emulator.tell, [failure])
    failing.start()
    ended, _ = run(arm, swing(seconds=2.0))
    failing.join()
    assert ended.kind == "FAULTED"
    assert ended.reason.startswith("stale: there was no new joint state for 0.5")
    await_that(lambda: emulator.state()["goal"] is None)
    with pytest.raises(DriverError, match="stale"):
        arm.read()
    with monkeypatch.context() as patch, pytest.raises(DriverError, match="stale"):
        patch.setattr("robo_al_agent.drivers.ros2_bridge.REPLY", 1.0)
        arm.clear_fault("Ada")
    assert arm.fault().code == "stale"
    emulator.tell("mend")
    assert arm.fault().code == "stale"
    arm.clear_fault("Ada")
    assert arm.fault() is None


def test_a_missing_joint_is_a_fault(arm, emulator):
    emulator.tell("lose_joint")
    latched(arm, "missing_joints")
    with pytest.raises(DriverError, match="the joint states lack elbow"):
        arm.command(np.array(START), 0.1)


def test_velocities_that_are_not_measured_are_differences(arm, emulator):
    emulator.tell("null_velocities")
    arm.command(np.array([1.3, -1.0, 0.9]), 2.0)
    time.sleep(0.5)
    assert arm.read().velocities[0] == pytest.approx(0.5, abs=0.4)
    assert np.abs(arm.read().velocities[1:]).max() < 0.05


def test_a_dropped_connection(arm, emulator):
    dropping = threading.Timer(0.3, emulator.tell, ["drop"])
    dropping.start()
    ended, _ = run(arm, swing(distance=0.5, seconds=1.5))
    dropping.join()
    assert ended.kind == "FAULTED"
    assert ended.reason.startswith("no_reply: the connection to rosbridge is lost")
    assert "the arm may still move" in ended.reason
    with pytest.raises(DriverError, match="finishes what it was told"):
        arm.safe_stop()
    points = emulator.state()["points"]
    for _ in range(5):
        with pytest.raises(DriverError, match="no_reply"):
            arm.command(np.array(START), 0.1)
    time.sleep(1.5)
    assert emulator.state()["clients"] == 0
    arm.clear_fault("Ada")
    assert emulator.state()["points"] == points
    assert arm.read().positions[0] > START[0]


def test_connect_says_what_is_missing(emulator, monkeypatch):
    with pytest.raises(DriverError, match="/other/follow_joint_trajectory: no such action; there"):
        Ros2Trajectory(JOINTS, port=emulator.port, controller="/other").connect()
    monkeypatch.setattr("robo_al_agent.drivers.ros2_bridge.REPLY", 0.5)
    with pytest.raises(DriverError, match="rosbridge does not answer at 127.0.0.1:9"):
        Ros2Trajectory(JOINTS, port=9).connect()
    emulator.tell("stop_states")
    driver = driver_of(emulator, stale_seconds=0.1)
    with pytest.raises(DriverError, match="stale"):
        driver.connect()
    with pytest.raises(DriverError, match="not connected"):
        driver.read()
    driver.close()
    await_that(lambda: emulator.state()["clients"] == 0)


def test_a_stop_is_believed_when_it_is_measured(arm, emulator):
    emulator.tell("creep")
    with pytest.raises(
        DriverError, match=r"the stop failed: joint pan still moves at 0\.\d+ rad/s"
    ):
        arm.safe_stop()
    emulator.tell("mend")
    arm.safe_stop()


def test_an_arm_that_moves_by_itself_is_not_cleared(arm, emulator):
    emulator.tell("lose_joint")
    latched(arm, "missing_joints")
    emulator.tell("mend")
    emulator.tell("creep")
    with pytest.raises(DriverError, match="joint pan still moves"):
        arm.clear_fault("Ada")
    assert arm.fault().code == "missing_joints"
    emulator.tell("mend")
    arm.clear_fault("Ada")
    assert arm.fault() is None


def test_joint_states_that_are_older_are_dropped(arm, emulator):
    emulator.tell("old_states")
    for _ in range(20):
        assert arm.read().positions == pytest.approx(START, abs=0.01)
    assert arm.fault() is None


def test_efforts_that_are_promised_and_not_told_are_a_fault(arm, emulator):
    assert arm.read().efforts == pytest.approx([3.0, 2.0, 1.0])
    emulator.tell("no_efforts")
    latched(arm, "no_effort")
    with pytest.raises(DriverError, match="tell no effort of pan, lift, elbow"):
        arm.command(np.array(START), 0.1)


def test_efforts_that_nobody_promised(emulator):
    limits = {name: {**limit, "effort": None} for name, limit in JOINTS.items()}
    driver = Ros2Trajectory(limits, port=emulator.port, controller="/arm_controller")
    driver.connect()
    assert driver.read().efforts == pytest.approx(np.zeros(3))
    assert {joint.effort for joint in driver.describe().joints} == {None}
    driver.close()


def test_joint_states_that_are_too_short(arm, emulator):
    emulator.tell("short_states")
    latched(arm, "bad_state")


def test_a_controller_has_one_owner(arm, emulator):
    with pytest.raises(DriverError, match="in use by this very process"):
        driver_of(emulator).connect()
    with pytest.raises(DriverError, match="in use by this very process"):  # by another name
        driver_of(emulator, host="localhost").connect()


def test_release_is_refused(arm):
    with pytest.raises(DriverError, match="own means"):
        arm.release()


@pytest.mark.parametrize(
    ("joints", "told"),
    [
        ({"pan": {"low": -1.0, "velocity": 1.0}}, r"joints\.pan\.high: missing"),
        ({"pan": {**JOINTS["pan"], "unit": "deg"}}, r"joints\.pan\.unit"),
        ({"pan": {**JOINTS["pan"], "low": 3.0}}, "low below its high"),
        ({}, "low below its high"),
    ],
)
def test_parameters_that_cannot_be_used(joints, told):
    with pytest.raises(SetupError, match=told):
        Ros2Trajectory(joints)


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "roslibpy", None)
    with pytest.raises(SetupError, match=r"robo-al-agent\[ros2\]"):
        Ros2Trajectory(JOINTS).connect()
