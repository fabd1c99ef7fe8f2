import importlib.util
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from robo_al_agent.conformance import check_driver
from robo_al_agent.drivers.feetech import Feetech
from robo_al_agent.errors import DriverError, SetupError

pytest.importorskip("scservo_sdk")

EMULATORS = Path(__file__).parents[2] / "emulators"
TICK = 2 * np.pi / 4096


def emulator(name, link, *arguments):
    found = importlib.util.spec_from_file_location("process", EMULATORS / "process.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.Emulator(name, link, *arguments)


@pytest.fixture
def bus(tmp_path):
    started = emulator("feetech_bus", tmp_path / "tty")
    yield started
    started.close()


def motors(**changes):
    motor = {"low": -1.9, "high": 1.9} | changes
    return {f"joint{number}": {"id": number} | motor for number in (1, 2, 3)}


@pytest.fixture
def arm(bus):
    driver = Feetech(bus.port, motors())
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


def test_it_keeps_the_contract(bus):
    report = check_driver(Feetech(bus.port, motors()), move=True, cycles=50)
    assert report.spec.watchdog == "none" and report.cycle_p99 < 1.0


def test_what_was_sent_is_rounded_to_ticks_within_the_limits(arm, bus):
    sent = arm.command(np.array([0.1, 5.0, -5.0]), 0.02)
    ticks = [bus.state(number)["goal"] for number in (1, 2, 3)]
    np.testing.assert_allclose(sent, (np.array(ticks) - 2048) * TICK, atol=1e-9)
    assert abs(sent[0] - 0.1) <= TICK / 2 and sent[0] != 0.1
    assert 1.9 - TICK < sent[1] <= 1.9 and -1.9 <= sent[2] < -1.9 + TICK


def test_zero_and_direction(bus):
    arm = Feetech(bus.port, motors(zero=1500, direction=-1))
    arm.connect()
    bus("put", 2, 1600)
    assert arm.read().positions[1] == pytest.approx(-100 * TICK)
    follow(arm, [0.5, 0.0, -0.5])
    ticks = [bus.state(number)["position"] for number in (1, 2, 3)]
    np.testing.assert_allclose(ticks, [1500 - 0.5 / TICK, 1500, 1500 + 0.5 / TICK], atol=8)
    arm.close()


def test_velocity_has_the_sign_of_the_joint(bus):
    arm = Feetech(bus.port, motors(direction=-1, velocity=0.5, effort_per_unit=0.002))
    arm.connect()
    arm.command(np.array([1.0, 0.0, -1.0]), 0.02)
    until(lambda: abs(arm.read().velocities[0]) > 0.4)
    sample = arm.read()
    assert sample.velocities[0] > 0 and sample.velocities[1] == 0 and sample.velocities[2] < 0
    assert np.abs(sample.velocities).max() < 0.55
    assert sample.efforts[0] > 0 and sample.efforts[2] < 0
    arm.close()


def test_connecting_moves_nothing(bus):
    bus("put", 1, 2300)
    bus("register", 1, 42, 1000, 2)  # an old goal, on its way
    until(lambda: bus.state(1)["velocity"] < -1000)
    arm = Feetech(bus.port, motors())
    arm.connect()
    assert bus.state(1)["goal"] > 1100, "the old goal is still there"
    until(lambda: bus.state(1)["velocity"] == 0)
    assert bus.state(2)["position"] == 2048
    assert all(bus.state(number)["torque"] for number in (1, 2, 3))
    arm.close()


def test_an_arm_that_rests_outside_its_limits_is_held_there(bus):
    bus("put", 2, 3500)
    arm = Feetech(bus.port, motors())
    arm.connect()
    assert bus.state(2)["goal"] == 3500
    arm.close()


@pytest.mark.parametrize("failure", ["lose", "corrupt"])
def test_a_reply_now_and_then_may_fail(arm, bus, failure):
    bus(failure, 20)
    for _ in range(30):
        arm.read()
    assert arm.fault() is None


def test_on_a_dead_bus_only_reading_fails(arm, bus):
    bus("lose", 1)
    sent = arm.command(np.full(3, 0.1), 0.02)
    assert sent.shape == (3,) and arm.fault() is None, "a send proves nothing"
    begin = time.monotonic()
    with pytest.raises(DriverError, match=r"motor 1: There is no status packet! \(3 tries\)"):
        arm.read()
    assert time.monotonic() - begin < 5
    assert arm.fault().code == "no_reply"
    with pytest.raises(DriverError, match="not sent, a fault is latched"):
        arm.command(np.zeros(3), 0.02)
    with pytest.raises(DriverError):
        arm.clear_fault("Ann")
    bus("lose", 0)
    arm.read()
    assert arm.fault().code == "no_reply", "it is latched until a person clears it"
    arm.clear_fault("Ann")
    assert arm.fault() is None
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


def test_one_motor_gone_and_the_others_are_stopped(bus):
    arm = Feetech(bus.port, motors(velocity=1.0))
    arm.connect()
    arm.command(np.full(3, 1.8), 0.02)
    until(lambda: arm.read().velocities.min() > 0.8)
    bus("vanish", 2)
    with pytest.raises(DriverError, match="motor 2"):
        arm.read()
    with pytest.raises(DriverError, match="motor 2"):
        arm.safe_stop()
    for number in (1, 3):
        until(lambda number=number: bus.state(number)["velocity"] == 0)
        state = bus.state(number)
        assert state["position"] < 2048 + 1.7 / TICK and state["torque"]
    arm.close()


def test_a_stop_brakes_without_turning_back(bus):
    arm = Feetech(bus.port, motors(velocity=2.0), acceleration=5.0)
    arm.connect()
    arm.command(np.full(3, 1.8), 0.02)
    until(lambda: arm.read().velocities.min() > 1.5)
    arm.safe_stop()
    start = bus.state(1)["position"]
    highest = start
    deadline = time.monotonic() + arm.describe().stop_seconds
    while time.monotonic() < deadline:
        highest = max(highest, bus.state(1)["position"])
    end = bus.state(1)
    assert end["velocity"] == 0 and end["torque"]
    assert end["position"] > highest - 30, "it came back"
    assert end["position"] < 2048 + 1.7 / TICK, "it went on to its goal"
    arm.close()


def test_an_error_bit_is_latched_with_a_reading_that_is_good(arm, bus):
    bus("overload", 3)
    assert arm.read().sequence == 1
    assert arm.fault().code == "overload" and "motor 3" in arm.fault().message
    with pytest.raises(DriverError, match="not sent"):
        arm.command(np.zeros(3), 0.02)
    arm.clear_fault("Ann")
    assert arm.fault() is None
    follow(arm, [0.0, 0.0, 0.1])


def test_an_error_that_is_still_there_is_not_cleared(arm, bus):
    bus("voltage", 1, 4.0)
    arm.read()
    assert arm.fault().code == "voltage"
    with pytest.raises(DriverError, match="still there: motor 1: its supply"):
        arm.clear_fault("Ann")
    assert arm.fault().code == "voltage"
    bus("voltage", 1, 7.4)
    arm.clear_fault("Ann")
    assert arm.fault() is None


def test_power_that_failed_for_a_moment(arm, bus):
    bus("vanish", 2)
    bus("appear", 2)
    arm.read()
    assert arm.fault().code == "torque_off" and "motor 2" in arm.fault().message
    arm.clear_fault("Ann")
    follow(arm, [0.1, 0.1, 0.1])
    assert bus.state(2)["top_speed"] == bus.state(1)["top_speed"], "its settings are back"


def test_release_and_hold_again(arm, bus):
    arm.release()
    assert not any(bus.state(number)["torque"] for number in (1, 2, 3))
    assert arm.fault().code == "released"
    with pytest.raises(DriverError, match="not sent"):
        arm.command(np.zeros(3), 0.02)
    arm.safe_stop()
    assert not bus.state(1)["torque"], "a stop does not wake it"
    bus("put", 1, 2200)
    arm.clear_fault("Ann")
    assert bus.state(1)["torque"] and bus.state(1)["goal"] == 2200


def test_an_arm_that_is_led_by_hand_is_read_and_not_commanded(arm, bus):
    follow(arm, [0.2, 0.0, 0.0])
    arm.begin_leading()
    assert not any(bus.state(number)["torque"] for number in (1, 2, 3))
    bus("drift", 1, 400)
    until(lambda: arm.read().positions[0] > 0.4)
    bus("drift", 1, 0)
    for order in (arm.command, arm.recover):
        with pytest.raises(DriverError, match="a person leads the arm"):
            order(np.zeros(3), 0.02)
    arm.safe_stop()
    assert arm.fault() is None and not bus.state(1)["torque"]
    at = bus.state(1)["position"]
    arm.end_leading()
    state = bus.state(1)
    assert state["torque"] and abs(state["position"] - at) <= 1 and abs(state["goal"] - at) <= 1
    follow(arm, [0.0, 0.0, 0.0])


def test_closing_a_released_arm_leaves_torque_off(arm, bus):
    arm.release()
    arm.close()
    assert not bus.state(1)["torque"]


def test_closing_holds(arm, bus):
    arm.close()
    arm.close()
    assert bus.state(1)["torque"]
    with pytest.raises(DriverError, match="not connected"):
        arm.read()


def test_a_frozen_encoder_is_told_by_new_readings_that_do_not_change(arm, bus):
    bus("freeze", 1)
    arm.command(np.full(3, 0.5), 0.02)
    until(lambda: bus.state(1)["position"] > 2300)
    one, other = arm.read(), arm.read()
    assert other.sequence == one.sequence + 1 and other.time_ns > one.time_ns
    assert one.positions[0] == other.positions[0] == 0.0 and other.positions[1] > 0.3


def test_the_adapter_is_pulled_out(arm, bus):
    bus("unplug")
    with pytest.raises(DriverError):
        arm.read()
    assert arm.fault().code == "no_reply"
    with pytest.raises(DriverError):
        arm.clear_fault("Ann")
    assert arm.fault().code == "no_reply"


@pytest.mark.parametrize(
    ("registers", "message"),
    [
        ((33, 1), r"motor 2: operating mode 1 \(wheel\), register 33; set 0"),
        ((18, 8), r"motor 2: phase 8, register 18, says .*\(BIT2, value 4, is missing\); set 12"),
        ((11, 2500, 2), "motor 2: goes from tick 0 to 2500; low and high are ticks 810 to 3286"),
    ],
)
def test_a_motor_that_is_set_up_for_something_else(bus, registers, message):
    bus("register", 2, *registers)
    arm = Feetech(bus.port, motors())
    with pytest.raises(DriverError, match=message):
        arm.connect()
    assert not bus.state(1)["torque"], "nothing was switched on"
    with pytest.raises(DriverError, match="not connected"):
        arm.read()


def test_a_motor_that_is_not_there(bus):
    arm = Feetech(bus.port, {"gripper": {"id": 9, "low": 0.0, "high": 1.0}})
    with pytest.raises(DriverError, match="motor 9"):
        arm.connect()


@pytest.mark.parametrize("target", [[0.0, 0.0], [0.0, np.nan, 0.0]])
def test_targets_that_are_none(arm, target):
    with pytest.raises(DriverError, match="3 finite numbers"):
        arm.command(np.array(target), 0.02)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"motors": {}}, "motors: none"),
        ({"motors": {"a": {"id": 1, "low": 0.0}}}, "motors.a.high: Field required"),
        ({"motors": motors(lo=1)}, r"motors.joint1.lo: Unexpected keyword argument"),
        ({"motors": motors(id=1)}, "each may occur once"),
        ({"motors": motors(low=2.0)}, "low 2.0 is not below high 1.9"),
        ({"motors": motors(high=4.0)}, "ticks 810 to 4655, outside 0 to 4095"),
        ({"acceleration": 100.0}, "acceleration: 100.0; 0.1 to 39.0"),
    ],
)
def test_parameters_that_cannot_be_used(parameters, message):
    with pytest.raises(SetupError, match=message):
        Feetech(**({"port": "/dev/none", "motors": motors()} | parameters))


def test_ports_and_rates_that_cannot_be_used(bus):
    with pytest.raises(DriverError, match=r"port /dev/none: .*is it plugged in"):
        Feetech("/dev/none", motors()).connect()
    with pytest.raises(SetupError, match="baudrate: scservo_sdk does not know 12345"):
        Feetech(bus.port, motors(), baudrate=12345).connect()


def test_the_sdk_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "scservo_sdk", None)
    with pytest.raises(SetupError, match=r"pip install 'robo-al-agent\[feetech\]'"):
        Feetech("/dev/none", motors()).connect()
