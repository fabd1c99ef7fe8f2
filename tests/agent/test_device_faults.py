"""A fault of a device ends as a fault, with the agent alive: vendors' clients, emulated devices.

Each case is a row of the table in docs/reliability.md. The agent, its parent and the emulator are
processes of their own; a person mends the device and says `robo-al-agent clear`.
"""

import json
import os
import runpy
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

person = runpy.run_path(str(Path(__file__).with_name("person.py")))
run = person["run"]
leave = person["leave"]
EMULATORS = Path(__file__).parents[1] / "emulators"
process = runpy.run_path(str(EMULATORS / "process.py"))
STEPS = 80
PERIOD = 0.1
TICK = 2 * np.pi / 4096


@dataclass
class Device:
    """An emulated robot, and how an agent is told of it."""

    emulator: Any
    driver: dict[str, Any]
    joints: list[str]
    start: list[float]
    limit: float = 1.9
    envelope: dict[str, Any] = field(default_factory=dict)

    def positions(self) -> np.ndarray:
        """Return where the joints that the emulator can tell of really are (rad)."""
        state = self.emulator.tell("state")
        if "q" in state:
            return np.array(state["q"])
        if "positions" in state:
            return np.array(list(state["positions"].values()))
        return (np.array([state[str(i)]["position"] for i in (1, 2, 3)]) - 2048) * TICK


def serial(name: str, module: str, folder: Path) -> Device:
    pytest.importorskip(module)
    emulator = process["Emulator"](f"{name}_bus", folder / "tty")
    motors = {f"joint{i}": {"id": i, "low": -1.5, "high": 1.5} for i in (1, 2, 3)}
    driver = {"name": name, "port": emulator.port, "motors": motors}
    return Device(emulator, driver, list(motors), [0.0] * 3, 1.5)


def ur(folder: Path) -> Device:
    pytest.importorskip("rtde_control")
    pid = os.getpid()
    host = f"127.{1 + pid // 65536 % 250}.{pid // 256 % 256}.{1 + pid % 250}"
    emulator = process["Process"]("ur_controller", "--host", host, "--unlock-seconds", "1")
    joints = ["shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3"]
    start = [0.1, -1.3, 1.2, -1.4, -1.5, 0.2]
    return Device(emulator, {"name": "ur_rtde", "hostname": host}, joints, start, 2.0)


def ros2(folder: Path) -> Device:
    pytest.importorskip("roslibpy")
    emulator = process["Process"]("rosbridge")
    names = ("elbow", "lift", "pan")  # as YAML sorts them
    limits = {"low": -2.0, "high": 2.0, "velocity": 2.0, "effort": 50.0}
    driver = {
        "name": "ros2_trajectory",
        "port": int(emulator.said),
        "joints": {name: dict(limits) for name in names},
        "controller": "/arm_controller",
    }
    return Device(emulator, driver, list(names), [0.9, -1.0, 0.3])


MAKE: dict[str, Callable[[Path], Device]] = {
    "feetech": lambda folder: serial("feetech", "scservo_sdk", folder),
    "dynamixel": lambda folder: serial("dynamixel", "dynamixel_sdk", folder),
    "ur_rtde": ur,
    "ros2_trajectory": ros2,
}


BETWEEN = {
    "feetech": "BetweenFeetech",
    "dynamixel": "BetweenDynamixel",
    "ur_rtde": "BetweenUr",
    "ros2_trajectory": "BetweenRos2",
}
"""The same drivers, whose calls misbehave as they are told."""


class Rig:
    """An agent with a device, and a host."""

    def __init__(self, device: Device, agent: Any, helpers: Any) -> None:
        self.device, self.agent, self.helpers = device, agent, helpers
        self.client = agent.client()

    def submit(self, name: str, steps: int = STEPS, velocity: float = 0.05) -> None:
        """Ask for a slow motion of the first joint."""
        away = velocity * PERIOD * np.arange(1, steps + 1)[:, None]
        actions = np.array(self.device.start) + away * np.eye(len(self.device.joints))[0]
        content = self.helpers.content(
            steps, PERIOD, joints=self.device.joints, start={"joints": self.device.start}
        )
        self.client.submit(name, content, {"actions": actions})

    def moves(self) -> None:
        """Wait until the device moves."""
        start, until = self.device.positions(), time.monotonic() + 20
        while np.abs(self.device.positions() - start).max() < 0.01:
            assert time.monotonic() < until, (self.client.session.fault, self.client.session.jobs)
            time.sleep(0.02)

    def finished(self, name: str) -> dict[str, Any]:
        return dict(self.helpers.finished(self.client, name, 90).state.fields)

    def misbehave(self, **how: str) -> None:
        """Say what the driver's calls do from now on."""
        leave(self.agent.folder / "misbehaviour.json", json.dumps(how))

    def clear(self) -> "subprocess.CompletedProcess[str]":
        done: subprocess.CompletedProcess[str] = run(self.agent.config, "clear")
        return done


@pytest.fixture
def rig(serve: Callable[..., Any], helpers: Any, tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    devices: list[Device] = []

    def make(name: str, before: tuple[str, ...] = (), between: bool = False) -> Rig:
        device = MAKE[name](tmp_path)
        if between:
            device.driver |= {"name": f"{EMULATORS / 'between.py'}:{BETWEEN[name]}"}
            device.driver |= {"folder": str(tmp_path)}
        devices.append(device)
        for words in before:
            device.emulator(words)
        limit, joint = device.limit, {"unit": "rad", "velocity": 1.0, "acceleration": 20.0}
        joint |= {"jerk": 2000.0} | ({"effort": 50.0} if name == "ros2_trajectory" else {})
        joints = [{"name": n, "position": [-limit, limit], **joint} for n in device.joints]
        envelope = {"joints": joints, "sample_age": 0.6, "tracking_error": 0.3}
        made = Rig(device, serve(driver=device.driver, envelope=envelope), helpers)
        while not before and made.agent.operator("status").fields["fault"] is not None:
            made.clear()  # a busy machine lets an emulator answer late
        return made

    yield make
    for device in devices:
        device.emulator.close()


SERIAL = {
    "dead bus": (["lose 1"], ["lose 0"], "no_reply"),
    "one silent": (["vanish 2"], ["appear 2"], "no_reply"),
    "port gone": (["unplug"], ["plug"], "no_reply"),
    "overload": (["overload 2"], [], "overload"),
}
CASES: dict[tuple[str, str], tuple[list[str], list[str], str]] = {
    ("feetech", "dead bus"): SERIAL["dead bus"],
    ("dynamixel", "overload"): SERIAL["overload"],
    ("ur_rtde", "connections dropped"): (["drop"], [], "no_reply"),
    ("ros2_trajectory", "stale"): (["stop_states"], ["mend"], "stale"),
    **{("feetech", name): case for name, case in SERIAL.items()},
    **{("dynamixel", name): case for name, case in SERIAL.items()},
    ("ur_rtde", "stale"): (["freeze"], ["thaw"], "stale"),
    ("ur_rtde", "network gone"): (["unplug"], ["plug"], "stale"),
    ("ur_rtde", "emergency stop"): (["emergency_stop"], ["release", "power_on"], "estop"),
    ("ur_rtde", "program stopped"): (["stop_program"], [], "program_stopped"),
    ("ros2_trajectory", "frozen"): (["freeze_states"], ["mend"], "stale"),
    ("ros2_trajectory", "connections dropped"): (["drop"], [], "no_reply"),
    ("ros2_trajectory", "network gone"): (["unplug"], ["plug"], "stale"),
}
"""What the emulator is told, what mends it, and the fault's code; first one of each device."""


@pytest.mark.first(2)
@pytest.mark.parametrize("name, fault", CASES, ids=lambda word: word.replace(" ", "-"))
def test_a_fault_in_motion_is_named_and_cleared_once_mended(
    rig: Callable[..., Rig], name: str, fault: str
) -> None:
    breaks, mends, code = CASES[name, fault]
    lab = rig(name)
    lab.submit("run/r1")
    lab.moves()
    for words in breaks:
        lab.device.emulator(words)
    state = lab.finished("run/r1")
    assert state["kind"] in ("FAULTED", "ESTOP"), state
    assert lab.agent.fault()["code"] == code, (lab.agent.fault(), state)
    lab.submit("run/r2", 5, 0.0)
    if mends:
        refused = lab.clear()
        assert refused.returncode == 1 and refused.stdout == "", refused
    time.sleep(0.5)
    rests = lab.device.positions()
    for words in mends:
        lab.device.emulator(words)
    time.sleep(0.5)
    if name != "ros2_trajectory":  # whose controller finishes by itself what it was told
        assert np.abs(lab.device.positions() - rests).max() < 0.02
    cleared = lab.clear()
    assert cleared.stdout == "clear: done\n", cleared
    assert lab.finished("run/r2")["kind"] == "SUCCEEDED"
    assert lab.agent.process.poll() is None


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "name, breaks, mends",
    [
        ("feetech", "lose 1", "lose 0"),
        ("dynamixel", "lose 1", "lose 0"),
        ("ur_rtde", "unplug", "plug"),
        ("ros2_trajectory", "unplug", "plug"),
    ],
)
def test_silence_of_two_seconds_is_a_fault_that_can_be_cleared(
    rig: Callable[..., Rig], name: str, breaks: str, mends: str
) -> None:
    lab = rig(name)
    lab.submit("run/r1")
    lab.moves()
    lab.device.emulator(breaks)
    time.sleep(2.0)
    lab.device.emulator(mends)
    assert lab.finished("run/r1")["kind"] == "FAULTED"
    assert lab.clear().stdout == "clear: done\n"
    lab.submit("run/r2", 5, 0.0)
    assert lab.finished("run/r2")["kind"] == "SUCCEEDED"


CALLS: dict[str, tuple[dict[str, str], str]] = {
    "raises": ({"read": "raise"}, "driver_error"),
    "slow": ({"read": "slow 0.8"}, "stale"),
    "never returns": ({"read": "hang"}, "hung"),
    "stop raises": ({"safe_stop": "raise"}, "driver_error"),
    "stop hangs": ({"safe_stop": "hang"}, "hung"),
}
WRONG: dict[tuple[str, str], tuple[dict[str, str], str]] = {
    **{(name, case): wrong for name in BETWEEN for case, wrong in CALLS.items()},
    ("feetech", "overruns"): ({"command": "slow 1.5"}, "overrun"),
    ("dynamixel", "overruns"): ({"command": "slow 1.5"}, "overrun"),
    ("ur_rtde", "overruns"): ({"command": "slow 3.2"}, "overrun"),
    # The readings of a trajectory have no deadline of their own; the stop, which reads too, has.
    ("ros2_trajectory", "overruns"): ({"read": "slow 4.5"}, "hung"),
}
"""What a driver's call does, and the fault's code."""


@pytest.mark.first(1)
@pytest.mark.parametrize("name, case", WRONG, ids=lambda word: word.replace(" ", "-"))
def test_a_call_that_goes_wrong_is_named_and_cleared_once_mended(
    rig: Callable[..., Rig], name: str, case: str
) -> None:
    how, code = WRONG[name, case]
    lab = rig(name, between=True)
    lab.submit("run/r1")
    lab.moves()
    lab.misbehave(**how)
    if "safe_stop" in how:
        lab.agent.operator("abort")
    state = lab.finished("run/r1")
    assert state["kind"] == "FAULTED", state
    assert lab.agent.fault()["code"] == code, (lab.agent.fault(), state)
    lab.submit("run/r2", 5, 0.0)
    time.sleep(0.5)
    rests = lab.device.positions()
    lab.misbehave()
    time.sleep(0.5)
    if name != "ros2_trajectory":  # whose controller finishes by itself what it was told
        assert np.abs(lab.device.positions() - rests).max() < 0.02
    cleared = lab.clear()
    assert cleared.stdout == "clear: done\n", cleared
    assert lab.finished("run/r2")["kind"] == "SUCCEEDED"
    assert lab.agent.process.poll() is None


@pytest.mark.proof
@pytest.mark.parametrize("name", BETWEEN)
def test_a_driver_may_print(rig: Callable[..., Rig], name: str) -> None:
    lab = rig(name, between=True)
    lab.misbehave(read="print", safe_stop="print")
    lab.submit("run/r1", 5, 0.0)
    assert lab.finished("run/r1")["kind"] == "SUCCEEDED"
    log = (lab.agent.folder / "journal" / "driver.log").read_text()
    assert "ready? ready?" in log and "a vendor's library speaks" in log


@pytest.mark.proof
@pytest.mark.parametrize("name", ["feetech", "dynamixel"])
def test_a_joint_outside_its_limits_is_led_back_by_a_person(
    rig: Callable[..., Rig], name: str
) -> None:
    rests = 1.85
    lab = rig(name, before=(f"put 1 {round(2048 + rests / TICK)}",))
    fault = lab.agent.fault()
    assert fault["code"] == "outside_limits" and "joint1 is at 1.85" in fault["message"], fault
    time.sleep(0.5)
    assert abs(lab.device.positions()[0] - rests) < 0.01
    done = run(lab.agent.config, "recover")
    assert done.returncode == 0, done
    assert 1.4 < lab.device.positions()[0] < 1.5
    assert lab.clear().stdout == "clear: done\n"
    lab.submit("run/r1", 5, 0.0)
    assert lab.finished("run/r1")["kind"] == "SUCCEEDED"


@pytest.mark.proof
def test_a_trajectory_of_eight_seconds_is_no_hang(rig: Callable[..., Rig]) -> None:
    lab = rig("ros2_trajectory")
    lab.submit("run/r1")
    state = lab.finished("run/r1")
    assert state["kind"] == "SUCCEEDED", state
    assert lab.agent.operator("status").fields["fault"] is None
