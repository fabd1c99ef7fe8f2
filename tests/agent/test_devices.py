"""Two devices as one robot: emulated buses, a driver that misbehaves, a real agent with its parent.

Whatever goes wrong at one of them stops the other one too, is told with its name, and can be
cleared once it is mended.
"""

import json
import runpy
import subprocess
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked import finished

from robo_al_agent.conformance import check_driver, motion, readings, stopping
from robo_al_agent.devices.composite import Composite
from robo_al_agent.drivers.loading import make_driver

EMULATORS = Path(__file__).parents[1] / "emulators"
person = runpy.run_path(str(Path(__file__).with_name("person.py")))
run = person["run"]
leave = person["leave"]
process = runpy.run_path(str(EMULATORS / "process.py"))
misbehaving = runpy.run_path(str(EMULATORS / "misbehaving.py"))
STEPS, PERIOD = 120, 0.1
TICK = 2 * np.pi / 4096
MOTORS = {"pan": {"id": 1, "low": -1.5, "high": 1.5}, "lift": {"id": 2, "low": -1.5, "high": 1.5}}
JAW = {"jaw": {"kind": "gripper", "id": 7, "closed": 1048, "open": 3048}}
RAD = {"unit": "rad", "position": [-0.9, 0.9], "velocity": 1.0, "acceleration": 20.0}
RAD |= {"jerk": 2000.0, "start_distance": 0.1, "tracking_error": 0.3}
PERCENT = {"unit": "%", "position": [0.0, 100.0], "velocity": 100.0, "acceleration": 2000.0}
PERCENT |= {"jerk": 2e5, "start_distance": 5.0, "tracking_error": 30.0}


class Bus:
    """An emulated bus of servos: of an arm by Feetech, or of a gripper by Dynamixel."""

    def __init__(self, name: str, motors: dict[str, Any], port: Path) -> None:
        ids = ",".join(str(motor["id"]) for motor in motors.values())
        self.tell = process["Emulator"](f"{name}_bus", port, "--motors", ids)
        self.driver = {"name": name, "port": str(port), "motors": motors}
        limits = PERCENT if "jaw" in motors else RAD
        self.joints = [{"name": joint, **deepcopy(limits)} for joint in motors]
        self.start = [50.0 if "jaw" in motors else 0.0] * len(motors)

    def places(self) -> np.ndarray:
        """Return where the motors really are (ticks)."""
        return np.array([one["position"] for one in self.tell.tell("state").values()])

    def stands(self) -> bool:
        """Say whether the motors stand, and hold where they are."""
        state = self.tell.tell("state").values()
        return all(abs(one["goal"] - one["position"]) < 3 and one["torque"] for one in state)

    def close(self) -> None:
        self.tell.close()


class Unruly:
    """Two joints of the driver that misbehaves as it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        name = f"{EMULATORS / 'misbehaving.py'}:Misbehaving"
        self.driver = {"name": name, "folder": str(folder)}
        self.joints = [{"name": joint, **deepcopy(RAD)} for joint in ("left", "right")]
        self.start = [0.0, 0.0]

    def tell(self, words: str) -> None:
        leave(self.folder / "misbehaviour.json", words)

    def places(self) -> np.ndarray:
        """Return where the joints really are (1e-3 rad)."""
        return np.array(misbehaving["Misbehaving"](self.folder).now()[0]) * 1000

    def stands(self) -> bool:
        entries = (self.folder / "log").read_text().splitlines()
        return bool(json.loads(entries[-1])["what"] == "stop")

    def close(self) -> None:
        pass


class Pair:
    """An agent with two devices, and a host."""

    def __init__(self, devices: dict[str, Any], serve: Callable[..., Any], helpers: Any) -> None:
        self.devices, self.helpers = devices, helpers
        joints = [joint for device in devices.values() for joint in device.joints]
        envelope = {"joints": joints, "sample_age": 0.5}
        drivers = {name: device.driver for name, device in devices.items()}
        self.agent = serve(driver={}, devices=drivers, envelope=envelope | NO_COMMON)
        while (fault := self.agent.operator("status").fields["fault"]) is not None:
            assert fault["code"] in ("no_reply", "overrun"), fault
            self.command("clear")  # a busy machine lets an emulator answer late
        self.client = self.agent.client()

    def submit(self, name: str, steps: int = STEPS, speed: float = 1.0) -> None:
        """Ask for a slow motion of each device's first joint."""
        joints = [joint for device in self.devices.values() for joint in device.joints]
        start = np.array([at for device in self.devices.values() for at in device.start])
        first = {device.joints[0]["name"] for device in self.devices.values()}
        pace = [0.05 * (joint["name"] in first) for joint in joints]
        pace = [
            way * (40 if joint["unit"] == "%" else 1)
            for way, joint in zip(pace, joints, strict=True)
        ]
        actions = start + speed * PERIOD * np.arange(1, steps + 1)[:, None] * np.array(pace)
        content = self.helpers.content(
            steps,
            PERIOD,
            joints=[joint["name"] for joint in joints],
            start={"joints": start.tolist()},
        )
        self.client.submit(name, content, {"actions": actions})

    def both_move(self) -> None:
        begun = {name: device.places() for name, device in self.devices.items()}
        until = time.monotonic() + 30
        while not all(
            np.abs(device.places() - begun[name]).max() > 5 for name, device in self.devices.items()
        ):
            assert time.monotonic() < until, self.client.session.jobs
            time.sleep(0.02)

    def finished(self, name: str) -> dict[str, Any]:
        return dict(self.helpers.finished(self.client, name, 90).state.fields)

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        done: subprocess.CompletedProcess[str] = run(self.agent.config, *words)
        return done


@pytest.fixture
def pair(serve: Callable[..., Any], helpers: Any, tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    made: list[Any] = []

    def start(*names: str) -> Pair:
        devices = {name: MAKE[name](tmp_path) for name in names}
        made.extend(devices.values())
        return Pair(devices, serve, helpers)

    yield start
    for device in made:
        device.close()


def arm(folder: Path) -> Bus:
    pytest.importorskip("scservo_sdk")
    return Bus("feetech", MOTORS, folder / "arm")


def gripper(folder: Path) -> Bus:
    pytest.importorskip("dynamixel_sdk")
    return Bus("dynamixel", JAW, folder / "gripper")


MAKE: dict[str, Callable[[Path], Any]] = {
    "arm": arm,
    "gripper": gripper,
    "hand": lambda folder: Unruly(folder / "hand"),
}
NO_COMMON = {"start_distance": None, "tracking_error": None}
"""Takes out the numbers for all joints that the agent of these tests has elsewhere."""
MENDED = "{}"
CASES = {
    "dead-for-good": ("arm gripper", "gripper", "lose 1", "lose 0", "no_reply"),
    "raises": ("hand arm", "hand", '{"command": "raise"}', MENDED, "driver_error"),
    "hangs-in-read": ("arm hand", "hand", '{"read": "hang"}', MENDED, "hung"),
    "the-first-is-dead": ("arm gripper", "arm", "lose 1", "lose 0", "no_reply"),
    "port-gone": ("arm gripper", "gripper", "unplug", "plug", "no_reply"),
    "one-silent": ("arm gripper", "arm", "vanish 2", "appear 2", "no_reply"),
    "stale": ("arm hand", "hand", '{"read": "stale"}', MENDED, "stale"),
    "old": ("hand arm", "hand", '{"read": "old"}', MENDED, "stale"),
    "slow": ("arm hand", "hand", '{"read": "slow 0.55"}', MENDED, "stale"),
    "overruns": ("arm hand", "hand", '{"read": "slow 0.9"}', MENDED, "overrun"),
    "hangs-in-command": ("hand arm", "hand", '{"command": "hang"}', MENDED, "hung"),
}
"""The devices in their order, the one that breaks, what breaks and mends it, and the code."""


@pytest.mark.first(1)
@pytest.mark.parametrize("case", CASES)
def test_what_breaks_one_device_stops_both_and_is_told_with_its_name(
    pair: Callable[..., Pair], case: str
) -> None:
    names, broken, breaks, mends, code = CASES[case]
    rig = pair(*names.split())
    (other,) = set(rig.devices) - {broken}
    rig.submit("run/r1")
    rig.both_move()
    rig.devices[broken].tell(breaks)
    state = rig.finished("run/r1")
    assert state["kind"] == "FAULTED" and broken in state["reason"], state
    fault = rig.agent.fault()
    assert fault["code"] == code and f"{broken}: " in fault["message"], fault
    assert rig.agent.process.poll() is None
    until = time.monotonic() + 30
    while not rig.devices[other].stands():  # by the parent, where the process was replaced
        assert time.monotonic() < until
    rests = rig.devices[other].places()
    rig.submit("run/r2", 5, 0.0)
    if "command" not in breaks and "hang" not in breaks:  # which ends process after process
        refused = rig.command("clear")
        assert refused.returncode == 1 and broken in refused.stderr, refused
    assert np.abs(rig.devices[other].places() - rests).max() < 3
    rig.devices[broken].tell(mends)
    cleared = rig.command("clear")
    assert cleared.stdout == "clear: done\n", cleared
    assert rig.finished("run/r2")["kind"] == "SUCCEEDED"


@pytest.mark.first(1)
@pytest.mark.parametrize("how", ["raise", "hang", "slow 1.9", "silent"])
def test_a_stop_that_fails_at_one_device_stops_the_other(
    pair: Callable[..., Pair], how: str
) -> None:
    rig = pair("hand", "arm")
    rig.submit("run/r1")
    rig.both_move()
    rig.devices["hand"].tell(json.dumps({"safe_stop": how, "command": "drop"}))
    robot = rig.devices["hand"].folder / "robot.json"
    far = {"from": [0.1, 0.0], "to": [0.9, 0.9], "at": time.monotonic(), "seconds": 9.0}
    leave(robot, json.dumps(far))  # it arrives there in nine seconds
    rig.agent.operator("abort")
    until = time.monotonic() + 20
    while not rig.devices["arm"].stands():
        assert time.monotonic() < until
    rests = rig.devices["arm"].places()
    state = rig.finished("run/r1")
    assert state["kind"] == "FAULTED" and "hand: " in state["reason"], state
    codes = {"raise": "driver_error", "slow 1.9": "overrun", "hang": "hung"}
    assert rig.agent.fault()["code"] == codes.get(how, "still_moving")
    assert np.abs(rig.devices["arm"].places() - rests).max() < 3
    rig.devices["hand"].tell(MENDED)
    cleared = rig.command("clear")
    assert cleared.stdout == "clear: done\n", cleared
    rig.submit("run/r2", 5, 0.0)
    assert rig.finished("run/r2")["kind"] == "SUCCEEDED"


@pytest.mark.first(1)
@pytest.mark.parametrize("device", ["arm", "gripper"])
def test_a_bus_that_was_dead_for_two_seconds_can_be_cleared(
    pair: Callable[..., Pair], device: str
) -> None:
    rig = pair("arm", "gripper")
    rig.submit("run/r1")
    rig.both_move()
    rig.devices[device].tell("lose 1")
    time.sleep(2.0)
    rig.devices[device].tell("lose 0")
    state = rig.finished("run/r1")
    assert state["kind"] == "FAULTED" and f"{device}: " in state["reason"], state
    assert all(one.stands() for one in rig.devices.values())
    assert rig.command("clear").stdout == "clear: done\n"
    rig.submit("run/r2", 5, 0.0)
    assert rig.finished("run/r2")["kind"] == "SUCCEEDED"


def test_an_arm_and_a_gripper_are_one_robot(pair: Callable[..., Pair]) -> None:
    rig = pair("arm", "gripper")
    rig.submit("run/r1", 20)
    job = rig.helpers.finished(rig.client, "run/r1", 90)
    assert job.state.fields["kind"] == "SUCCEEDED", job.state
    sent, measured = job.result.arrays["sent"], job.result.arrays["positions"]
    np.testing.assert_allclose(sent[-1], [0.1, 0.0, 54.0], atol=0.06)
    np.testing.assert_allclose(measured[-1], [0.1, 0.0, 54.0], atol=0.5)
    (jaw,) = rig.devices["gripper"].places()
    assert abs(jaw - (1048 + 0.54 * 2000)) < 10
    assert rig.command("jog", "jaw", "-4").stdout == "jog: done\n"
    assert abs(rig.devices["gripper"].places()[0] - (1048 + 0.5 * 2000)) < 10
    # Each of the two ports has its owner, and so has the robot.
    for name, device in rig.devices.items():
        found = finished("robo_al_agent.cli", "find", device.driver["port"])
        assert "is in use by process" in found.stdout, (name, found)
    assert rig.command("release").returncode == 0
    states = [one for device in rig.devices.values() for one in device.tell.tell("state").values()]
    assert not any(one["torque"] for one in states)
    rig.helpers.end(rig.agent.process)
    checked = rig.command("check")
    assert checked.returncode == 0 and "arm and gripper: 3 joints" in checked.stdout, checked
    assert "jaw: 0 to 100 %" in checked.stdout and "watchdog: none" in checked.stdout
    new = rig.agent.folder / "new.yaml"
    words = ["envelope", "--from", rig.agent.config, "--out", new]
    done = finished("robo_al_agent.cli", *words)
    assert done.returncode == 0 and "start_distance: 5" in new.read_text()


def test_a_joint_of_one_device_is_led_back_into_its_limits(pair: Callable[..., Pair]) -> None:
    rig = pair("arm", "hand")
    rig.helpers.end(rig.agent.process)
    rig.devices["arm"].tell(f"put 1 {round(2048 + 1.0 / TICK)}")
    done = rig.command("recover")
    assert "joint pan is at 1" in done.stdout and done.returncode == 0, done
    assert 0.8 < (rig.devices["arm"].places()[0] - 2048) * TICK < 0.9
    robot = rig.devices["hand"].folder / "robot.json"
    leave(robot, json.dumps({"from": [1.2, 0.0], "to": [1.2, 0.0]}))
    places = rig.devices["arm"].places()
    done = rig.command("recover")
    assert done.returncode == 1 and "hand: its driver cannot lead a joint back" in done.stderr
    assert np.abs(rig.devices["arm"].places() - places).max() < 3


def test_a_killed_agent_stops_both_whatever_becomes_of_one(pair: Callable[..., Pair]) -> None:
    rig = pair("hand", "arm")
    rig.submit("run/r1")
    rig.both_move()
    rig.devices["hand"].tell('{"connect": "hang"}')
    text = Path(f"/proc/{rig.agent.process.pid}/task/{rig.agent.process.pid}/children").read_text()
    subprocess.run(["kill", "-KILL", *text.split()], check=True)
    until = time.monotonic() + 30
    while not rig.devices["arm"].stands():
        assert time.monotonic() < until
    rig.devices["hand"].tell(MENDED)
    assert rig.agent.fault()["code"] == "interrupted"
    assert rig.finished("run/r1")["kind"] == "INTERRUPTED"
    until = time.monotonic() + 60
    while rig.command("clear").stdout != "clear: done\n":
        assert time.monotonic() < until


@pytest.mark.proof
def test_it_keeps_the_contract_of_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of its speed nothing is asked here: the machine may be busy.
    monkeypatch.setattr(readings, "SLOWEST", 100.0)
    monkeypatch.setattr(motion, "LATEST", 2.0)
    monkeypatch.setattr(stopping, "OLDEST", 2.0)
    buses = {name: MAKE[name](tmp_path) for name in ("arm", "gripper")}
    try:
        drivers = {name: make_driver(bus.driver, tmp_path) for name, bus in buses.items()}
        check_driver(Composite(drivers), move=True)
    finally:
        for bus in buses.values():
            bus.close()
