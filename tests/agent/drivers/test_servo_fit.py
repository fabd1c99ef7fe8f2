"""Motors that are set up for something else than their entries say: both families, on a pty."""

import runpy
import time
from pathlib import Path

import numpy as np
import pytest

from robo_al_agent.drivers.dynamixel import Dynamixel
from robo_al_agent.drivers.feetech import Feetech
from robo_al_agent.errors import DriverError, SetupError

pytest.importorskip("scservo_sdk")
pytest.importorskip("dynamixel_sdk")

Emulator = runpy.run_path(str(Path(__file__).parents[2] / "emulators" / "process.py"))["Emulator"]
FAMILIES = {"feetech": Feetech, "dynamixel": Dynamixel}
TICK = 2 * np.pi / 4096


@pytest.fixture
def started(tmp_path):
    """Return a bus of a family, and what makes its driver."""
    buses = []

    def start(family):
        bus = Emulator(f"{family}_bus", tmp_path / family, "--motors", "1,2,3")
        buses.append(bus)
        return bus, lambda **changes: FAMILIES[family](bus.port, motors(**changes))

    yield start
    for bus in buses:
        bus.close()


def motors(**changes):
    return {f"joint{n}": {"id": n, "low": -1.9, "high": 1.9} | changes for n in (1, 2, 3)}


def sign_bit(value, bit):
    return abs(value) | (value < 0) << bit


@pytest.mark.parametrize(
    ("family", "register", "told"),
    [
        ("feetech", (18, 28), r"phase 28, register 18, .*\(BIT4, value 16\); set 12, then"),
        (
            "feetech",
            (18, 16),
            r"phase 16, .*BIT4, value 16.*\n.*BIT2, value 4, is missing\); set 4",
        ),
        ("feetech", (33, 3), r"operating mode 3 \(steps\), register 33; set 0 \(position\)"),
        ("feetech", (11, 0, 2), r"limits 0 and 0, .* multi-turn positions; set 0 and 4095"),
        ("feetech", (30, 3), r"angular resolution 3, register 30, is for many turns; set 1"),
        ("feetech", (3, 1284, 2), r"model number 1284; one of 777 \(STS3215\)"),
        ("dynamixel", (11, 4), r"operating mode 4 \(extended position: .*\), register 11; set 3"),
        ("dynamixel", (11, 5), r"operating mode 5 \(current-based .* turns\), register 11; set 3"),
        ("dynamixel", (10, 1), r"drive mode 1, register 10 \(BIT0, value 1: reverse; say direc"),
        ("dynamixel", (10, 12), r".*BIT2, value 4: profiles.*; BIT3, value 8: .*\); set 0"),
        ("dynamixel", (0, 350, 2), r"model number 350; one of .*1020 \(XM430-W350\)"),
        ("dynamixel", (20, 1500, 4), r"homing offset 1500: position mode takes -1024 to 1024"),
    ],
)
def test_what_no_joint_can_use_is_refused_at_connect(started, family, register, told):
    bus, driver = started(family)
    bus("register", 2, *register)
    with pytest.raises(DriverError, match=f"motor 2: {told}") as refused:
        driver().connect()
    assert "robo-al-agent setup" in str(refused.value)
    assert not any(bus.state(number)["torque"] for number in (1, 2, 3)), "nothing is switched on"


def test_everything_that_is_wrong_is_told_at_once(started):
    bus, driver = started("feetech")
    bus("register", 1, 33, 1)
    bus("register", 3, 18, 24)
    with pytest.raises(DriverError) as refused:
        driver().connect()
    lines = str(refused.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[:3]] == ["motor 1", "motor 3", "motor 3"]


@pytest.mark.parametrize(("family", "encoded"), [("feetech", 11), ("dynamixel", None)])
@pytest.mark.parametrize("offset", [300, -700])
def test_another_homing_offset_than_the_entry_was_measured_with(started, family, encoded, offset):
    bus, driver = started(family)
    address, width = (31, 2) if encoded else (20, 4)
    value = sign_bit(offset, encoded) if encoded else offset % 2**32
    bus("register", 2, address, value, width)
    with pytest.raises(DriverError, match=f"motor 2: homing offset {offset}, and its entry says 0"):
        driver().connect()
    arm = driver(homing_offset=offset)
    with pytest.raises(DriverError, match=f"motor 1: homing offset 0, and its entry says {offset}"):
        arm.connect()


@pytest.mark.parametrize(
    ("family", "offset", "jumps"),
    [("feetech", 400, False), ("feetech", 1200, True), ("feetech", -1200, True)],
)
def test_an_offset_that_puts_the_jump_inside_the_travel_is_said_so(started, family, offset, jumps):
    bus, driver = started(family)
    bus("register", 1, 31, sign_bit(offset, 11), 2)
    with pytest.raises(DriverError) as refused:
        driver().connect()
    told = "the encoder's jump from 4095 to 0 lies inside the joint's travel now"
    assert (told in str(refused.value)) == jumps


def test_dynamixel_shows_the_jump_at_its_offset(started):
    bus, driver = started("dynamixel")
    for number in (1, 2, 3):
        bus("register", number, 20, 1000, 4)
    with pytest.raises(DriverError, match=r"jump .* inside the joint's travel, ticks 810 to 3286"):
        driver(homing_offset=1000).connect()
    arm = driver(homing_offset=1000, low=-1.4)  # from tick 1136 on
    arm.connect()
    assert arm.read().positions == pytest.approx(1000 * TICK)
    arm.close()


def test_an_offset_that_the_entry_knows_moves_the_zero(started):
    bus, driver = started("feetech")
    for number in (1, 2, 3):
        bus("register", number, 31, sign_bit(-1500, 11), 2)
        bus("put", number, 548)
    arm = driver(homing_offset=-1500)
    arm.connect()
    assert arm.read().positions == pytest.approx(0.0)
    bus("put", 1, 4000)  # the encoder's jump lies in between
    assert arm.read().positions[0] == pytest.approx((1404 - 2048) * TICK)
    arm.close()


def test_a_model_that_the_entry_demands(started):
    bus, driver = started("feetech")
    for number in (1, 2, 3):
        bus("register", number, 3, 2057, 2)
    with pytest.raises(DriverError, match="model number 2057; one of"):
        driver().connect()
    with pytest.raises(DriverError, match="model number 2057; 777, as its entry says, is needed"):
        driver(model=777).connect()
    arm = driver(model=2057)
    arm.connect()
    arm.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_travel_across_the_jump_is_refused_before_anything_is_opened(family):
    told = "the encoder jumps from 4095 to 0 inside the joint's travel; move the jump"
    with pytest.raises(SetupError, match=f"outside 0 to 4095: {told}"):
        FAMILIES[family]("/dev/none", motors(zero=3500))


@pytest.mark.parametrize(("family", "registers"), [("feetech", (9, 11)), ("dynamixel", (52, 48))])
def test_a_motor_that_would_jump_to_its_own_limits_is_not_switched_on(started, family, registers):
    bus, driver = started(family)
    width = 2 if family == "feetech" else 4
    bus("register", 2, registers[0], 800, width)
    bus("register", 2, registers[1], 3300, width)
    bus("put", 2, 3600)
    with pytest.raises(DriverError, match="motor 2: it rests at tick 3600, outside its own limits"):
        driver().connect()
    assert not bus.state(2)["torque"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("opening", "unit", "width"), [(None, "%", 100.0), (0.07, "m", 0.07)])
@pytest.mark.parametrize(("closed", "wide"), [(2000, 3000), (3000, 2000)])
def test_a_gripper_has_a_unit_of_its_own(started, family, opening, unit, width, closed, wide):
    bus, _ = started(family)
    gripper = {"kind": "gripper", "id": 3, "closed": closed, "open": wide, "opening": opening}
    bus("put", 3, closed)
    arm = FAMILIES[family](bus.port, motors() | {"joint3": gripper | {"effort_per_unit": 0.01}})
    joint = arm.describe().joints[2]
    assert (joint.unit, joint.low, joint.high, joint.velocity) == (unit, 0.0, width, width)
    arm.connect()
    assert arm.read().positions[2] == pytest.approx(0.0)
    sent = arm.command(np.array([0.0, 0.0, width / 4]), 0.02)
    assert sent[2] == pytest.approx(width / 4)
    deadline = time.monotonic() + 10.0
    fastest = load = 0.0
    while abs((sample := arm.read()).positions[2] - width / 4) > width / 200:
        assert time.monotonic() < deadline, "it did not get there"
        fastest = max(fastest, sample.velocities[2])
        load = max(load, sample.efforts[2])
    assert bus.state(3)["goal"] == closed + (wide - closed) / 4
    assert 0 < fastest < 1.1 * width and load > 0, "opening is positive"
    assert arm.command(np.array([0.0, 0.0, 2 * width]), 0.02)[2] == pytest.approx(width)
    arm.safe_stop()
    arm.close()


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"closed": 2000, "open": 2000}, "open and closed are both tick 2000"),
        ({"closed": 2000, "open": 4096}, "gripper.open: Input should be less than 4096"),
        ({"closed": 2000, "open": 3000, "low": 0}, "gripper.low: Unexpected keyword argument"),
        ({"closed": 2000, "open": 3000, "kind": "griper"}, "kind: 'griper'; joint or gripper is"),
    ],
)
def test_a_gripper_that_is_none(entry, told):
    with pytest.raises(SetupError, match=told):
        Feetech("/dev/none", {"gripper": {"kind": "gripper", "id": 6} | entry})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stop_is_believed_when_it_is_measured(started, family):
    bus, driver = started(family)
    arm = driver()
    arm.connect()
    arm.safe_stop()
    bus("drift", 2, 200)  # and its speed reads 0
    with pytest.raises(DriverError, match=r"stop failed: joint joint2 still moves at 0\.\d+ rad/s"):
        arm.safe_stop()
    bus("drift", 2, 0)
    arm.safe_stop()
    arm.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_held_outside_the_limits_is_never_moved(started, family):
    bus, driver = started(family)
    bus("put", 2, 3500)
    arm = driver()
    arm.connect()
    held = arm.read().positions
    assert arm.command(held, 0.02)[1] == pytest.approx(held[1]), "to hold is no motion"
    assert arm.command(np.array([0.0, 9.0, 0.0]), 0.02)[1] == pytest.approx(held[1])
    arm.safe_stop()
    assert bus.state(2)["goal"] == bus.state(2)["position"] == 3500
    assert arm.command(np.zeros(3), 0.02)[1] == 0.0, "inside it may go"
    assert arm.command(held, 0.02)[1] == pytest.approx(1.9, abs=2 * TICK), "and is then kept there"
    arm.close()
