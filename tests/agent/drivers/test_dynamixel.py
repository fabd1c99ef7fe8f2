import importlib.util
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from robo_al_agent.conformance import check_driver
from robo_al_agent.drivers.dynamixel import Dynamixel
from robo_al_agent.errors import DriverError, SetupError

pytest.importorskip("dynamixel_sdk")

EMULATORS = Path(__file__).parents[2] / "emulators"
TICK = 2 * np.pi / 4096
PATIENT = 2.0
"""Seconds of a watchdog that a loaded machine does not trip by chance."""


def emulator(name, link, *arguments):
    found = importlib.util.spec_from_file_location("process", EMULATORS / "process.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.Emulator(name, link, *arguments)


@pytest.fixture
def bus(tmp_path):
    started = emulator("dynamixel_bus", tmp_path / "tty", "--motors", "1,2,3")
    yield started
    started.close()


def motors(**changes):
    motor = {"low": -1.9, "high": 1.9} | changes
    return {f"joint{number}": {"id": number} | motor for number in (1, 2, 3)}


@pytest.fixture
def arm(bus):
    driver = Dynamixel(bus.port, motors(), watchdog_seconds=PATIENT)
    driver.connect()
    yield driver
    driver.close()


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def follow(arm, target):
    """Command until the arm is there."""
    until(lambda: np.abs(arm.read().positions - arm.command(np.array(target), 0.02)).max() < 0.01)


@pytest.mark.proof
def test_it_keeps_the_contract(bus):
    driver = Dynamixel(bus.port, motors(), watchdog_seconds=PATIENT)
    report = check_driver(driver, move=True, cycles=50)
    assert report.spec.watchdog == "device" and report.spec.watchdog_seconds == PATIENT


def test_what_was_sent_is_rounded_to_ticks_within_the_limits(arm, bus):
    sent = arm.command(np.array([0.1, 5.0, -5.0]), 0.02)
    ticks = [bus.state(number)["goal"] for number in (1, 2, 3)]
    np.testing.assert_allclose(sent, (np.array(ticks) - 2048) * TICK, atol=1e-9)
    assert abs(sent[0] - 0.1) <= TICK / 2 and sent[0] != 0.1
    assert 1.9 - TICK < sent[1] <= 1.9 and -1.9 <= sent[2] < -1.9 + TICK


def test_speed_and_direction(bus):
    changes = {"direction": -1, "velocity": 0.5, "effort_per_unit": 0.005}
    arm = Dynamixel(bus.port, motors(**changes), watchdog_seconds=PATIENT)
    arm.connect()
    arm.command(np.array([1.0, 0.0, -1.0]), 0.02)
    until(lambda: abs(arm.read().velocities[0]) > 0.4)
    sample = arm.read()
    assert sample.velocities[0] > 0 and sample.velocities[1] == 0 and sample.velocities[2] < 0
    assert np.abs(sample.velocities).max() < 0.55
    assert sample.efforts[0] > 0 and sample.efforts[2] < 0
    assert sample.positions[0] > 0 and bus.state(1)["position"] < 2048
    arm.close()


def test_connecting_moves_nothing(bus):
    bus("put", 1, 2300)
    arm = Dynamixel(bus.port, motors(), watchdog_seconds=PATIENT)
    arm.connect()
    state = bus.state(1)
    assert state["position"] == state["goal"] == 2300 and state["torque"]
    arm.close()
    assert bus.state(1)["torque"]


def test_the_motors_stop_by_themselves_when_instructions_cease(bus):
    arm = Dynamixel(bus.port, motors(velocity=0.5), watchdog_seconds=0.8)
    arm.connect()
    arm.command(np.full(3, 1.8), 0.02)
    time.sleep(1.6)
    positions = [bus.state(number)["position"] for number in (1, 2, 3)]
    assert max(positions) < 2048 + 1.3 / TICK, "they went on"
    assert [bus.state(number)["velocity"] for number in (1, 2, 3)] == [0, 0, 0]
    bus("register", 1, 116, 3000, 4)
    assert bus.state(1)["goal"] == positions[0], "they refuse goals"
    with pytest.raises(DriverError, match=r"not sent.* no instruction came for 0.8 s"):
        arm.command(np.full(3, 1.8), 0.02)
    assert arm.fault().code == "watchdog"
    arm.clear_fault("Ann")
    assert arm.fault() is None
    arm.close()


def test_an_idle_robot_is_armed_again_by_the_next_command(bus):
    arm = Dynamixel(bus.port, motors(velocity=0.5), watchdog_seconds=0.8)
    arm.connect()
    time.sleep(1.6)
    arm.command(np.full(3, 1.8), 0.02)
    assert arm.fault() is None, "nothing was interrupted"
    until(lambda: arm.read().velocities.min() > 0.4)
    time.sleep(1.6)
    arm.read()
    assert arm.fault().code == "watchdog"
    arm.close()


def test_power_that_failed_while_the_robot_was_idle(bus):
    arm = Dynamixel(bus.port, motors(), watchdog_seconds=0.3)
    arm.connect()
    time.sleep(0.8)
    arm.read()
    bus("vanish", 2)
    bus("appear", 2)
    arm.read()
    assert arm.fault().code == "restarted"
    arm.close()


def test_reading_keeps_the_watchdog_quiet(bus):
    arm = Dynamixel(bus.port, motors(), watchdog_seconds=1.0)
    arm.connect()
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        arm.read()
        time.sleep(0.02)
    assert arm.fault() is None
    arm.close()


def test_after_close_the_watchdog_is_off_for_other_programs(bus):
    arm = Dynamixel(bus.port, motors(), watchdog_seconds=0.3)
    arm.connect()
    arm.close()
    time.sleep(0.8)
    bus("register", 1, 116, 2100, 4)
    assert bus.state(1)["goal"] == 2100


@pytest.mark.parametrize("failure", ["lose", "corrupt"])
def test_a_reply_now_and_then_may_fail(arm, bus, failure):
    bus(failure, 20)
    for _ in range(30):
        arm.read()
    assert arm.fault() is None


def test_on_a_dead_bus_only_reading_fails(arm, bus):
    bus("lose", 1)
    arm.command(np.full(3, 0.1), 0.02)
    assert arm.fault() is None, "a send proves nothing"
    with pytest.raises(DriverError, match=r"motor 1: There is no status packet! \(3 tries\)"):
        arm.read()
    assert arm.fault().code == "no_reply"
    bus("lose", 0)
    arm.clear_fault("Ann")
    follow(arm, [0.1, 0.1, 0.1])


def test_a_reading_is_never_said_to_be_newer_than_it_is(arm, bus):
    bus("delay", 0.2)
    begin = time.monotonic_ns()
    sample = arm.read()
    assert time.monotonic_ns() - begin > 2e8
    assert sample.time_ns - begin < 1e8, "the reply may be to the first request"


def test_replies_that_come_too_late_are_never_taken_for_new_ones(arm, bus):
    bus("delay", 0.6)
    with pytest.raises(DriverError):
        arm.read()
    bus("put", 1, 2500)
    bus("delay", 0)
    time.sleep(1.0)
    assert arm.read().positions[0] == pytest.approx(452 * TICK)


def test_a_hardware_error_is_cleared_by_a_reboot(arm, bus):
    bus("overload", 3)
    arm.read()
    assert arm.fault().code == "overload" and "motor 3" in arm.fault().message
    assert not bus.state(3)["torque"] and bus.state(1)["torque"]
    arm.clear_fault("Ann")
    assert arm.fault() is None
    follow(arm, [0.1, 0.1, 0.1])
    assert bus.state(3)["top_speed"] == bus.state(1)["top_speed"], "its settings are back"


def test_a_hardware_error_that_is_still_there_is_not_cleared(arm, bus):
    bus("voltage", 1, 8.0)
    arm.read()
    assert arm.fault().code == "voltage"
    with pytest.raises(DriverError, match="still there: motor 1: its supply"):
        arm.clear_fault("Ann")
    assert arm.fault().code == "voltage"
    bus("voltage", 1, 12.0)
    arm.clear_fault("Ann")
    assert arm.fault() is None


def test_power_that_failed_for_a_moment(arm, bus):
    bus("vanish", 2)
    bus("appear", 2)
    arm.read()
    assert arm.fault().code == "restarted" and "motor 2" in arm.fault().message
    arm.clear_fault("Ann")
    follow(arm, [0.1, 0.1, 0.1])


def test_release_and_hold_again(arm, bus):
    arm.release()
    assert not any(bus.state(number)["torque"] for number in (1, 2, 3))
    assert arm.fault().code == "released"
    bus("put", 1, 2200)
    arm.clear_fault("Ann")
    assert bus.state(1)["torque"] and bus.state(1)["goal"] == 2200


def test_an_arm_that_is_led_by_hand_is_read_and_then_holds_where_it_is(arm, bus):
    arm.begin_leading()
    assert not any(bus.state(number)["torque"] for number in (1, 2, 3))
    bus("drift", 1, 400)
    deadline = time.monotonic() + 10
    while arm.read().positions[0] < 0.3:
        assert time.monotonic() < deadline
    bus("drift", 1, 0)
    with pytest.raises(DriverError, match="a person leads the arm"):
        arm.command(np.zeros(3), 0.02)
    assert arm.fault() is None
    at = bus.state(1)["position"]
    arm.end_leading()
    state = bus.state(1)
    assert state["torque"] and abs(state["position"] - at) <= 1 and abs(state["goal"] - at) <= 1
    assert arm.fault() is None


def test_a_header_within_data_is_stuffed(arm, bus):
    bus("register", 1, 100, 0xFDFFFF, 3)
    assert arm._connected().read([1], 100, 3) == [(b"\xff\xff\xfd", 0)]


@pytest.mark.parametrize(
    ("registers", "message"),
    [
        ((11, 1), r"motor 2: operating mode 1 \(velocity\), register 11; set 3"),
        ((10, 4), r"drive mode 4, register 10 \(BIT2, value 4: profiles are in ms\); set 0"),
        ((48, 2500, 4), "motor 2: goes from tick 0 to 2500; low and high are ticks 810 to 3286"),
    ],
)
def test_a_motor_that_is_set_up_for_something_else(bus, registers, message):
    bus("register", 2, *registers)
    arm = Dynamixel(bus.port, motors())
    with pytest.raises(DriverError, match=message):
        arm.connect()
    assert not bus.state(1)["torque"], "nothing was switched on"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"watchdog_seconds": 3.0}, "watchdog_seconds: 3.0; 0.02 to 2.54"),
        ({"acceleration": 0.0}, "acceleration: 0.0; 0.4 to 12000"),
        ({"motors": motors(direction=0)}, "motors.joint1.direction"),
    ],
)
def test_parameters_that_cannot_be_used(parameters, message):
    with pytest.raises(SetupError, match=message):
        Dynamixel(**({"port": "/dev/none", "motors": motors()} | parameters))


def test_the_sdk_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "dynamixel_sdk", None)
    with pytest.raises(SetupError, match=r"pip install 'robo-al-agent\[dynamixel\]'"):
        Dynamixel("/dev/none", motors()).connect()
