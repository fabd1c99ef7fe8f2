"""`robo-al-agent setup` and `find` against emulated buses of both families."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import yaml

from robo_al_agent.cli import main
from robo_al_agent.drivers.dynamixel import Dynamixel
from robo_al_agent.drivers.feetech import Feetech
from robo_al_agent.errors import DriverError

pytest.importorskip("scservo_sdk")
pytest.importorskip("dynamixel_sdk")

Emulator = runpy.run_path(str(Path(__file__).parents[2] / "emulators" / "process.py"))["Emulator"]
FAMILIES = {"feetech": Feetech, "dynamixel": Dynamixel}


@pytest.fixture(params=FAMILIES)
def bus(request, tmp_path):
    started = Emulator(f"{request.param}_bus", tmp_path / request.param, "--motors", "1,2,3")
    started.family = request.param
    yield started
    started.close()


@pytest.fixture
def feetech(tmp_path):
    started = Emulator("feetech_bus", tmp_path / "feetech", "--motors", "1,2,3")
    started.family = "feetech"
    yield started
    started.close()


def motors(**changes):
    return {f"joint{n}": {"id": n, "low": -1.9, "high": 1.9} | changes for n in (1, 2, 3)}


@pytest.fixture
def setup(capsys):
    """Run the command on a bus; return its exit code, and what it says."""

    def run(bus, *options):
        code = main(["setup", bus.family, bus.port, *map(str, options)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_it_shows_what_the_motors_keep(bus, setup):
    model = {"feetech": r"777 (STS3215)", "dynamixel": "1020 (XM430-W350)"}[bus.family]
    bus("put", 2, 2100)
    code, said = setup(bus)
    assert code == 0 and said.count(f"model {model}") == 3
    assert "motor 2" in said and "homing_offset 0" in said and "at tick 2100, torque off" in said
    assert "WRONG" not in said


def test_what_connecting_refuses_is_shown_and_mended(bus, setup):
    mode, turns = {"feetech": (33, (18, 28)), "dynamixel": (11, (10, 4))}[bus.family]
    bus("register", 1, mode, 1)
    bus("register", 3, *turns)
    driver = FAMILIES[bus.family](bus.port, motors())
    with pytest.raises(DriverError, match="operating mode 1"):
        driver.connect()
    _, said = setup(bus)
    assert said.count("WRONG") == 2
    code, said = setup(bus, "--fix")
    assert code == 0 and "WRONG" not in said
    driver.connect()
    driver.close()


def test_what_is_set_outlasts_the_power(feetech, setup):
    setup(feetech, "--motor", 2, "--set", "homing_offset=-300", "lowest=100")
    feetech("vanish", 2)
    feetech("appear", 2)
    _, said = setup(feetech, "--motor", 2)
    assert "homing_offset -300" in said and "lowest 100" in said


@pytest.mark.first(1)
def test_an_id_is_given_to_one_motor(bus, setup):
    code, said = setup(bus, "--motor", 3, "--set", "id=7")
    assert code == 0 and "motor 7:" in said
    code, said = setup(bus)
    assert "motor 7:" in said and "motor 3:" not in said
    code, said = setup(bus, "--motor", 1, "--set", "id=2")
    assert code == 2 and "id: 2 is another motor's already" in said
    assert "motor 1:" in setup(bus)[1]


def test_a_motor_that_holds_is_let_go_on_a_persons_word_alone(bus, setup):
    driver = FAMILIES[bus.family](bus.port, motors())
    driver.connect()
    driver.close()
    code, said = setup(bus, "--motor", 2, "--set", "homing_offset=100")
    assert code == 2 and "motors 2 hold: support the arm, and add --release" in said
    assert bus.state(2)["torque"]
    code, said = setup(bus, "--motor", 2, "--set", "homing_offset=100", "--release")
    assert code == 0 and "homing_offset 100" in said
    assert not bus.state(2)["torque"] and bus.state(1)["torque"]


@pytest.mark.parametrize(("family", "tick"), [("feetech", 3500), ("dynamixel", 2900)])
def test_the_present_pose_becomes_the_middle(tmp_path, setup, family, tick):
    bus = Emulator(f"{family}_bus", tmp_path / "tty", "--motors", "1,2,3")
    bus.family = family
    for number in (1, 2, 3):
        bus("put", number, tick)
    code, said = setup(bus, "--middle")
    assert code == 0 and said.count("at tick 2048") == 3
    offset = (tick - 2048) * (1 if family == "feetech" else -1)
    driver = FAMILIES[family](bus.port, motors(homing_offset=offset, low=-1.0, high=1.0))
    driver.connect()
    assert driver.read().positions == pytest.approx(np.zeros(3))
    driver.close()
    bus.close()


@pytest.mark.first(3)
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--set", "mode=0"], "--set: say which motor"),
        (["--motor", 1, "--set", "mode"], "--set mode: NAME=NUMBER is needed"),
        (["--motor", 1, "--set", "colour=3"], "colour: no setting of feetech; there are id, mode"),
        (["--motor", 1, "--set", "mode=300"], "mode: 300 does not fit: 0 to 255"),
        (["--motor", 1, "--set", "homing_offset=2048"], "-2047 to 2047 are possible"),
        (["--motor", 1, "--set", "id=254"], "id: 254; 0 to 252"),
        (["--motor", 9], "motor 9: There is no status packet!"),
        (["--write"], "--write belongs to --lerobot"),
        (["--baudrate", 115200], "no motor answers: is their power on, and the baud rate right"),
        (["--lerobot", "none.json"], "none.json: [Errno 2] No such file"),
    ],
)
def test_what_cannot_be_set(feetech, setup, options, told):
    code, said = setup(feetech, *options)
    assert code in (1, 2) and told in said
    assert "WRONG" not in setup(feetech)[1], "nothing was written"


CALIBRATION = {
    "shoulder_pan": {"drive_mode": 0, "homing_offset": -700, "range_min": 800, "range_max": 3200},
    "wrist_roll": {"drive_mode": 1, "homing_offset": 90, "range_min": 0, "range_max": 4095},
    "gripper": {"drive_mode": 0, "homing_offset": 1400, "range_min": 2000, "range_max": 3100},
}


@pytest.fixture
def calibration(tmp_path):
    entries = {name: {"id": i} | one for i, (name, one) in enumerate(CALIBRATION.items(), start=1)}
    path = tmp_path / "arm.json"
    path.write_text(json.dumps(entries, indent=4))
    return path, entries


def test_lerobots_calibration_is_imported(feetech, setup, calibration):
    path, _ = calibration
    _, said = setup(feetech, "--lerobot", path)
    entries = yaml.safe_load(said[said.index("motors:") :])["motors"]
    assert entries["shoulder_pan"]["homing_offset"] == -700
    assert (
        entries["gripper"] | {"kind": "gripper", "closed": 2000, "open": 3100} == entries["gripper"]
    )
    assert entries["wrist_roll"]["direction"] == -1
    arm = Feetech(feetech.port, entries)
    with pytest.raises(DriverError, match="motor 1: homing offset 0, and its entry says -700"):
        arm.connect()
    code, _ = setup(feetech, "--lerobot", path, "--write")
    assert code == 0
    for number, one in enumerate(CALIBRATION.values(), start=1):  # where LeRobot shows the middle
        middle = (one["range_min"] + one["range_max"]) // 2
        feetech("put", number, (middle + one["homing_offset"]) % 4096)
    arm.connect()
    assert arm.read().positions == pytest.approx([0.0, 0.0, 50.0])
    assert [joint.unit for joint in arm.describe().joints] == ["rad", "rad", "%"]
    arm.close()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"gripper": {"range_max": 4096}}, "gripper.range_max"),
        ({"gripper": {"range_min": 3100}}, "gripper: range_min is not below range_max"),
        ({"gripper": {"homing_offset": 1.5}}, "gripper.homing_offset"),
        ({"gripper": {"id": 1}}, "ids [1, 2, 1]; each may occur once"),
        ({"gripper": {"norm": 1}}, "gripper.norm: no such key"),
    ],
)
def test_a_calibration_that_is_none(feetech, setup, calibration, change, told):
    path, entries = calibration
    path.write_text(json.dumps({name: one | change.get(name, {}) for name, one in entries.items()}))
    code, said = setup(feetech, "--lerobot", path)
    assert code == 2 and told in said
    path.write_text("[")
    assert setup(feetech, "--lerobot", path)[0] == 2


# ---------------------------------------------------------------- find


def test_find_tells_ids_models_and_baud_rates(bus, capsys):
    assert main(["find", bus.port]) == 0
    said = capsys.readouterr().out
    model = {"feetech": "STS3215", "dynamixel": "XM430-W350"}[bus.family]
    assert said.count(" baud: ") == 1
    assert f"{bus.family} at 1000000 baud: 1 {model}, 2 {model}, 3 {model}" in said


def test_find_on_a_port_that_is_in_use(bus, capsys):
    driver = FAMILIES[bus.family](bus.port, motors())
    driver.connect()
    assert main(["find", bus.port]) == 1
    assert "is in use by this very process" in capsys.readouterr().out
    driver.close()


def test_find_where_nothing_answers(bus, capsys):
    for number in (1, 2, 3):
        bus("vanish", number)
    assert main(["find", bus.port]) == 1
    assert "nothing answers: is the motors' power on?" in capsys.readouterr().out
    assert main(["find", "/dev/no-such-port"]) == 1
    assert "is it plugged in?" in capsys.readouterr().out


def test_find_at_an_address(capsys):
    emulator = runpy.run_path(str(Path(__file__).parents[2] / "emulators" / "process.py"))[
        "Process"
    ]
    host = "127.77.8.9"
    controller = emulator("ur_controller", "--host", host)
    assert main(["find", "--address", host]) == 0
    said = capsys.readouterr().out
    assert "ur_rtde: URSoftware 5.11" in said and "Safetystatus: NORMAL" in said
    controller.tell("local")
    main(["find", "--address", host])
    assert "in LOCAL control: set it to remote" in capsys.readouterr().out
    controller.close()
    assert main(["find", "--address", host]) == 1
    assert "nothing that is known answers" in capsys.readouterr().out
