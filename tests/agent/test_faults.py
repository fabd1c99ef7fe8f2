"""A fault ends as a fault, with the agent alive: a real agent, its parent, an unruly driver.

Each case is a column of the table in docs/reliability.md.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_al_agent.errors import WireError

person = runpy.run_path(str(Path(__file__).with_name("person.py")))
run = person["run"]
leave = person["leave"]
ROBOT = Path(__file__).parents[1] / "emulators" / "misbehaving.py"
STEPS = 160
"""Of a rollout that lasts long enough for anything to go wrong."""
MOVING = 0.0005 * np.arange(1, STEPS + 1)[:, None] * np.ones(2)
"""rad at 20 Hz: slowly outwards, so that a robot left alone would be seen to move."""


class Lab:
    """A robot that misbehaves, and the agent that has it."""

    def __init__(self, serve: Callable[..., Any], helpers: Any, folder: Path, **options: Any):
        self.folder, self.helpers = folder, helpers
        name = options.pop("kind", "Misbehaving")
        driver = {"name": f"{ROBOT}:{name}", "folder": str(folder), **options.pop("driver", {})}
        envelope = {"sample_age": 0.3, "start_distance": 0.05} | options.pop("envelope", {})
        self.agent = serve(driver=driver, envelope=envelope, **options)

    def misbehave(self, **how: str) -> None:
        leave(self.folder / "misbehaviour.json", json.dumps(how))

    def log(self) -> list[dict[str, Any]]:
        path = self.folder / "log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def begin(self, client: Any, name: str) -> None:
        client.submit(name, self.helpers.content(STEPS), {"actions": MOVING})

        def moves(session: Any) -> bool:
            state = session.jobs[name].state
            return state is not None and (state.fields.get("step") or 0) > 10

        assert client.wait(moves, 30), client.session.jobs[name]

    def command(self, command: str) -> "subprocess.CompletedProcess[str]":
        done: subprocess.CompletedProcess[str] = run(self.agent.config, command)
        return done


@pytest.fixture
def lab(serve: Callable[..., Any], helpers: Any, tmp_path: Path) -> Callable[..., Lab]:
    return lambda **options: Lab(serve, helpers, tmp_path, **options)


CASES = {
    "one call raises": ({"command": "raise"}, "driver_error", False),
    "stale": ({"read": "stale"}, "stale", True),
    "hangs in command": ({"command": "hang"}, "hung", False),
    "dropped commands": ({"command": "drop"}, "tracking_error", False),
    "dead for good": ({"read": "gone", "command": "gone"}, "driver_error", True),
    "port gone": (dict.fromkeys(("read", "command", "safe_stop"), "gone"), "driver_error", True),
    "exits": ({"command": "exit"}, "driver_error", False),
    "fault raises": ({"fault": "raise"}, "driver_error", True),
    "old": ({"read": "old"}, "stale", True),
    "no number": ({"read": "nan"}, "reading", True),
    "slow": ({"read": "slow 0.4"}, "stale", True),
    "overruns": ({"read": "slow 0.9"}, "overrun", True),
    "hangs in read": ({"read": "hang"}, "hung", True),
}
"""What a driver does, the fault's code, and whether it shows without motion."""


@pytest.mark.first(2)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.replace(" ", "-"))
def test_a_fault_in_motion_is_named_latched_and_cleared_once_mended(
    lab: Callable[..., Lab], case: str
) -> None:
    how, code, shows_at_rest = CASES[case]
    rig = lab(envelope={"tracking_error": 0.01})
    client = rig.agent.client()
    rig.begin(client, "run/r1")
    rig.misbehave(**how)
    job = rig.helpers.finished(client, "run/r1", 60)
    state = job.state.fields
    assert state["kind"] in ("FAULTED", "TOLERANCE_VIOLATED"), state
    assert rig.agent.fault()["code"] == code, (rig.agent.fault(), state)
    assert rig.agent.process.poll() is None
    time.sleep(0.3)
    quiet = len(rig.log())
    client.submit("run/r2", rig.helpers.content(), rig.helpers.ramp())
    if shows_at_rest:
        refused = rig.command("clear")
        assert refused.returncode != 0 and "done" not in refused.stdout, refused
        assert rig.agent.fault()
    moved = [entry for entry in rig.log()[quiet:] if entry["what"] != "stop"]
    assert not moved
    rig.misbehave()
    cleared = rig.command("clear")
    assert cleared.stdout == "clear: done\n", cleared
    assert rig.helpers.finished(client, "run/r2", 60).state.fields["kind"] == "SUCCEEDED"


def test_each_joint_is_held_to_its_own_limits_of_place(lab: Callable[..., Lab]) -> None:
    limits = {"unit": "rad", "position": [-0.9, 0.9], "velocity": 2.0, "acceleration": 100.0}
    joints = [
        {"name": name, **deepcopy(limits), "jerk": 1e4}
        | {"start_distance": start, "tracking_error": error}
        for name, start, error in (("left", 0.3, 0.5), ("right", 0.05, 0.01))
    ]
    rig = lab(envelope={"joints": joints, "start_distance": None, "tracking_error": None})
    client = rig.agent.client()
    for name, away, told in (
        ("run/a", [0.2, 0.0], "joint left at 0.05 s: velocity"),  # it is near enough
        ("run/b", [0.0, 0.06], "joint right at 0.05 s: distance from the start"),
    ):
        client.submit(name, rig.helpers.content(), {"actions": np.tile(away, (10, 1))})
        state = rig.helpers.finished(client, name).state.fields
        assert state["kind"] == "REJECTED_ENVELOPE" and told in state["reason"], state
    rig.begin(client, "run/r1")
    rig.misbehave(command="drop")
    state = rig.helpers.finished(client, "run/r1", 60).state.fields
    assert state["kind"] == "TOLERANCE_VIOLATED" and "joint right" in state["reason"], state


def test_a_device_that_answers_slowly_ends_a_rollout(lab: Callable[..., Lab]) -> None:
    rig = lab(envelope={"missed_deadlines": 3})
    client = rig.agent.client()
    rig.begin(client, "run/r1")
    rig.misbehave(command="slow 0.1")
    state = rig.helpers.finished(client, "run/r1", 60).state.fields
    assert state["kind"] == "ABORTED_SAFETY" and "late" in state["reason"], state
    rig.misbehave()
    client.submit("run/r2", rig.helpers.content(), rig.helpers.ramp())
    assert rig.helpers.finished(client, "run/r2", 60).state.fields["kind"] == "SUCCEEDED"


def test_a_bus_that_was_dead_for_two_seconds_can_be_cleared(lab: Callable[..., Lab]) -> None:
    rig = lab()
    client = rig.agent.client()
    rig.begin(client, "run/r1")
    rig.misbehave(read="gone", safe_stop="gone")
    job = rig.helpers.finished(client, "run/r1", 60)
    assert job.state.fields["kind"] == "FAULTED" and "THE STOP FAILED" in job.state.fields["reason"]
    time.sleep(1.0)
    rig.misbehave()
    cleared = rig.command("clear")
    assert cleared.stdout == "clear: done\n", cleared
    client.submit("run/r2", rig.helpers.content(), rig.helpers.ramp())
    assert rig.helpers.finished(client, "run/r2", 60).state.fields["kind"] == "SUCCEEDED"


@pytest.mark.first(1)
@pytest.mark.parametrize("how", ["raise", "silent", "slow 1.9", "hang"])
def test_a_stop_that_fails_is_a_fault(lab: Callable[..., Lab], how: str) -> None:
    rig = lab()
    client = rig.agent.client()
    rig.begin(client, "run/far")
    # It was just sent somewhere, where it arrives in five seconds, when the operator says stop.
    rig.misbehave(safe_stop=how, command="drop")
    robot = json.loads((rig.folder / "robot.json").read_text())
    robot |= {"to": [0.8, 0.8], "at": time.monotonic(), "seconds": 5.0}
    leave(rig.folder / "robot.json", json.dumps(robot))
    rig.agent.operator("abort")
    state = rig.helpers.finished(client, "run/far", 60).state.fields
    assert state["kind"] == "FAULTED", state
    codes = {"raise": "driver_error", "slow 1.9": "overrun", "hang": "hung"}
    assert rig.agent.fault()["code"] == codes.get(how, "still_moving")
    rig.misbehave()
    cleared = rig.command("clear")
    assert cleared.stdout == "clear: done\n", cleared


def test_a_stop_within_what_is_declared_is_no_fault(lab: Callable[..., Lab]) -> None:
    rig = lab()
    client = rig.agent.client()
    (child,) = _children(rig.agent.process.pid)
    rig.misbehave(safe_stop="slow 0.7")
    client.submit("run/r1", rig.helpers.content(), rig.helpers.ramp())
    assert rig.helpers.finished(client, "run/r1").state.fields["kind"] == "SUCCEEDED"
    assert _children(rig.agent.process.pid) == [child]


def test_a_call_that_holds_the_interpreter_ends_with_its_process(lab: Callable[..., Lab]) -> None:
    rig = lab()
    client = rig.agent.client()
    rig.begin(client, "run/r1")
    rig.misbehave(read="hold")
    until = time.monotonic() + 60
    while [entry["what"] for entry in rig.log()[-1:]] != ["stop"]:  # by the parent
        assert time.monotonic() < until
        time.sleep(0.05)
    rig.misbehave()
    assert rig.agent.fault()["code"] == "interrupted"
    assert rig.helpers.finished(client, "run/r1", 60).state.fields["kind"] == "INTERRUPTED"
    cleared = rig.command("clear")
    assert cleared.stdout == "clear: done\n", cleared


# ---------------------------------------------------------------- before anything moves


@pytest.mark.first(1)
@pytest.mark.parametrize("how", ["raise", "hang", "gone", "slow 2.5"])
def test_it_serves_while_the_device_cannot_be_connected(
    lab: Callable[..., Lab], tmp_path: Path, how: str
) -> None:
    (tmp_path / "misbehaviour.json").write_text(json.dumps({"connect": how}))
    rig = lab()
    codes = {"hang": "hung", "slow 2.5": "overrun"}
    assert rig.agent.fault()["code"] == codes.get(how, "driver_error")
    said = rig.command("status").stdout
    assert "FAULT" in said and "connect" in said and "the robot is not connected" in said
    client = rig.agent.client()
    client.submit("run/r1", rig.helpers.content(), rig.helpers.ramp())
    assert client.wait(lambda s: s.fault is not None, 20)
    rig.misbehave()
    cleared = rig.command("clear")
    assert cleared.stdout == "clear: done\n", cleared
    assert rig.helpers.finished(client, "run/r1", 60).state.fields["kind"] == "SUCCEEDED"


@pytest.mark.first(1)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_heard_while_connect_hangs(
    lab: Callable[..., Lab], tmp_path: Path, number: int
) -> None:
    (tmp_path / "misbehaviour.json").write_text(json.dumps({"connect": "hang"}))
    rig = lab()
    rig.agent.process.send_signal(number)
    assert rig.agent.process.wait(30) == 0


def test_what_a_driver_prints_is_in_the_log(lab: Callable[..., Lab], tmp_path: Path) -> None:
    prints = dict.fromkeys(("connect", "read", "command", "safe_stop", "fault"), "print")
    (tmp_path / "misbehaviour.json").write_text(json.dumps(prints))
    rig = lab()
    client = rig.agent.client()
    client.submit("run/r1", rig.helpers.content(), rig.helpers.ramp())
    assert rig.helpers.finished(client, "run/r1", 60).state.fields["kind"] == "SUCCEEDED"
    log = (tmp_path / "journal" / "driver.log").read_text()
    assert "ready? ready?" in log and "a vendor's library speaks" in log


@pytest.mark.parametrize("how", ["raise", "hang"])
def test_a_release_that_goes_wrong_leaves_the_agent_answering(
    lab: Callable[..., Lab], how: str
) -> None:
    rig = lab()
    rig.misbehave(release=how)
    done = rig.command("release")
    assert done.returncode != 0 and "release" in done.stderr and "Traceback" not in done.stderr
    rig.misbehave()
    rig.agent.status()
    client = rig.agent.client()
    if how == "hang":
        cleared = rig.command("clear")
        assert cleared.stdout == "clear: done\n", cleared
    client.submit("run/r1", rig.helpers.content(), rig.helpers.ramp())
    assert rig.helpers.finished(client, "run/r1", 60).state.fields["kind"] == "SUCCEEDED"


def test_a_robot_that_goes_away_while_idle_is_missed(lab: Callable[..., Lab]) -> None:
    rig = lab()
    client = rig.agent.client()
    assert client.wait(lambda s: s.fencing_token is not None, 20)
    rig.misbehave(read="gone")
    assert client.wait(lambda s: s.fault is not None, 20)
    assert "the port is gone" in client.session.fault["message"]


def test_a_full_disk_stops_the_robot_and_loses_nothing(
    lab: Callable[..., Lab], tmp_path: Path
) -> None:
    """A disk of its own for the journal, filled up while the robot moves."""
    disk = tmp_path / "journal"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a disk")
    try:
        rig = lab()
        client = rig.agent.client()
        rig.begin(client, "run/r1")
        with (disk / "rubbish").open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(4096))
                except OSError:
                    break
        assert client.wait(lambda s: s.fault is not None, 30)
        assert (
            rig.agent.fault()["code"] == "journal"
            and "see to the disk" in rig.agent.fault()["message"]
        )
        while rig.agent.status()["running"] is not None:
            time.sleep(0.05)
        assert rig.command("clear").returncode != 0
        (disk / "rubbish").unlink()
        cleared = rig.command("clear")
        assert cleared.stdout == "clear: done\n", cleared
        job = rig.helpers.finished(client, "run/r1", 60)
        assert job.state.fields["kind"] == "FAULTED" and len(job.result.arrays["sent"]) > 10
        client.submit("run/r2", rig.helpers.content(), rig.helpers.ramp())
        assert rig.helpers.finished(client, "run/r2", 60).state.fields["kind"] == "SUCCEEDED"
    finally:
        rig.helpers.end(rig.agent.process)
        subprocess.run(["umount", disk], check=True)


# ---------------------------------------------------------------- motion that nobody asked for


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A robot whose left joint rests at 1.85 rad, where its limit is 1."""
    (tmp_path / "robot.json").write_text(json.dumps({"from": [1.85, 0], "to": [1.85, 0]}))
    return tmp_path


def test_a_joint_outside_its_limits_is_named_and_never_moved(
    lab: Callable[..., Lab], outside: Path
) -> None:
    rig = lab()
    fault = rig.agent.fault()
    assert fault["code"] == "outside_limits"
    assert "left is at 1.85 rad; it may be from -0.9 to 0.9" in fault["message"]
    assert "robo-al-agent recover" in fault["message"]
    refused = rig.command("clear")
    assert refused.returncode != 0 and "left" in refused.stderr
    rig.helpers.end(rig.agent.process)
    checked = rig.command("check")
    assert checked.returncode == 1 and "left is at 1.85" in checked.stderr
    assert [entry for entry in rig.log() if entry["what"] != "stop"] == []
    assert all(entry["to"] == [1.85, 0] for entry in rig.log())


def test_a_driver_that_cannot_lead_a_joint_back_says_so(
    lab: Callable[..., Lab], outside: Path
) -> None:
    rig = lab()
    refused = rig.command("recover")
    assert refused.returncode == 1 and "move it by hand" in refused.stderr
    assert [entry for entry in rig.log() if entry["what"] != "stop"] == []


@pytest.mark.proof
@pytest.mark.parametrize("served", [True, False])
def test_recover_leads_a_joint_back_slowly(
    lab: Callable[..., Lab], outside: Path, served: bool
) -> None:
    rig = lab(kind="Recovering")
    if not served:
        rig.helpers.end(rig.agent.process)
    done = rig.command("recover")
    assert done.returncode == 0, done
    way = [entry for entry in rig.log() if entry["what"] == "recover"]
    left = np.array([1.85] + [entry["to"][0] for entry in way])
    assert (np.diff(left) <= 0).all() and 0.8 < left[-1] < 0.9
    assert np.abs(np.diff(left)).max() * 20 < 0.11  # rad/s, at 20 Hz
    assert {entry["to"][1] for entry in way} == {0.0}
    if served:
        cleared = rig.command("clear")
        assert cleared.stdout == "clear: done\n", cleared


def test_ctrl_c_twice_ends_a_recovery_whose_device_hangs(
    lab: Callable[..., Lab], outside: Path
) -> None:
    rig = lab(kind="Recovering")
    rig.helpers.end(rig.agent.process)
    rig.misbehave(recover="hang")
    words = [sys.executable, "-m", "robo_al_agent.cli", "recover", str(rig.agent.config)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert b"joint left is at 1.85" in process.stdout.readline()
        for _ in range(2):
            time.sleep(1.0)
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130 and process.stderr.read() == b""
    assert rig.log()[-1]["what"] == "stop"


def test_recover_is_watched_at_each_step(lab: Callable[..., Lab], outside: Path) -> None:
    rig = lab(kind="Recovering", envelope={"tracking_error": 0.05})
    rig.misbehave(recover="drop")
    done = rig.command("recover")
    assert done.returncode == 1 and "tracking error" in done.stderr
    way = [entry for entry in rig.log() if entry["what"] == "recover"]
    assert not way and rig.log()[-1]["what"] == "stop"


def test_the_way_to_the_start_is_watched(lab: Callable[..., Lab]) -> None:
    rig = lab(envelope={"tracking_error": 0.05})
    client = rig.agent.client()
    rig.misbehave(command="drop")
    start = {"joints": [0.8, 0.0]}
    client.submit(
        "run/r1", rig.helpers.content(start=start), {"actions": np.tile([0.8, 0], (10, 1))}
    )
    state = rig.helpers.finished(client, "run/r1").state.fields
    assert state["kind"] == "TOLERANCE_VIOLATED" and "on the way to the start" in state["reason"]
    assert "left" in state["reason"] and rig.agent.fault()["code"] == "tracking_error"


def test_the_way_to_the_start_can_be_stopped(lab: Callable[..., Lab]) -> None:
    rig = lab()
    client = rig.agent.client()
    commanded = len(rig.log())
    start = {"joints": [0.85, 0.0]}
    client.submit(
        "run/r1", rig.helpers.content(start=start), {"actions": np.tile([0.85, 0], (10, 1))}
    )
    while len(rig.log()) < commanded + 10:
        time.sleep(0.01)
    rig.agent.operator("abort")
    assert rig.helpers.finished(client, "run/r1").state.fields["kind"] == "ABORTED_OPERATOR"
    assert rig.log()[-1]["what"] == "stop" and rig.log()[-1]["to"][0] < 0.8


# ---------------------------------------------------------------- whole trajectories


def test_a_long_trajectory_is_no_hang(lab: Callable[..., Lab]) -> None:
    rig = lab(kind="MisbehavingController")
    client = rig.agent.client()
    (child,) = _children(rig.agent.process.pid)
    client.submit("run/r1", rig.helpers.content(100), {"actions": MOVING[:100]})  # 5 s
    job = rig.helpers.finished(client, "run/r1", 60)
    assert job.state.fields["kind"] == "SUCCEEDED", job.state
    assert len(job.result.arrays["positions"]) == 101
    assert _children(rig.agent.process.pid) == [child]


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "how, code",
    [
        ("raise", "driver_error"),
        ("hang", "hung"),
        ("gone", "driver_error"),
        ("exit", "driver_error"),
    ],
)
def test_a_trajectory_that_goes_wrong_is_a_fault(
    lab: Callable[..., Lab], how: str, code: str
) -> None:
    rig = lab(kind="MisbehavingController")
    client = rig.agent.client()
    client.submit("run/r1", rig.helpers.content(40), {"actions": MOVING[:40]})
    while not any(entry["what"] == "execute" for entry in rig.log()):
        time.sleep(0.01)
    rig.misbehave(execute=how)
    state = rig.helpers.finished(client, "run/r1", 90).state.fields
    assert state["kind"] == "FAULTED", state
    assert rig.agent.fault()["code"] == code
    rig.misbehave()
    cleared = rig.command("clear")
    assert cleared.stdout == "clear: done\n", cleared
    client.submit("run/r2", rig.helpers.content(), rig.helpers.ramp())
    assert rig.helpers.finished(client, "run/r2", 60).state.fields["kind"] == "SUCCEEDED"


def test_a_trajectory_is_ended_by_a_person_even_where_cancel_fails(
    lab: Callable[..., Lab],
) -> None:
    rig = lab(kind="MisbehavingController")
    client = rig.agent.client()
    for name, how, kind in (("a", "", "ABORTED_OPERATOR"), ("b", "raise", "FAULTED")):
        began = len(rig.log())
        client.submit(f"run/{name}", rig.helpers.content(STEPS), {"actions": MOVING})
        while not any(entry["what"] == "execute" for entry in rig.log()[began:]):
            time.sleep(0.01)
        rig.misbehave(cancel=how)
        rig.agent.operator("abort")
        state = rig.helpers.finished(client, f"run/{name}", 90).state.fields
        assert state["kind"] == kind, state
        assert max(entry["to"][0] for entry in rig.log()) < MOVING[-1, 0] - 0.005
    assert rig.agent.fault()["code"] == "hung"


def test_a_trajectory_that_is_being_sent_is_ended_as_well(lab: Callable[..., Lab]) -> None:
    rig = lab(kind="MisbehavingController")
    client = rig.agent.client()
    rig.misbehave(send="slow 1")
    client.submit("run/r1", rig.helpers.content(STEPS), {"actions": MOVING})

    def begun(session: Any) -> bool:
        state = session.jobs["run/r1"].state
        return state is not None and state.fields["state"] == "started"

    assert client.wait(begun, 30)
    time.sleep(0.3)  # on its way to the controller
    rig.agent.operator("abort")
    state = rig.helpers.finished(client, "run/r1", 90).state.fields
    assert state["kind"] == "ABORTED_OPERATOR", state
    assert max(entry["to"][0] for entry in rig.log()) < MOVING[-1, 0] - 0.005


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def test_the_parent_ends_a_frozen_agent(lab: Callable[..., Lab]) -> None:
    rig = lab()
    (child,) = _children(rig.agent.process.pid)
    os.kill(child, signal.SIGSTOP)
    until = time.monotonic() + 30
    while _children(rig.agent.process.pid) in ([child], []):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert rig.agent.status()["fault"] is None


def test_nobody_but_a_person_at_the_robot_recovers(lab: Callable[..., Lab]) -> None:
    from robo_al_agent.protocol.client import ask
    from robo_al_agent.protocol.wire import Message

    rig = lab()
    with pytest.raises(WireError, match="only a person at the robot"):
        ask(rig.agent.address, Message("recover", {"request": 1, "operator": "host"}), None)
