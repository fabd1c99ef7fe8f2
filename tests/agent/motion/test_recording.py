"""A motion that a person leads is recorded: the real command line, real agents, real drivers."""

import json
import os
import pty
import runpy
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked import Forked

from robo_al_agent.errors import AgentError, WireError
from robo_al_agent.protocol.client import Client, ask
from robo_al_agent.protocol.wire import Message

EMULATORS = Path(__file__).parents[2] / "emulators"
process = runpy.run_path(str(EMULATORS / "process.py"))
person = runpy.run_path(str(Path(__file__).parents[1] / "person.py"))
run = person["run"]
leave = person["leave"]
question = person["question"]
until = person["until"]
TICK = 2 * np.pi / 4096


class Recording:
    """`robo-al-agent record` in a process of its own."""

    def __init__(self, config: Path, *words: str) -> None:
        self.process = Forked("robo_al_agent.cli", "record", config, *words, together=True)
        self.said = ""

    def begun(self) -> "Recording":
        """Wait until it records."""
        while "Ctrl-C ends it" not in self.said:
            more = self.process.stdout.readline()
            assert more, self.said
            self.said += more
        return self

    @property
    def id(self) -> str:
        line, *_ = [one for one in self.said.splitlines() if one.startswith("recording/")]
        return line.split(": ")[0]

    def over(self) -> str:
        """Wait until it has ended; return all that it said."""
        rest, _ = self.process.communicate(timeout=100)
        self.said += rest
        return self.said

    def ended(self) -> str:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        return self.over()


@pytest.fixture
def record() -> Iterator[Callable[..., Recording]]:
    """Start recordings; each is ended after the test."""
    started: list[Recording] = []

    def start(config: Path, *words: str) -> Recording:
        started.append(Recording(config, *words))
        return started[-1]

    yield start
    for one in started:
        with one.process:
            one.process.kill()


def readings(agent: Any) -> int:
    """Return how many readings the recording that is being made has."""
    try:
        said = agent.operator("status").fields["recording"]
    except AgentError:  # its process is being replaced
        return 0
    return 0 if said is None else int(said[1])


def only(client: Client) -> dict[str, Any]:
    (one,) = client.recordings()
    return one


# ---------------------------------------------------------------- a serial arm


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Any]:
    pytest.importorskip("scservo_sdk")
    emulator = process["Emulator"]("feetech_bus", tmp_path / "tty")
    yield emulator
    emulator.close()


def arm(serve: Callable[..., Any], bus: Any, **changes: Any) -> Any:
    """Serve an arm of two joints and a gripper in %."""
    motors: dict[str, Any] = {f"joint{i}": {"id": i, "low": -1.5, "high": 1.5} for i in (1, 2)}
    motors["pincer"] = {"kind": "gripper", "id": 3, "closed": 1848, "open": 2248}
    limits = {"velocity": 2.0, "acceleration": 100.0, "jerk": 10_000.0}
    limits |= {"start_distance": 0.1, "tracking_error": 0.2}
    in_common = dict.fromkeys(("start_distance", "tracking_error"))
    joints = [{"name": n, "unit": "rad", "position": [-1.4, 1.4], **limits} for n in list(motors)]
    joints[2] |= {"unit": "%", "position": [0.0, 100.0], "velocity": 100.0}
    joints[2] |= {"start_distance": 5.0, "tracking_error": 30.0}
    driver = {"name": "feetech", "port": bus.port, "motors": motors}
    return serve(driver=driver, envelope={"joints": joints, **in_common}, operator="Ana", **changes)


def test_an_arm_is_led_by_hand_and_then_holds_where_it_is(
    serve: Callable[..., Any], record: Callable[..., Recording], bus: Any, tmp_path: Path
) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    agent, file = arm(serve, bus), tmp_path / "led.safetensors"
    led = record(agent.config, "--note", 'the "new"\ncup', "--out", str(file)).begun()
    assert not any(bus.state(number)["torque"] for number in (1, 2, 3))
    assert f"RECORDS {led.id}" in run(agent.config, "status").stdout
    bus("drift", 1, 300)  # a hand moves the first joint, and opens the gripper
    bus("drift", 3, 40)
    until(lambda: bus.state(1)["position"] > 2048 + 200)
    for number in (1, 3):
        bus("drift", number, 0)
    at, enough = bus.state(1)["position"], readings(agent) + 3
    until(lambda: readings(agent) > enough)
    said = led.ended()
    assert led.process.returncode == 0 and "SUCCEEDED: Ana ended it; " in said
    states = [bus.state(number) for number in (1, 2, 3)]
    assert all(state["torque"] for state in states), "it holds again"
    np.testing.assert_allclose(states[0]["position"], at, atol=1.0)
    np.testing.assert_allclose([s["goal"] for s in states], [s["position"] for s in states], atol=1)
    client = agent.client()
    about = only(client)
    assert about["id"] == led.id and about["by_hand"] and about["note"] == 'the "new" cup'
    assert about["operator"] == "Ana" and about["began"].endswith("+00:00")
    got = client.fetch_recording(led.id)
    assert [one["unit"] for one in got.fields["joints"]] == ["rad", "rad", "%"]
    assert "efforts" not in got.arrays, "these motors' efforts are not known"
    positions, times = got.arrays["positions"], got.arrays["time_ns"]
    assert (np.diff(times) > 0).all() and (np.diff(got.arrays["sequence"]) >= 1).all()
    np.testing.assert_allclose(positions[0], [0, 0, 50], atol=0.3)
    np.testing.assert_allclose(positions[-1, 0], (at - 2048) * TICK, atol=2 * TICK)
    np.testing.assert_allclose(
        positions[-1, 2], (bus.state(3)["position"] - 1848) / 4, atol=0.3, err_msg="% of opening"
    )
    assert not np.ptp(positions[:, 1]) and got.arrays["velocities"].shape == positions.shape
    kept = safetensors.load_file(file)
    assert set(kept) == set(got.arrays)
    for name, array in got.arrays.items():
        np.testing.assert_array_equal(kept[name], array)
    client.acknowledge_recording(led.id)
    assert client.recordings() == []
    with pytest.raises(WireError, match="is acknowledged"):
        client.fetch_recording(led.id)
    from safetensors import safe_open

    with safe_open(file, "numpy") as opened:
        assert json.loads(opened.metadata()["operator"]) == "Ana"


def test_a_killed_agent_keeps_the_recording_and_the_arm_holds(
    serve: Callable[..., Any], record: Callable[..., Recording], bus: Any
) -> None:
    agent = arm(serve, bus)
    led = record(agent.config).begun()
    until(lambda: readings(agent) > 20)
    (child,) = subprocess.check_output(
        ["ps", "-o", "pid=", "--ppid", str(agent.process.pid)], text=True
    ).split()
    os.kill(int(child), signal.SIGKILL)
    said = led.over()
    assert "INTERRUPTED: the agent ended while it was made; " in said and "interrupted" in said
    assert all(bus.state(number)["torque"] for number in (1, 2, 3))
    client = agent.client()
    got = until(lambda: client.fetch_recording(led.id))
    assert got.fields["kind"] == "INTERRUPTED" and len(got.arrays["positions"]) > 10
    assert got.fields["operator"] == "Ana" and only(client)["id"] == led.id
    assert run(agent.config, "clear").returncode == 0
    again = record(agent.config, "--seconds", "0.3").begun()
    assert "SUCCEEDED: its time was over" in again.over()
    assert [one["id"] for one in client.recordings()] == [led.id, again.id]


def test_a_motor_that_falls_silent_ends_it_and_what_was_recorded_stays(
    serve: Callable[..., Any], record: Callable[..., Recording], bus: Any
) -> None:
    agent = arm(serve, bus)
    led = record(agent.config).begun()
    until(lambda: readings(agent) > 20)
    bus("vanish", 2)
    said = led.over()
    assert "FAULTED: no_reply" in said and "DOES NOT HOLD" in said and "motor 2" in said
    assert len(agent.client().fetch_recording(led.id).arrays["positions"]) > 20
    assert agent.operator("status").fields["fault"]["code"] == "no_reply"
    bus("appear", 2)
    assert run(agent.config, "clear").returncode == 0
    assert all(bus.state(number)["torque"] for number in (1, 2, 3))


def test_a_joint_that_is_led_out_of_its_limits_stays_there_and_is_named(
    serve: Callable[..., Any], record: Callable[..., Recording], bus: Any
) -> None:
    agent = arm(serve, bus)
    led = record(agent.config).begun()
    bus("drift", 1, 2000)
    until(lambda: bus.state(1)["position"] > 2048 + 1.6 / TICK)
    bus("drift", 1, 0)
    at, enough = bus.state(1)["position"], readings(agent) + 3
    until(lambda: readings(agent) > enough)
    said = led.ended()
    assert "SUCCEEDED" in said and "FAULT outside_limits: joint joint1 is at" in said
    assert bus.state(1)["torque"] and abs(bus.state(1)["position"] - at) <= 1


# ---------------------------------------------------------------- what may go wrong


@pytest.fixture
def rig(serve: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Serve the robot that misbehaves as it is told."""

    def start(kind: str = "Led", **changes: Any) -> Any:
        name = f"{EMULATORS / 'misbehaving.py'}:{kind}"
        driver = {"name": name, "folder": str(tmp_path)}
        return serve(driver=driver, envelope={"sample_age": 0.3}, **changes)

    return start


def misbehave(folder: Path, **how: str) -> None:
    leave(folder / "misbehaviour.json", json.dumps(how))


def done(folder: Path) -> list[str]:
    path = folder / "log"
    return [json.loads(line)["what"] for line in path.read_text().splitlines()[-50:]]


def test_a_driver_that_cannot_let_go_is_only_read(
    rig: Callable[..., Any], record: Callable[..., Recording], tmp_path: Path
) -> None:
    agent = rig("Misbehaving")
    before = (tmp_path / "log").read_text()
    led = record(agent.config).begun()
    assert "this driver cannot let go of the robot: it is only read" in led.said
    moved = {"from": [0, 0], "to": [0.5, 0], "at": time.monotonic(), "seconds": 0.5}
    leave(tmp_path / "robot.json", json.dumps(moved))  # led by its vendor's own means
    until(lambda: time.monotonic() > moved["at"] + 0.6 and readings(agent) > 20)
    led.ended()
    assert (tmp_path / "log").read_text() == before, "nothing was commanded"
    got = agent.client().fetch_recording(led.id)
    np.testing.assert_allclose(got.arrays["positions"][[0, -1], 0], [0, 0.5], atol=0.1)
    assert not got.fields["by_hand"] and got.arrays["velocities"][:, 0].max() > 0.5


@pytest.mark.first(2)
@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"read": "stale"}, "stale"),
        ({"read": "old"}, "stale"),
        ({"read": "nan"}, "reading"),
        ({"read": "raise"}, "driver_error"),
        ({"fault": "gone"}, "driver_error"),
        ({"read": "slow 0.9"}, "overrun"),
        ({"read": "hang"}, "hung"),
    ],
)
def test_a_fault_ends_it_with_the_reason_and_keeps_what_there_is(
    rig: Callable[..., Any],
    record: Callable[..., Recording],
    tmp_path: Path,
    how: dict[str, str],
    code: str,
) -> None:
    agent = rig()
    led = record(agent.config).begun()
    until(lambda: readings(agent) > 20)
    misbehave(tmp_path, **how)
    said = led.over()
    assert "FAULTED" in said and f"FAULT {code}" in said
    got = agent.client().fetch_recording(led.id)
    assert len(got.arrays["positions"]) > 20 and got.fields["kind"] == "FAULTED"
    misbehave(tmp_path)
    until(lambda: run(agent.config, "clear").returncode == 0)
    assert "SUCCEEDED" in record(agent.config, "--seconds", "0.2").begun().over()


def test_what_does_not_let_go_or_hold_is_a_fault(
    rig: Callable[..., Any], record: Callable[..., Recording], tmp_path: Path
) -> None:
    agent = rig()
    misbehave(tmp_path, begin_leading="raise")
    said = record(agent.config).over()
    assert "the driver could not let go: begin_leading: KeyError" in said
    assert agent.operator("status").fields["fault"]["code"] == "driver_error"
    assert done(tmp_path)[-1] == "end_leading", "torque may be off at some joints"
    assert "see to that first, `clear`" in record(agent.config).over()
    misbehave(tmp_path)
    assert run(agent.config, "clear").returncode == 0
    led = record(agent.config).begun()
    misbehave(tmp_path, end_leading="gone")
    said = led.ended()
    assert "FAULTED: tester" not in said and "THE ROBOT DOES NOT HOLD" in said
    assert "the port is gone" in agent.operator("status").fields["fault"]["message"]


def test_a_full_disk_ends_it_and_loses_nothing(
    rig: Callable[..., Any], record: Callable[..., Recording], tmp_path: Path, helpers: Any
) -> None:
    disk = tmp_path / "journal"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk")
    agent = rig()
    try:
        led = record(agent.config).begun()
        until(lambda: readings(agent) > 20)
        with (disk / "rubbish").open("wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(4096))
        until(lambda: agent.operator("status").fields["recording"] is None)
        assert agent.operator("status").fields["fault"]["code"] == "journal"
        assert done(tmp_path)[-1] == "end_leading", "it holds, whatever the disk does"
        (disk / "rubbish").unlink()
        assert run(agent.config, "clear").returncode == 0
        assert "FAULTED" in led.over()
        assert len(agent.client().fetch_recording(led.id).arrays["positions"]) > 20
    finally:
        helpers.end(agent.process)
        subprocess.run(["umount", disk], check=True)


@pytest.mark.proof
def test_an_abort_ends_it_and_so_does_the_end_of_the_agent(
    rig: Callable[..., Any], record: Callable[..., Recording], tmp_path: Path, helpers: Any
) -> None:
    agent = rig()
    led = record(agent.config).begun()
    agent.operator("abort")
    assert "ABORTED_OPERATOR: tester stopped it" in led.over()
    assert agent.operator("status").fields["fault"] is None
    other = record(agent.config).begun()
    until(lambda: readings(agent) > 5)
    agent.process.send_signal(signal.SIGINT)
    assert agent.process.wait(30) == 0
    assert "stopped and holds where it is" in agent.process.stdout.read()
    assert done(tmp_path).count("end_leading") == 2
    assert other.over() and other.process.returncode != 0
    helpers.end(agent.process)
    agent.process = helpers.run_agent(agent.config)
    assert [one["kind"] for one in agent.client().recordings()] == ["ABORTED_OPERATOR"] * 2


def test_a_rollout_waits_until_it_is_over(
    rig: Callable[..., Any], record: Callable[..., Recording], helpers: Any
) -> None:
    agent = rig()
    led = record(agent.config).begun()
    client = agent.client()
    client.submit("run/r1", helpers.content(), helpers.ramp())
    assert client.wait(lambda s: s.jobs["run/r1"].stage == "state", 20)
    for command in ("clear", "release", "recover"):
        refused = run(agent.config, command)
        assert refused.returncode != 0 and "a recording is being made" in refused.stderr
    assert "a recording is being made" in record(agent.config).over()
    held = readings(agent)
    until(lambda: readings(agent) > held + 20)
    assert client.session.jobs["run/r1"].state.fields["waits_for"] == "turn"
    led.ended()
    assert helpers.finished(client, "run/r1").state.fields["kind"] == "SUCCEEDED"
    client.submit("run/r2", helpers.content(500), {"actions": np.zeros((500, 2))})
    assert client.wait(lambda s: (s.jobs["run/r2"].state or led) is not led, 20)
    until(lambda: agent.operator("status").fields["running"])
    assert "a rollout is running" in record(agent.config).over()


def test_only_a_person_at_the_robot_lets_go_of_it(rig: Callable[..., Any], tmp_path: Path) -> None:
    agent = rig()
    asked = {"request": 1, "operator": "host", "id": "recording/x", "duration": 5.0}
    for kind, fields in (("record", asked), ("end_recording", {"request": 1, "operator": "host"})):
        with pytest.raises(WireError, match="only a person at the robot"):
            ask(agent.address, Message(kind, fields), None)
    assert ask(agent.address, Message("recordings", {"request": 1}), None).fields == {
        "recordings": [],
        "further": 0,
        "request": 1,
    }
    with pytest.raises(WireError, match="nothing is being recorded"):
        agent.operator("end_recording")
    with pytest.raises(WireError, match="duration"):
        agent.operator("record", id="recording/x", duration=-1.0)


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_let_go(
    rig: Callable[..., Any], record: Callable[..., Recording], tmp_path: Path
) -> None:
    agent = rig()
    there = tmp_path / "there.safetensors"
    there.write_text("precious")
    for path, told in (
        (there, "stays as it is"),
        (tmp_path / "led.pickle", "FILE.safetensors"),
        (tmp_path / "none" / "led.safetensors", "there is no folder"),
    ):
        said = record(agent.config, "--out", str(path)).over()
        assert told in said and "Traceback" not in said
    assert "begin_leading" not in (tmp_path / "log").read_text()
    assert there.read_text() == "precious"
    led = record(agent.config, "--seconds", "0.2").begun()
    led.over()
    listed = run(agent.config, "recordings").stdout
    assert led.id in listed and "SUCCEEDED" in listed
    got = tmp_path / "led.safetensors"
    assert run(agent.config, "recordings", led.id, "--out", str(got), "--drop").returncode == 0
    assert got.exists() and run(agent.config, "recordings").stdout == ""
    for words, told in (
        (("--drop",), "name it"),
        ((led.id,), "--out FILE, --drop"),
        ((led.id, "--drop"), "is acknowledged"),
        (("recording/none", "--drop"), "is unknown"),
    ):
        refused = run(agent.config, "recordings", *words)
        assert refused.returncode != 0 and told in refused.stderr


def test_a_rollouts_result_is_not_dropped_as_a_recording(
    rig: Callable[..., Any], helpers: Any
) -> None:
    agent = rig()
    client = agent.client()
    client.submit("recording/r1", helpers.content(), helpers.ramp())
    helpers.finished(client, "recording/r1")
    refused = run(agent.config, "recordings", "recording/r1", "--drop")
    assert refused.returncode == 2 and "is no recording but a rollout" in refused.stderr
    assert client.recordings() == [] and client.fetch_recording("recording/r1").kind == "result"


def test_in_a_terminal_it_asks_first_and_enter_ends_it(
    rig: Callable[..., Any], tmp_path: Path
) -> None:
    agent = rig()
    for answer in ("n", "y"):
        ours, its = pty.openpty()
        with Forked("robo_al_agent.cli", "record", agent.config, stdin=its) as process:
            asked = question(process)
            os.write(ours, f"{answer}\n".encode())
            if answer == "y":
                until(lambda: readings(agent) > 5)
                os.write(ours, b"\n")
            said, _ = process.communicate(timeout=60)
        os.close(ours)
        os.close(its)
        assert process.returncode == 0 and "begin? [y/N]" in asked
        assert ("SUCCEEDED" in said) == (answer == "y")
    assert done(tmp_path)[-2:] == ["begin_leading", "end_leading"]
    assert len(agent.client().recordings()) == 1
