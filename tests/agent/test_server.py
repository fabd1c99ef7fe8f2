"""A real agent, with its parent, over real sockets."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from forked import finished

from robo_al_agent.errors import WireError
from robo_al_agent.protocol import wire
from robo_al_agent.protocol.client import Client, ask
from robo_al_agent.protocol.keys import make_keys
from robo_al_agent.protocol.wire import Message


@pytest.mark.parametrize("name", ["Slider", "Reusing"])
def test_a_rollout_is_executed_and_recorded(
    serve: Callable[..., Any], helpers: Any, name: str, tmp_path: Path
) -> None:
    files = {which: str(tmp_path / which) for which in ("faults", "log")}
    agent = serve(driver={"name": f"{helpers.ROBOTS}:{name}", **files})
    client = agent.client()
    client.submit("run/r1", helpers.content(), helpers.ramp())
    job = helpers.finished(client, "run/r1")
    assert job.state.fields["kind"] == "SUCCEEDED", job.state
    arrays = job.result.arrays
    assert {name: array.shape for name, array in arrays.items()} == {
        "time_ns": (11,),
        "sequence": (11,),
        "positions": (11, 2),
        "velocities": (11, 2),
        "efforts": (11, 2),
        "sensors": (11, 0),
        "requested": (10, 2),
        "sent": (10, 2),
    }
    np.testing.assert_array_equal(arrays["requested"], helpers.ramp()["actions"])
    np.testing.assert_array_equal(arrays["sent"], np.round(helpers.ramp()["actions"], 3))
    np.testing.assert_array_equal(arrays["positions"][1:], arrays["sent"])
    assert agent.log()[-1].endswith("stop")
    client.acknowledge("run/r1")
    assert client.wait(lambda session: not session.jobs, 10)


def test_the_same_id_gives_the_same_result_and_another_content_an_error(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve()
    first = agent.client()
    first.submit("run/r1", helpers.content(), helpers.ramp())
    result = helpers.finished(first, "run/r1").result
    first.close()
    moved = len(agent.log())
    second = agent.client()
    second.submit("run/r1", helpers.content(), helpers.ramp())
    again = helpers.finished(second, "run/r1").result
    assert wire.content_hash(Message("x", {}, again.arrays)) == wire.content_hash(
        Message("x", {}, result.arrays)
    )
    second.acknowledge("run/r1")
    assert second.wait(lambda session: not session.jobs, 10)
    second.submit("run/r1", helpers.content(seed=1), helpers.ramp())
    assert "another content" in helpers.finished(second, "run/r1").refused
    assert len(agent.log()) == moved


def test_what_leaves_the_envelope_is_refused_whole(serve: Callable[..., Any], helpers: Any) -> None:
    agent = serve()
    client = agent.client()
    cases = {
        "velocity": ({}, np.tile([[0.06], [-0.06]], (5, 2))),
        "distance": ({}, np.full((10, 2), 0.5)),
        "nan": ({}, np.full((10, 2), np.nan)),
        "it lasts 32 s; limit 30": ({"horizon": 640}, np.zeros((640, 2))),
        "position": ({"start": {"joints": [0.95, 0.0]}}, np.tile([0.95, 0.0], (10, 1))),
    }
    moved = len(agent.log())
    for i, (reason, (changes, actions)) in enumerate(cases.items()):
        client.submit(f"run/r{i}", helpers.content(**changes), {"actions": actions})
        state = helpers.finished(client, f"run/r{i}").state.fields
        assert state["kind"] == "REJECTED_ENVELOPE" and reason in state["reason"].lower(), state
    assert len(agent.log()) == moved


def test_the_status_has_the_newest_reading(serve: Callable[..., Any], helpers: Any) -> None:
    agent = serve()
    client = agent.client()
    client.look(True)
    client.submit("run/r1", helpers.content(), helpers.ramp())
    last = helpers.finished(client, "run/r1").result.arrays["time_ns"][-1]

    def later(session: Any) -> bool:
        status = session.status
        return status is not None and status.fields["reading"]["time_ns"] > last

    assert client.wait(later, 20)
    status = client.session.status
    np.testing.assert_array_equal(status.arrays["positions"], [0.01, 0.02])
    assert status.arrays["velocities"].shape == (2,) and status.arrays["sensors"].shape == (0,)
    assert status.fields["reading"]["age"] >= 0


@pytest.mark.parametrize(("stood", "kind"), [(0.05, "SUCCEEDED"), (0.3, "ABORTED_SAFETY")])
def test_a_start_that_was_found_is_not_gone_to(
    serve: Callable[..., Any], helpers: Any, stood: float, kind: str
) -> None:
    agent = serve()
    client = agent.client()
    start = {"joints": [stood, 0.0]}
    commands, before = helpers.ramp()["actions"] + [stood, 0.0], len(agent.log())
    client.submit("run/r1", helpers.content(found=True, start=start), {"actions": commands})
    job = helpers.finished(client, "run/r1")
    sent = [line for line in agent.log()[before:] if "command" in line]
    assert job.state.fields["kind"] == kind
    assert len(sent) == (10 if kind == "SUCCEEDED" else 0)
    assert agent.operator("status").fields["fault"] is None
    if kind == "SUCCEEDED":
        assert job.result.arrays["positions"][0].tolist() == [0.0, 0.0]
    else:
        assert "joint left is 0.3 from the start; limit 0.1" in job.state.fields["reason"]


def test_what_cannot_be_executed_is_refused(serve: Callable[..., Any], helpers: Any) -> None:
    agent = serve()
    client = agent.client()
    graph = np.zeros(9, np.uint8)
    cases = {
        "in this order, left, right": ({"joints": ["right", "left"]}, helpers.ramp()),
        "it declares 100 Hz": ({"period": 1e-6}, helpers.ramp()),
        "shape": ({}, {"actions": np.zeros((3, 2))}),
        "missing": ({}, {}),
        "policy": ({"controller": "onnx"}, {}),
        "no ONNX graph": ({"controller": "onnx"}, {"policy": graph}),
        "more": ({"more": 1}, helpers.ramp()),
        "1 values for 2 joints": ({"start": {"joints": [0.0]}}, helpers.ramp()),
        "found is a pose": ({"found": True, "start": {}}, helpers.ramp()),
    }
    moved = len(agent.log())
    for i, (reason, (changes, arrays)) in enumerate(cases.items()):
        client.submit(f"run/r{i}", helpers.content(**changes), arrays)
        assert reason in str(helpers.finished(client, f"run/r{i}").refused)
    assert len(agent.log()) == moved


def test_abort_stops_the_robot_and_drops_what_waits(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve()
    client = agent.client()
    for name in ("run/r1", "run/r2"):
        client.submit(name, helpers.content(500), {"actions": np.zeros((500, 2))})
    assert client.wait(lambda s: _state(s, "run/r1") == "started", 10)
    host, port = agent.address.rsplit(":", 1)
    ask(f"{host}:{int(port) + 1}", Message("abort", {"request": 1, "who": "a hand"}), agent.keys)
    first, second = (helpers.finished(client, name) for name in ("run/r1", "run/r2"))
    for job in (first, second):
        assert job.state.fields["kind"] == "ABORTED_OPERATOR"
        assert "a hand" in job.state.fields["reason"]
    assert 0 < len(first.result.arrays["sent"]) < 500 and second.result is None


def _state(session: Any, id: str) -> str | None:
    job = session.jobs[id]
    return None if job.state is None else job.state.fields["state"]


def test_a_silent_host_stops_the_robot_and_finds_the_data_later(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve()
    code = f"""
import numpy as np, time
from robo_al_agent.protocol.client import Client
client = Client({agent.address!r})
client.submit("run/r1", {helpers.content(500)!r}, {{"actions": np.zeros((500, 2))}})
started = lambda s: s.jobs["run/r1"].state and s.jobs["run/r1"].state.fields["state"] == "started"
assert client.wait(started, 20)
print("started", flush=True)
time.sleep(60)
"""
    host = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    assert host.stdout.readline() == "started\n"
    host.kill()
    host.wait()
    host.stdout.close()
    client = agent.client()
    client.submit("run/r1", helpers.content(500), {"actions": np.zeros((500, 2))})
    job = helpers.finished(client, "run/r1")
    assert job.state.fields["kind"] == "LINK_LOST"
    assert 0 < len(job.result.arrays["sent"]) < 500


def test_two_hosts_never_have_the_robot_at_once(serve: Callable[..., Any]) -> None:
    agent = serve()
    first, second = agent.client(), agent.client()
    held = [client.wait(lambda s: s.fencing_token is not None, 5) for client in (first, second)]
    assert sorted(held) == [False, True]
    holder, other = (first, second) if held[0] else (second, first)
    assert "has the robot" in str(other.session.problem)
    was = holder.session.fencing_token
    holder.close()
    assert other.wait(lambda s: s.fencing_token is not None, 5)
    assert other.session.fencing_token > was


def test_a_killed_agent_stops_the_robot_and_runs_nothing_again(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve()
    client = agent.client()
    client.submit("run/r1", helpers.content(500), {"actions": np.zeros((500, 2))})
    assert client.wait(lambda s: _state(s, "run/r1") == "started", 10)
    time.sleep(0.3)
    (child,) = _children(agent.process.pid)
    os.kill(child, signal.SIGKILL)
    job = helpers.finished(client, "run/r1")
    assert job.state.fields["kind"] == "INTERRUPTED"
    assert 0 < len(job.result.arrays["sent"]) < 500
    assert any(line.endswith("stop") for line in agent.log())
    client.submit("run/r2", helpers.content(), helpers.ramp())
    assert not client.wait(lambda s: s.jobs["run/r2"].stage == "done", 1.0)
    assert client.session.fault["code"] == "interrupted"
    agent.operator("clear")
    assert helpers.finished(client, "run/r2").state.fields["kind"] == "SUCCEEDED"


def test_a_frozen_agent_is_killed_by_its_parent(serve: Callable[..., Any], helpers: Any) -> None:
    agent = serve()
    client = agent.client()
    client.submit("run/r1", helpers.content(500), {"actions": np.zeros((500, 2))})
    assert client.wait(lambda s: _state(s, "run/r1") == "started", 10)
    (child,) = _children(agent.process.pid)
    os.kill(child, signal.SIGSTOP)
    assert helpers.finished(client, "run/r1").state.fields["kind"] == "INTERRUPTED"


def test_a_killed_parent_takes_the_agent_with_it(serve: Callable[..., Any], helpers: Any) -> None:
    agent = serve()
    client = agent.client()
    client.submit("run/r1", helpers.content(500), {"actions": np.zeros((500, 2))})
    assert client.wait(lambda s: _state(s, "run/r1") == "started", 10)
    (child,) = _children(agent.process.pid)
    agent.process.kill()
    agent.process.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and _running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running(child)
    assert agent.log()[-1].endswith("stop")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
def test_what_a_terminal_sends_stops_the_robot_first(
    serve: Callable[..., Any], helpers: Any, number: signal.Signals
) -> None:
    agent = serve()
    client = agent.client()
    client.submit("run/r1", helpers.content(500), {"actions": np.zeros((500, 2))})
    assert client.wait(lambda s: _state(s, "run/r1") == "started", 10)
    (child,) = _children(agent.process.pid)
    os.killpg(agent.process.pid, number)  # as one that is closed, or Ctrl-C in it, does
    assert agent.process.wait(20) == 0
    assert not _running(child)
    assert agent.log()[-1].endswith("stop")


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "says, kind", [("estop", "ESTOP"), ("overload", "FAULTED"), ("silent", "FAULTED")]
)
def test_a_fault_is_latched_until_a_person_clears_it(
    serve: Callable[..., Any], helpers: Any, says: str, kind: str
) -> None:
    agent = serve()
    client = agent.client()
    client.submit("run/r1", helpers.content(500), {"actions": np.zeros((500, 2))})
    assert client.wait(lambda s: _state(s, "run/r1") == "started", 10)
    agent.robot(says)
    job = helpers.finished(client, "run/r1")
    assert job.state.fields["kind"] == kind, job.state
    if says != "silent":
        with pytest.raises(WireError, match=f"still says {says}"):
            agent.operator("clear")
    agent.robot("")
    client.submit("run/r2", helpers.content(), helpers.ramp())
    assert not client.wait(lambda s: s.jobs["run/r2"].stage == "done", 0.7)
    agent.operator("clear")
    assert helpers.finished(client, "run/r2").state.fields["kind"] == "SUCCEEDED"
    assert any("clear tester" in line for line in agent.log())


def test_a_person_approves_by_content(serve: Callable[..., Any], helpers: Any) -> None:
    agent = serve(approval={"mode": "first-n", "n": 1})
    client = agent.client()
    client.submit("run/r1", helpers.content(), helpers.ramp())
    assert client.wait(lambda s: _state(s, "run/r1") == "accepted", 10)
    assert not client.wait(lambda s: s.jobs["run/r1"].stage == "done", 0.5)
    said = agent.operator("status").fields
    assert said["approval"] == "first-n, 1 of 1 left to approve"
    (waiting,) = said["waiting"]
    with pytest.raises(WireError, match="id and hash"):
        agent.operator("approve", id="run/r1", hash="0" * 64)
    with pytest.raises(WireError, match="only a person at the robot"):
        ask(
            agent.address,
            Message("approve", {"request": 1, "operator": "host", "id": "run/r1"}),
            agent.keys,
        )
    agent.operator("approve", id=waiting["id"], hash=waiting["hash"])
    assert helpers.finished(client, "run/r1").state.fields["kind"] == "SUCCEEDED"
    assert (
        agent.operator("status")
        .fields["approval"]
        .endswith("0 of 1 left to approve: the rest runs")
    )
    client.submit("run/r2", helpers.content(), helpers.ramp())  # the second one needs nobody
    assert helpers.finished(client, "run/r2").state.fields["kind"] == "SUCCEEDED"


def _restart(agent: Any) -> None:
    """Kill the agent, and wait for the one that its parent starts in its place."""
    (child,) = _children(agent.process.pid)
    os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while _children(agent.process.pid) in ([child], []):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_a_person_refused_is_not_among_the_first_n_after_a_restart(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve(approval={"mode": "first-n", "n": 1})
    client = agent.client()
    client.submit("run/r1", helpers.content(), helpers.ramp())
    assert client.wait(lambda s: _state(s, "run/r1") == "accepted", 10)
    (waiting,) = agent.operator("status").fields["waiting"]
    agent.operator("reject", id=waiting["id"], hash=waiting["hash"])
    helpers.finished(client, "run/r1")
    _restart(agent)
    client.submit("run/r2", helpers.content(), helpers.ramp())
    assert client.wait(lambda s: _state(s, "run/r2") == "accepted", 10)
    assert not client.wait(lambda s: s.jobs["run/r2"].stage == "done", 0.5)
    (waiting,) = agent.operator("status").fields["waiting"]
    agent.operator("approve", id=waiting["id"], hash=waiting["hash"])
    assert helpers.finished(client, "run/r2").state.fields["kind"] == "SUCCEEDED"
    _restart(agent)
    client.submit("run/r3", helpers.content(), helpers.ramp())  # one was approved: enough
    assert helpers.finished(client, "run/r3").state.fields["kind"] == "SUCCEEDED"


def test_a_person_rejects(serve: Callable[..., Any], helpers: Any) -> None:
    agent = serve(approval={"mode": "every"})
    client = agent.client()
    client.submit("run/r1", helpers.content(), helpers.ramp())
    assert client.wait(lambda s: _state(s, "run/r1") == "accepted", 10)
    (waiting,) = agent.operator("status").fields["waiting"]
    agent.operator("reject", id=waiting["id"], hash=waiting["hash"])
    assert helpers.finished(client, "run/r1").state.fields["kind"] == "REJECTED_OPERATOR"


def test_a_streamed_rollout_is_answered_step_by_step(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve()
    client: Client

    def answer(message: Message) -> None:
        step = int(message.fields["step"])
        client.answer(str(message.fields["id"]), step, message.arrays["targets"] + 0.001)

    client = agent.client(on_sample=answer)
    client.submit("run/r1", helpers.content(20, 0.2, controller="streamed"), {})
    job = helpers.finished(client, "run/r1")
    assert job.state.fields["kind"] == "SUCCEEDED", job.state
    requested = job.result.arrays["requested"]
    steps = 20 - job.result.fields["misses"]
    np.testing.assert_allclose(requested[-1], 0.001 * steps, atol=1e-12)
    assert steps > 10


def test_a_host_that_does_not_answer_is_a_lost_link(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve(envelope={"missed_deadlines": 3})
    client = agent.client(on_sample=lambda message: None)
    client.submit("run/r1", helpers.content(100, controller="streamed"), {})
    job = helpers.finished(client, "run/r1")
    assert job.state.fields["kind"] == "LINK_LOST"
    assert job.result.fields["misses"] == 4 and len(job.result.arrays["sent"]) == 3


def test_a_policy_travels_as_onnx(serve: Callable[..., Any], helpers: Any) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    shape = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2])
        for name in ("positions", "start.goal", "command")
    }
    nodes = [
        helper.make_node("Sub", ["start.goal", "positions"], ["error"]),
        helper.make_node("Mul", ["error", "gain"], ["move"]),
        helper.make_node("Add", ["positions", "move"], ["command"]),
    ]
    gain = helper.make_tensor("gain", TensorProto.FLOAT, [1, 2], [0.1, 0.1])
    graph = helper.make_graph(
        nodes, "p", [shape["positions"], shape["start.goal"]], [shape["command"]], [gain]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    client = serve(envelope={"missed_deadlines": 100}).client()
    goal = [0.1, -0.05]
    policy = np.frombuffer(model.SerializeToString(), np.uint8)
    asked = helpers.content(40, controller="onnx", start={"joints": [0.0, 0.0], "goal": goal})
    client.submit("run/r1", asked, {"policy": policy})
    job = helpers.finished(client, "run/r1")
    assert job.state.fields["kind"] == "SUCCEEDED", job.state
    np.testing.assert_allclose(job.result.arrays["positions"][-1], goal, atol=0.01)
    client.submit("run/r2", helpers.content(controller="onnx"), {"policy": policy})
    assert "start.goal" in str(helpers.finished(client, "run/r2").refused)


# ---------------------------------------------------------------- keys


def test_with_keys_nobody_else_gets_in(
    serve: Callable[..., Any], helpers: Any, tmp_path: Path
) -> None:
    agent = serve(with_keys=True)
    client = agent.client()
    assert client.wait(lambda s: s.fencing_token is not None, 10)
    make_keys(tmp_path / "others")
    (tmp_path / "others" / "agent.key").write_text((tmp_path / "keys" / "agent.key").read_text())
    question = Message("status", {"request": 1, "operator": "x"})
    assert ask(agent.address, question, tmp_path / "keys").kind == "status"
    for wrong in (None, tmp_path / "others"):
        with pytest.raises(WireError, match="no answer"):
            ask(agent.address, question, wrong, 1.0)
    assert client.session.fencing_token is not None


def test_hostile_bytes_have_no_effect(serve: Callable[..., Any], helpers: Any) -> None:
    agent = serve()
    (child,) = _children(agent.process.pid)
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(agent.address)
    rng = np.random.default_rng(0)

    def attack(times: int) -> None:
        for _ in range(times):
            frames = [rng.bytes(int(rng.integers(0, 400))) for _ in range(rng.integers(1, 5))]
            if rng.random() < 0.5:
                frames = wire.encode(
                    Message(
                        str(rng.choice(["submit", "lease", "tick", "fetch", "clear", "x"])),
                        {"request": int(rng.integers(-5, 5)), "id": "run/r9"},
                        {"actions": rng.normal(size=(4, 2))},
                    )
                )
                which = int(rng.integers(len(frames)))
                frames[which] = frames[which][: int(rng.integers(0, len(frames[which]) + 1))]
            socket.send_multipart(frames)
        deadline = time.monotonic() + 20
        while socket.poll(300) and time.monotonic() < deadline:
            socket.recv_multipart()

    attack(1000)
    before = _resident(child)
    for _ in range(3):
        attack(1000)
    assert _resident(child) - before < 8_000_000
    assert not [line for line in agent.log()[501:] if "command" in line]
    context.destroy(linger=0)
    client = agent.client()
    client.submit("run/r1", helpers.content(), helpers.ramp())
    assert helpers.finished(client, "run/r1").state.fields["kind"] == "SUCCEEDED"
    assert _children(agent.process.pid) == [child]


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


# ---------------------------------------------------------------- the command line


def test_the_command_line_tells_what_is_wrong(tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int, str]:
        done = finished("robo_al_agent.cli", *words)
        return done.returncode, done.stderr

    code, error = run("serve", str(tmp_path / "no.yaml"))
    assert code == 2 and "no.yaml" in error and "Traceback" not in error
    (tmp_path / "a.yaml").write_text("driver: {name: x}\nenvelope: e\njournal: j\n")
    code, error = run("check", str(tmp_path / "a.yaml"))
    assert code == 2 and "driver x: not known. There are" in error and "Traceback" not in error
    (tmp_path / "robot.py").write_text("class Robot:\n    pass\n")
    for what, told in (
        ("robot.py", "robot.py: say which class of it: "),
        ("robt.py:Robot", f"{tmp_path / 'robt.py'}: no such file"),
        ("robot.py:Robt", "has no Robt"),
        ("robot.py:Robot", "it lacks describe, connect"),
    ):
        code, error = run("check", str(tmp_path / what))
        assert code == 2 and told in error and "Error" not in error, error


def test_check_moves_nothing_and_tells_the_rate(serve: Callable[..., Any], helpers: Any) -> None:
    agent = serve()
    helpers.end(agent.process)
    before = len(agent.log())
    done = subprocess.run(
        [sys.executable, "-m", "robo_al_agent.cli", "check", str(agent.config)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "slider: 2 joints" in done.stdout and "watchdog: none" in done.stdout
    assert "rollouts may command at" in done.stdout
    assert {line.split(" ", 1)[1] for line in agent.log()[before:]} == {"command 0.0 0.0"}
