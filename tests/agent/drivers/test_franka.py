"""Against a stand-in for franky that records the calls: no more is known of this driver."""

import sys
import types
from contextlib import suppress

import numpy as np
import pytest

from robo_al_agent.driver import RobotDriver
from robo_al_agent.drivers.franka import LIMITS, Franka
from robo_al_agent.errors import DriverError, SetupError

POSE = [0.0, -0.5, 0.0, -2.0, 0.0, 1.6, 0.8]


class FrankyError(Exception):
    """franky.Exception"""


class ControlException(FrankyError):
    """franky.ControlException"""


class Recorded:
    """Anything of franky's that is made and handed back."""

    __hash__ = None

    def __init__(self, *arguments, **keywords):
        self.arguments, self.keywords = arguments, keywords

    def __eq__(self, other):
        mine = (type(self), self.keywords, len(self.arguments))
        same = mine == (type(other), other.keywords, len(other.arguments))
        return same and all(map(np.array_equal, self.arguments, other.arguments))


class JointState(Recorded):
    pass


class JointWaypoint(Recorded):
    pass


class JointWaypointMotion(Recorded):
    pass


class JointStopMotion(Recorded):
    pass


class Duration:
    __hash__ = None

    def __init__(self, milliseconds):
        assert isinstance(milliseconds, int)
        self.milliseconds = milliseconds

    def to_msec(self):
        return self.milliseconds

    def __eq__(self, other):
        return self.milliseconds == other.milliseconds


class RobotMode:
    Other, Idle, Move, Guiding, Reflex, UserStopped = range(6)


class RealtimeConfig:
    Enforce, Ignore = "enforce", "ignore"


class Robot:
    made: list["Robot"] = []

    def __init__(self, hostname, relative_dynamics_factor, realtime_config):
        if hostname == "nobody":
            raise FrankyError("libfranka: Connection to FCI refused")
        self.parameters = (hostname, relative_dynamics_factor, realtime_config)
        self.calls = []
        self.mode, self.errors, self.recovers = RobotMode.Idle, False, True
        self.is_in_control, self.stops, self.failed = False, True, None
        self.milliseconds, self.tick, self.gone, self.creeps = 1000, 1, False, False
        Robot.made.append(self)

    @property
    def state(self):
        if self.gone:
            raise FrankyError("libfranka: UDP receive: Timeout")
        self.milliseconds += self.tick
        return types.SimpleNamespace(
            q=list(POSE),
            dq=[0.1] * 7 if self.is_in_control or self.creeps else [0.0] * 7,
            tau_J=[1.0] * 7,
            time=Duration(self.milliseconds),
            robot_mode=self.mode,
            current_errors=["joint_reflex"] if self.errors else [],
        )

    @property
    def has_errors(self):
        return self.errors

    def move(self, motion, asynchronous):
        self._fail()
        self.calls.append(("move", motion, asynchronous))
        self.is_in_control = True

    def join_motion(self, timeout):
        self._fail()
        self.calls.append(("join_motion", timeout))
        self.is_in_control = self.is_in_control and not self.stops
        return not self.is_in_control

    def stop(self):
        self.calls.append(("stop",))
        self.is_in_control = False

    def recover_from_errors(self):
        self.calls.append(("recover_from_errors",))
        self.errors = self.errors and not self.recovers
        self.mode = RobotMode.Idle if self.recovers else self.mode
        return self.recovers

    def _fail(self):
        failed, self.failed = self.failed, None
        if failed is not None:
            raise failed

    def did(self, what):
        return [call for call in self.calls if call[0] == what]


@pytest.fixture
def franky(monkeypatch):
    module = types.ModuleType("franky")
    module.Exception = FrankyError
    for thing in (
        ControlException,
        Duration,
        JointState,
        JointStopMotion,
        JointWaypoint,
        JointWaypointMotion,
        RealtimeConfig,
        Robot,
        RobotMode,
    ):
        setattr(module, thing.__name__, thing)
    monkeypatch.setitem(sys.modules, "franky", module)
    monkeypatch.setattr(Robot, "made", [])
    return module


@pytest.fixture
def driver(franky):
    driver = Franka("172.16.0.2", dynamics=0.05)
    with pytest.warns(UserWarning, match="experimental: it was never tried on an arm"):
        driver.connect()
    yield driver
    with suppress(DriverError):
        driver.close()


@pytest.fixture
def robot(driver):
    return Robot.made[-1]


def test_says_what_it_is():
    spec = Franka("172.16.0.2").describe()
    assert spec.experimental
    assert isinstance(Franka("172.16.0.2"), RobotDriver)
    assert [joint.low for joint in spec.joints] == LIMITS["fr3"][0]
    assert Franka("172.16.0.2", "panda").describe().joints[5].high == 3.7525
    for wrong in ({"model": "fr4"}, {"rate": 1000.0}, {"dynamics": 0.0}):
        with pytest.raises(SetupError):
            Franka("172.16.0.2", **wrong)


def test_connect_moves_and_recovers_nothing(robot):
    assert robot.parameters == ("172.16.0.2", 0.05, "enforce")
    assert not robot.did("move")
    assert not robot.did("recover_from_errors")


@pytest.mark.filterwarnings("ignore:the Franka driver is experimental")
def test_connect_says_what_is_wrong(franky, monkeypatch):
    with pytest.raises(DriverError, match="nobody: libfranka: Connection to FCI refused"):
        Franka("nobody").connect()
    monkeypatch.setattr(Robot, "has_errors", property(lambda robot: True))
    driver = Franka("172.16.0.2")
    with pytest.raises(DriverError, match="reflex"):
        driver.connect()
    with pytest.raises(DriverError, match="not connected"):
        driver.read()
    assert not Robot.made[-1].did("recover_from_errors")


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "franky", None)
    with pytest.raises(SetupError, match=r"robo-al-agent\[franka\]"):
        Franka("172.16.0.2").connect()


def test_reads(driver, robot):
    robot.creeps = True
    one, other = driver.read(), driver.read()
    assert one.positions == pytest.approx(POSE)
    assert one.velocities == pytest.approx([0.1] * 7)
    assert one.efforts == pytest.approx([1.0] * 7)
    assert other.sequence == one.sequence + 1


def test_time_that_stands_still_is_a_fault(driver, robot):
    driver.read()
    robot.tick = 0
    with pytest.raises(DriverError, match="time stands still"):
        driver.read()
    assert driver.fault().code == "stale"


def test_a_command_is_one_waypoint(driver, robot):
    target = np.array(POSE) + 0.01
    assert driver.command(target, 0.0501) == pytest.approx(target)
    waypoint = JointWaypoint(JointState(target), minimum_time=Duration(51))
    [(_, motion, asynchronous)] = robot.did("move")
    assert motion.keywords == {"return_when_finished": False}
    assert motion.arguments == ([waypoint],)
    assert asynchronous
    with pytest.raises(DriverError, match="joint4: 0 rad is outside its limits"):
        driver.command(np.zeros(7), 0.05)
    with pytest.raises(DriverError, match="outside"):
        driver.command(np.full(7, np.nan), 0.05)
    assert len(robot.did("move")) == 1


def test_stops(driver, robot):
    driver.safe_stop()
    assert not robot.did("move")
    driver.command(np.array(POSE), 0.05)
    driver.safe_stop()
    assert robot.did("move")[-1] == ("move", JointStopMotion(), True)
    assert robot.did("join_motion")[-1] == ("join_motion", 1.0)
    assert not robot.did("stop")


def test_a_stop_that_does_not_end_is_ended(driver, robot):
    driver.command(np.array(POSE), 0.05)
    robot.stops = False
    with pytest.raises(DriverError, match="ended without a ramp"):
        driver.safe_stop()
    assert len(robot.did("stop")) == 1


def test_a_stop_is_believed_when_it_is_measured(driver, robot):
    driver.command(np.array(POSE), 0.05)
    robot.creeps = True
    with pytest.raises(DriverError, match="the stop failed: joint joint1 still moves at 0.1 rad/s"):
        driver.safe_stop()


def test_an_arm_whose_time_stands_is_not_cleared(driver, robot):
    robot.errors, robot.mode = True, RobotMode.Reflex
    assert driver.fault().code == "reflex"
    robot.tick = 0
    with pytest.raises(DriverError, match="time stands still"):
        driver.clear_fault("Ada")
    assert driver.fault().code == "reflex"


def test_errors_are_recovered_from_by_a_person_alone(driver, robot):
    robot.errors, robot.mode, robot.recovers = True, RobotMode.Reflex, False
    assert driver.fault().code == "reflex"
    assert "joint_reflex" in driver.fault().message
    with pytest.raises(DriverError, match="reflex"):
        driver.command(np.array(POSE), 0.05)
    assert not robot.did("recover_from_errors")
    with pytest.raises(DriverError, match="has stopped itself"):
        driver.clear_fault("Ada")
    assert driver.fault().code == "reflex"
    robot.recovers = True
    driver.clear_fault("Ada")
    assert driver.fault() is None
    assert len(robot.did("recover_from_errors")) == 2
    driver.clear_fault("Ada")
    assert len(robot.did("recover_from_errors")) == 2


def test_the_stop_button_prevails_and_stays(driver, robot):
    robot.errors = True
    assert driver.fault().code == "reflex"
    robot.mode = RobotMode.UserStopped
    assert driver.fault().code == "estop"
    robot.mode, robot.errors = RobotMode.Idle, False
    assert driver.fault().code == "estop"


def test_what_ended_a_motion_is_a_fault(driver, robot):
    driver.command(np.array(POSE), 0.05)
    robot.is_in_control = False
    robot.failed = ControlException("communication_constraints_violation")
    assert driver.fault().code == "control_error"
    driver.clear_fault("Ada")
    robot.is_in_control = True
    robot.failed = ControlException("joint_velocity_violation")
    with pytest.raises(DriverError, match="joint_velocity_violation"):
        driver.command(np.array(POSE), 0.05)
    assert driver.fault().code == "control_error"


@pytest.mark.filterwarnings("ignore:the Franka driver is experimental")
def test_a_lost_arm_is_connected_anew_by_a_person(driver, robot, monkeypatch):
    robot.gone = True
    with pytest.raises(DriverError, match="UDP receive: Timeout"):
        driver.read()
    assert driver.fault().code == "no_reply"
    with monkeypatch.context() as patch:
        patch.setattr(driver, "_hostname", "nobody")
        with pytest.raises(DriverError, match="refused"):
            driver.clear_fault("Ada")
    assert driver.fault().code == "no_reply"
    driver.clear_fault("Ada")
    assert driver.fault() is None
    assert Robot.made[-1] is not robot
    assert driver.read().positions == pytest.approx(POSE)


def test_closes_twice(driver, robot):
    driver.command(np.array(POSE), 0.05)
    driver.close()
    driver.close()
    assert robot.did("move")[-1][1] == JointStopMotion()
    with pytest.raises(DriverError, match="not connected"):
        driver.command(np.array(POSE), 0.05)


def test_release_is_refused(driver):
    with pytest.raises(DriverError, match="Desk"):
        driver.release()


@pytest.mark.filterwarnings("ignore:the Franka driver is experimental")
def test_an_arm_has_one_owner(driver):
    other = Franka("172.16.0.2")
    with pytest.raises(DriverError, match="franka 172.16.0.2 is in use by this very process"):
        other.connect()
    driver.close()
    other.connect()
    other.close()
