"""The real client ur-rtde against an emulated controller, each in a process of its own."""

import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from robo_al_agent.conformance import check_driver
from robo_al_agent.drivers import ur_process
from robo_al_agent.drivers.ur_rtde import UrRtde
from robo_al_agent.errors import DriverError, SetupError

pytest.importorskip("rtde_control")

process = runpy.run_path(str(Path(__file__).parents[2] / "emulators" / "process.py"))
STOPPED, PLAYING = 1, 2
PERIOD = 0.008


class Emulator(process["Process"]):
    """A controller on a loopback address of its own, for the client's ports are fixed."""

    def __init__(self):
        pid = os.getpid()
        self.host = f"127.{1 + pid // 65536 % 250}.{pid // 256 % 256}.{1 + pid % 250}"
        super().__init__("ur_controller", "--host", self.host, "--unlock-seconds", "1")

    def state(self):
        return self.tell("state")


@pytest.fixture(scope="module")
def controller():
    emulator = Emulator()
    yield emulator
    emulator.close()


@pytest.fixture
def emulator(controller):
    """The controller, healthy again afterwards."""
    yield controller
    for undo in ("plug", "thaw", "release", "power_on", "thaw_encoder", "reset"):
        controller.tell(undo)


@pytest.fixture
def arm(emulator):
    driver = UrRtde(emulator.host)
    driver.connect()
    yield driver
    driver.close()


def await_that(true, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stream(driver, steps, step=0.004):
    """Move joint 0 by `step` rad a command; return the last target."""
    target = driver.read().positions
    for _ in range(steps):
        begin = time.monotonic()
        driver.read()
        target[0] += step
        driver.command(target, PERIOD)
        time.sleep(max(0.0, PERIOD - (time.monotonic() - begin)))
    return target


def latched(driver, code):
    """Wait until the driver says so, looking as the agent does; return its fault."""
    await_that(lambda: driver.fault() is not None)
    assert driver.fault().code == code
    return driver.fault()


def moving(emulator):
    return max(map(abs, emulator.state()["qd"])) > 0.01


@pytest.mark.proof
def test_keeps_the_contract(emulator):
    report = check_driver(UrRtde(emulator.host), move=True, cycles=20)
    assert report.moved
    assert report.spec.watchdog == "controller"
    await_that(lambda: emulator.state()["runtime"] == STOPPED)


def test_reads_and_commands_what_the_controller_has(emulator):
    limits = {"elbow": {"newton_metres_per_ampere": 10.0, "velocity": 2.0}}
    driver = UrRtde(emulator.host, joints=limits)
    driver.connect()
    before = emulator.state()
    sample = driver.read()
    assert sample.positions == pytest.approx(before["q"])
    assert sample.sensors == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert sample.efforts == pytest.approx([0, 0, 7.0, 0, 0, 0])
    target = stream(driver, 100)
    assert driver.read().velocities[0] > 0.2
    await_that(lambda: np.abs(driver.read().positions - target).max() < 1e-3)
    after = emulator.state()
    assert after["q"] == pytest.approx(target, abs=1e-3)
    assert after["servo"] - before["servo"] == 100
    with pytest.raises(DriverError, match=r"shoulder_pan: 7 rad is outside its limits"):
        driver.command(np.full(6, 7.0), PERIOD)
    driver.close()
    assert emulator.state()["servo"] == after["servo"]


def test_stops_in_motion(arm, emulator):
    target = stream(arm, 60, 0.008)
    assert moving(emulator)
    arm.safe_stop()
    stopped = emulator.state()
    assert not moving(emulator)
    assert stopped["runtime"] == PLAYING
    assert stopped["q"][0] < target[0] + 0.2  # 1 rad/s and 4 rad/s^2: 0.13 rad at most
    time.sleep(0.3)
    assert emulator.state()["q"] == stopped["q"]
    stream(arm, 10)
    assert arm.fault() is None


def test_idle_keeps_the_watchdog_quiet(arm, emulator):
    assert emulator.state()["watchdog"] == 0.5
    stream(arm, 5)
    time.sleep(1.5)
    assert arm.fault() is None
    state = emulator.state()
    assert (state["watchdog_stops"], state["runtime"]) == (0, PLAYING)


def test_the_controllers_watchdog_stops_when_the_client_dies(arm, emulator):
    stream(arm, 60, 0.008)
    arm._connection._process.kill()
    await_that(lambda: emulator.state()["watchdog_stops"] == 1)
    await_that(lambda: not moving(emulator))
    latched(arm, "no_reply")
    with pytest.raises(DriverError, match="the stop was not confirmed: its watchdog acts 0.5 s"):
        arm.safe_stop()
    with pytest.raises(DriverError):
        arm.read()
    arm.clear_fault("Ada")
    stream(arm, 10)


AGENT = """
import sys
from robo_al_agent.drivers.ur_rtde import UrRtde
arm = UrRtde(sys.argv[1])
arm.connect()
target = arm.read().positions
print("connected", flush=True)
while True:
    arm.read()
    target[0] += 0.008
    arm.command(target, 0.008)
"""


def test_stops_at_once_when_the_agent_dies(emulator):
    before = emulator.state()["watchdog_stops"]
    command = [sys.executable, "-c", AGENT, emulator.host]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as agent:
        agent.stdout.readline()
        await_that(lambda: moving(emulator))
        agent.send_signal(signal.SIGKILL)
    await_that(lambda: emulator.state()["runtime"] == STOPPED)
    await_that(lambda: not moving(emulator))
    assert emulator.state()["watchdog_stops"] == before


def test_stops_at_once_when_the_agent_dies_before_it_reads_an_answer(emulator):
    before = emulator.state()["watchdog_stops"]
    command = [sys.executable, ur_process.__file__, emulator.host, "0.5"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as client:

        def ask(what, *numbers):
            client.stdin.write(json.dumps({"number": 1, "do": what, "with": numbers}) + "\n")
            client.stdin.flush()

        client.stdout.readline()
        ask("start")
        assert json.loads(client.stdout.readline())["answer"]
        client.stdout.close()
        ask("state", -1.0, 0.1)
        assert client.wait(60) == 0
    await_that(lambda: emulator.state()["runtime"] == STOPPED)
    assert emulator.state()["watchdog_stops"] == before


def test_protective_stop_is_unlocked_on_a_persons_word_alone(arm, emulator):
    stream(arm, 10)
    sent = emulator.tell("protective_stop")["servo"]
    latched(arm, "protective_stop")
    with pytest.raises(DriverError, match="protective_stop: protective stop: find out why"):
        arm.command(arm.read().positions, PERIOD)
    arm.safe_stop()
    with pytest.raises(DriverError, match="Cannot unlock protective stop until 5s after"):
        arm.clear_fault("Ada")
    assert arm.fault().code == "protective_stop"
    time.sleep(1.1)
    assert (emulator.state()["unlocks"], emulator.state()["servo"]) == (0, sent)
    arm.clear_fault("Ada")
    assert arm.fault() is None
    assert (emulator.state()["unlocks"], emulator.state()["watchdog"]) == (1, 0.5)
    stream(arm, 10)


def test_emergency_stop_prevails_and_needs_power_from_a_person(arm, emulator):
    emulator.tell("protective_stop")
    latched(arm, "protective_stop")
    emulator.tell("emergency_stop")
    await_that(lambda: arm.fault().code == "estop")
    with pytest.raises(DriverError, match="estop: the emergency stop is pressed"):
        arm.clear_fault("Ada")
    emulator.tell("release")
    assert arm.fault().code == "estop"
    with pytest.raises(DriverError, match="powered_off: the arm is powered off: power it on"):
        arm.clear_fault("Ada")
    emulator.tell("power_on")
    arm.clear_fault("Ada")
    stream(arm, 10)


def test_a_dropped_connection_sends_nothing_until_it_is_cleared(arm, emulator):
    stream(arm, 30)
    sent = emulator.tell("drop")["servo"]
    latched(arm, "no_reply")
    for _ in range(20):
        with pytest.raises(DriverError, match="no_reply"):
            arm.command(np.zeros(6), PERIOD)
        with pytest.raises(DriverError, match="not connected"):
            arm.read()
    assert emulator.state()["servo"] == sent
    arm.clear_fault("Ada")
    assert emulator.state()["watchdog"] == 0.5
    stream(arm, 10)


def test_a_silent_network_is_a_fault_within_a_second(arm, emulator):
    stream(arm, 30, 0.008)
    began = time.monotonic()
    emulator.tell("unplug")
    with pytest.raises(DriverError, match="nothing new"):
        stream(arm, 200)
    assert time.monotonic() - began < 2.0
    assert arm.fault().code == "stale"
    await_that(lambda: emulator.state()["runtime"] == STOPPED)
    with pytest.raises(DriverError, match="no answer in 1.25 s; the stop was not confirmed"):
        arm.safe_stop()
    with pytest.raises(DriverError, match="port 30004"):
        arm.clear_fault("Ada")
    assert arm.fault().code == "stale"
    emulator.tell("plug")
    arm.clear_fault("Ada")
    stream(arm, 10)


def test_a_controller_whose_state_stands_still_is_a_fault(arm, emulator):
    first = arm.read()
    emulator.tell("freeze")
    with pytest.raises(DriverError, match="nothing new"):
        for _ in range(100):
            assert arm.read().sequence > first.sequence
    assert arm.fault().code == "stale"
    emulator.tell("thaw")
    assert arm.fault().code == "stale"
    arm.clear_fault("Ada")
    assert arm.read().sequence > first.sequence


def test_a_frozen_encoder_shows_as_tracking_error(arm, emulator):
    emulator.tell("freeze_encoder")
    first = arm.read()
    target = stream(arm, 60)
    sample = arm.read()
    assert sample.sequence >= first.sequence + 60
    assert target[0] - sample.positions[0] == pytest.approx(60 * 0.004)
    assert emulator.state()["q"][0] > first.positions[0] + 0.05


def test_a_script_stopped_at_the_pendant_is_a_fault(arm, emulator):
    stream(arm, 10)
    emulator.tell("stop_program")
    latched(arm, "program_stopped")
    arm.safe_stop()
    arm.clear_fault("Ada")
    stream(arm, 10)


def test_a_protective_stop_that_nobody_was_told_of_is_not_unlocked(arm, emulator):
    emulator.tell("stop_program")
    latched(arm, "program_stopped")
    emulator.tell("protective_stop")
    time.sleep(1.1)
    with pytest.raises(DriverError, match="protective_stop: protective stop: find out why"):
        arm.clear_fault("Ada")
    assert emulator.state()["unlocks"] == 0


def test_release_powers_off(arm, emulator):
    arm.release()
    latched(arm, "powered_off")
    with pytest.raises(DriverError, match="power it on"):
        arm.clear_fault("Ada")


def test_connect_says_what_is_wrong(emulator):
    with pytest.raises(DriverError, match=r"127\.0\.0\.1, port 30004"):
        UrRtde("127.0.0.1").connect()


@pytest.mark.parametrize(
    ("before", "code", "after"),
    [
        ("emergency_stop", "estop", ["release", "power_on"]),
        ("power_off", "powered_off", ["power_on"]),
        ("local", "local_control", ["remote"]),
        ("slide", "speed_slider", ["reset"]),
        ("protective_stop", "protective_stop", []),
    ],
)
def test_an_arm_that_is_not_ready_is_connected_with_a_fault(emulator, before, code, after):
    emulator.tell(before)
    driver = UrRtde(emulator.host)
    driver.connect()
    assert driver.fault().code == code
    assert driver.read().positions == pytest.approx(emulator.state()["q"])
    with pytest.raises(DriverError, match=code):
        driver.command(driver.read().positions, PERIOD)
    driver.safe_stop()
    if after:
        with pytest.raises(DriverError, match=code):
            driver.clear_fault("Ada")
        assert driver.fault().code == code, "the cause is still there"
    for what in after:
        emulator.tell(what)
    time.sleep(1.1)  # a protective stop is not unlocked earlier
    driver.clear_fault("Ada")
    stream(driver, 10)
    driver.close()


@pytest.mark.parametrize(
    ("what", "code", "told"),
    [("slide", "speed_slider", "40%"), ("local", "local_control", "set it to remote control")],
)
def test_what_a_person_does_at_the_pendant_is_named(arm, emulator, what, code, told):
    stream(arm, 10)
    emulator.tell(what)
    assert told in latched(arm, code).message
    with pytest.raises(DriverError, match=code):
        arm.clear_fault("Ada")
    emulator.tell("reset")
    arm.clear_fault("Ada")
    stream(arm, 10)


def test_a_stop_is_believed_when_it_is_measured(arm, emulator):
    stream(arm, 30)
    emulator.tell("creep")
    for _ in range(2):  # where the machine is busy, its watchdog may have come before the first
        with pytest.raises(DriverError) as raised:
            arm.safe_stop()
    assert "the stop failed: joint shoulder_pan still moves at 0.3" in str(raised.value)
    emulator.tell("still")
    arm.safe_stop()


@pytest.mark.proof
def test_a_frozen_controller_is_not_cleared(arm, emulator):
    emulator.tell("freeze")
    with pytest.raises(DriverError, match="nothing new"):
        while True:
            arm.read()
    with pytest.raises(DriverError):
        arm.clear_fault("Ada")
    assert arm.fault().code == "stale"
    emulator.tell("thaw")
    arm.clear_fault("Ada")
    stream(arm, 10)


def test_an_arm_has_one_owner(arm, emulator):
    with pytest.raises(DriverError, match=f"ur {emulator.host} is in use by this very process"):
        UrRtde(emulator.host).connect()
    stream(arm, 10)


def test_an_arm_that_another_computer_commands(emulator):
    with socket.create_connection((emulator.host, 30004)) as other:
        wanted = b"input_int_register_0"
        other.sendall(struct.pack(">HB", 3 + len(wanted), ord("I")) + wanted)
        assert other.recv(100)
        driver = UrRtde(emulator.host)
        with pytest.raises(DriverError, match="already in use"):
            driver.connect()
    await_that(lambda: emulator.state()["clients"] == 0)
    driver.connect()
    driver.close()


def test_an_answer_to_another_question_is_not_taken(arm):
    arm._connection._process.stdin.write(b'{"number": 99, "do": "look", "with": []}\n')
    with pytest.raises(DriverError, match="an answer to another question came"):
        for _ in range(3):
            arm.read()
    assert arm.fault().code == "no_reply"
    arm.clear_fault("Ada")
    stream(arm, 10)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"joints": {"elbw": {}}}, "elbw"),
        ({"joints": {"elbow": {"lo": 0.0}}}, r"elbow\.lo: no such key"),
        ({"joints": {"elbow": {"low": 1.0, "high": 1.0}}}, "low 1.0 is not below 1.0"),
        ({"gain": 5.0}, "gain"),
        ({"rate": 0.0}, "rate"),
    ],
)
def test_parameters_that_cannot_be_used(wrong, told):
    with pytest.raises(SetupError, match=told):
        UrRtde("127.0.0.1", **wrong)


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rtde_control", None)
    with pytest.raises(SetupError, match=r"robo-al-agent\[ur\]"):
        UrRtde("127.0.0.1").connect()
