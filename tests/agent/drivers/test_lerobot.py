"""Runs in LeRobot's own environment only: `make test-drivers`."""

import importlib.util
import json
import math
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot")
pytest.importorskip("scservo_sdk")

from robo_al_agent.conformance import check_driver
from robo_al_agent.drivers.lerobot import LeRobot
from robo_al_agent.errors import DriverError, SetupError

EMULATORS = Path(__file__).parents[2] / "emulators"
ARM = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")
RANGE, GRIPPER = (824, 3272), (2000, 3100)
UNIT = 2 * math.pi / 4095
SPAN = (GRIPPER[1] - GRIPPER[0]) * UNIT


def emulator(name, link, *arguments):
    found = importlib.util.spec_from_file_location("process", EMULATORS / "process.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.Emulator(name, link, *arguments)


@pytest.fixture
def bus(tmp_path):
    """An SO-101 on a pty that holds the calibration which lies in `tmp_path`."""
    started = emulator("feetech_bus", tmp_path / "tty")
    entries = {}
    for number, name in enumerate((*ARM, "gripper"), start=1):
        low, high = GRIPPER if name == "gripper" else RANGE
        started("register", number, 9, low, 2)
        started("register", number, 11, high, 2)
        entries[name] = {
            "id": number,
            "drive_mode": 0,
            "homing_offset": 0,
            "range_min": low,
            "range_max": high,
        }
    started("put", 6, 2300)
    (tmp_path / "arm.json").write_text(json.dumps(entries))
    yield started
    started.close()


def joints(**changes):
    arm = {"scale": "degrees", "low": -1.8, "high": 1.8} | changes
    return {name: arm for name in ARM} | {
        "gripper": {"scale": "range_0_100", "low": 0.0, "high": SPAN}
    }


def robot(bus, **changes):
    folder = str(Path(bus.port).parent)
    config = {"port": bus.port, "id": "arm", "calibration_dir": folder}
    parameters = {"type": "so101_follower", "config": config, "joints": joints()}
    return LeRobot(**(parameters | changes))


@pytest.fixture
def arm(bus):
    driver = robot(bus)
    driver.connect()
    yield driver
    driver.close()


def follow(arm, target):
    """Command until the arm is there."""
    deadline = time.monotonic() + 10.0
    near = np.array([1.0 if joint.unit == "%" else 0.01 for joint in arm.describe().joints])
    while (np.abs(arm.read().positions - arm.command(np.array(target), 0.03)) > near).any():
        assert time.monotonic() < deadline, "it did not get there"
        time.sleep(0.01)


def test_it_keeps_the_contract(bus):
    report = check_driver(robot(bus), move=True, cycles=50)
    assert report.spec.name == "so101_follower" and report.cycle_p50 < 0.1


def test_degrees_and_shares_of_the_range(arm, bus):
    follow(arm, [0.5, -0.5, 0.0, 1.0, -1.0, SPAN / 4])
    ticks = [bus.state(number)["position"] for number in range(1, 7)]
    middle = np.array([2048 + angle / UNIT for angle in (0.5, -0.5, 0.0, 1.0, -1.0)])
    np.testing.assert_allclose(ticks[:5], middle, atol=8)
    assert abs(ticks[5] - (2000 + 1100 / 4)) < 8


def test_shares_of_the_range_for_the_arm_too(bus):
    half = (RANGE[1] - RANGE[0]) * UNIT / 2
    config = {"port": bus.port, "id": "arm", "calibration_dir": str(Path(bus.port).parent)}
    entries = joints(scale="range_m100_100", low=-half, high=half)
    driver = robot(bus, config=config | {"use_degrees": False}, joints=entries)
    driver.connect()
    follow(driver, [0.5, 0.0, 0.0, 0.0, -0.5, 0.5])
    assert abs(bus.state(1)["position"] - (2048 + 0.5 / UNIT)) < 8
    driver.close()


def test_limits_clip_what_is_sent(arm):
    sent = arm.command(np.array([9.0, 0, 0, 0, -9.0, 0.5]), 0.03)
    np.testing.assert_allclose(sent[[0, 4]], [1.8, -1.8])


def test_a_send_on_a_dead_bus_proves_nothing(arm, bus):
    bus("lose", 1)
    arm.command(np.zeros(6) + 0.1, 0.03)
    assert arm.fault() is None and arm._robot.is_connected
    with pytest.raises(DriverError, match=r"ConnectionError: .*\(3 tries\)"):
        arm.read()
    assert arm.fault().code == "no_reply"
    with pytest.raises(DriverError, match="not sent"):
        arm.command(np.zeros(6), 0.03)
    with pytest.raises(DriverError):
        arm.clear_fault("Ann")
    bus("lose", 0)
    arm.clear_fault("Ann")
    assert arm.fault() is None
    follow(arm, np.zeros(6) + 0.1)


def test_a_reply_now_and_then_may_fail(arm, bus):
    bus("lose", 20)
    for _ in range(10):
        arm.read()
    assert arm.fault() is None


def test_replies_that_come_too_late_are_never_taken_for_new_ones(arm, bus):
    bus("delay", 0.6)
    with pytest.raises(DriverError):
        arm.read()
    bus("put", 1, 2500)
    bus("delay", 0)
    time.sleep(1.0)
    assert arm.read().positions[0] == pytest.approx((2500 - 2048) * UNIT, abs=2 * UNIT)


def test_closing_holds_and_releasing_lets_go(arm, bus):
    arm.release()
    assert not bus.state(1)["torque"] and arm.fault().code == "released"
    arm.safe_stop()
    assert not bus.state(1)["torque"], "a stop does not wake it"
    bus("put", 1, 2200)
    arm.clear_fault("Ann")
    assert bus.state(1)["torque"] and abs(bus.state(1)["goal"] - 2200) <= 1
    arm.close()
    arm.close()
    assert bus.state(1)["torque"]
    with pytest.raises(DriverError, match="not connected"):
        arm.read()


def test_an_arm_is_led_by_hand_and_then_holds_where_it_is(arm, bus):
    arm.begin_leading()
    assert not bus.state(1)["torque"] and arm.fault() is None
    bus("put", 1, 2200)
    arm.end_leading()
    assert bus.state(1)["torque"] and abs(bus.state(1)["goal"] - 2200) <= 1
    assert arm.fault() is None


def test_a_stop_is_believed_when_it_is_measured(arm, bus):
    bus("drift", 1, 300)
    told = r"the stop failed: joint shoulder_pan still moves at 0.4\d* rad/s"
    with pytest.raises(DriverError, match=told):
        arm.safe_stop()
    bus("drift", 1, 0)
    arm.safe_stop()


def test_motors_that_count_turns_are_refused(bus):
    bus("register", 5, 18, 28)
    with pytest.raises(
        DriverError, match=r"wrist_roll: multi-turn feedback is on .*BIT4, value 16"
    ):
        robot(bus).connect()


def test_a_port_has_one_owner(arm, bus):
    with pytest.raises(DriverError, match="in use by this very process"):
        robot(bus).connect()


def test_a_gripper_in_percent(bus):
    entries = joints() | {"gripper": {"scale": "range_0_100", "low": 0, "high": 100, "unit": "%"}}
    driver = robot(bus, joints=entries)
    driver.connect()
    follow(driver, [0.0, 0.0, 0.0, 0.0, 0.0, 25.0])
    assert abs(bus.state(6)["position"] - 2275) < 20  # it follows to within 1 %
    assert driver.describe().joints[5].unit == "%"
    driver.close()


def test_a_calibration_that_the_motors_do_not_hold(bus):
    bus("register", 1, 9, 700, 2)
    with pytest.raises(DriverError, match="another calibration .*: run lerobot-calibrate"):
        robot(bus).connect()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "so202"}, "type: LeRobot knows no 'so202'; it knows .*so101_follower"),
        ({"config": {"prt": "x"}}, "config: DecodingError: The fields `prt` are not valid"),
        ({"joints": {"tail": joints()["gripper"]}}, "joints.tail: so101_follower has no such"),
        ({"joints": joints(scale="radians")}, "LeRobot's scale of it is degrees, not radians"),
        ({"joints": joints(high=2.0)}, "low or high is 114.6 degrees from the middle"),
        (
            {"joints": {"gripper": {"scale": "range_0_100", "low": 0.0, "high": 1.0}}},
            "high - low is 1.000 rad, the calibrated range 1.688",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_touched(bus, changes, message):
    with pytest.raises(SetupError, match=message):
        robot(bus, **changes).connect()
    assert not bus.state(1)["torque"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "joints: none"),
        (joints(low=2.0), "joints.shoulder_pan: low 2.0 is not below high 1.8"),
        (joints(scale="turns"), "joints.shoulder_pan.scale"),
    ],
)
def test_joints_that_cannot_be_used(entries, message):
    with pytest.raises(SetupError, match=message):
        LeRobot("so101_follower", {}, entries)
