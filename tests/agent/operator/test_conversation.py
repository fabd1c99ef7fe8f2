"""What a person says to a running agent: the real command line, a real agent."""

import os
import pty
import re
import runpy
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked import Forked

from robo_al.oracles.robot.waiting import cause
from robo_al_agent.errors import WireError
from robo_al_agent.protocol.client import ask
from robo_al_agent.protocol.wire import Message

person = runpy.run_path(str(Path(__file__).parents[1] / "person.py"))
run = person["run"]
question = person["question"]


def answering(config: Path, answer: str, *words: str, before: str = "") -> tuple[int, str]:
    """Run a command in a terminal, in which somebody types before its question, and answers it."""
    ours, its = pty.openpty()
    os.write(ours, before.encode())
    command = ("robo_al_agent.cli", words[0], config, *words[1:])
    with Forked(*command, stdin=its, together=True) as process:
        asked = question(process)
        os.write(ours, f"{answer}\n".encode())
        said, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(its)
    return process.wait(), asked + said


def submitted(client: Any, id: str, content: dict[str, Any], arrays: dict[str, Any]) -> None:
    client.submit(id, content, arrays)
    assert client.wait(lambda session: session.jobs[id].stage == "state", 20), client.session


def test_the_approver_sees_where_each_joint_goes_and_why(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve(approval={"mode": "every"})
    client = agent.client()
    out_and_back = np.concatenate([np.arange(1, 6), np.arange(4, -1, -1)])
    commands = out_and_back[:, None] * np.array([[0.01, -0.02]])
    why = "chosen by variance: rank 1, score 0.5"
    submitted(client, "run/r1", helpers.content(why=why), {"actions": commands})
    said = run(agent.config, "status").stdout
    assert "waits: run/r1, 0.5 s  " + why in said
    head, left, right = [line.split() for line in said.splitlines()[-3:]]
    assert head[:5] == ["joint", "start", "end", "smallest", "largest"]
    # 0.05 rad out and back, 0.01 rad in 0.05 s; positions may be from -0.9 to 0.9
    assert left == ["left", "0", "0", "0", "0.05", "0.85", "0.2", "2", "rad,", "rad/s"]
    assert right == ["right", "0", "0", "-0.1", "0", "0.8", "0.4", "2", "rad,", "rad/s"]
    code, said = answering(agent.config, "n", "approve", before="y\n")
    assert code != 0 and "left" in said and "let it run?" in said and "waits on" in said
    assert "run/r1" in run(agent.config, "status").stdout
    code, said = answering(agent.config, "y", "approve")
    assert code == 0 and "approve: run/r1" in said
    assert helpers.finished(client, "run/r1").state.fields["kind"] == "SUCCEEDED"


def test_what_nobody_knows_of_a_motion_is_said(serve: Callable[..., Any], helpers: Any) -> None:
    agent = serve(approval={"mode": "every"})
    client = agent.client()
    submitted(client, "run/r1", helpers.content(start={}), helpers.ramp())
    submitted(client, "run/r2", helpers.content(controller="streamed"), {})
    said = run(agent.config, "status").stdout
    assert "left   here  0.01     0.001     0.01" in said
    assert said.splitlines()[-1] == "  waits: run/r2, 0.5 s"
    _, said = answering(agent.config, "", "approve", "run/r2")
    assert "a policy decides at each step" in said
    done = run(agent.config, "approve", "run/r2")  # a script's: nobody is there to be asked
    assert done.returncode == 0 and "approve: run/r2" in done.stdout


def test_other_words_about_the_same_motion_make_no_other_rollout(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve(approval={"mode": "every"})
    client = agent.client()
    submitted(client, "run/r1", helpers.content(), helpers.ramp())
    again = agent.client()  # the host, started anew
    client.close()
    again.submit("run/r1", helpers.content(why="of a newer version"), helpers.ramp())
    assert again.wait(lambda session: session.jobs["run/r1"].stage == "state", 20)


def test_a_paused_agent_ends_what_runs_and_starts_nothing(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve()
    client = agent.client()
    client.submit("run/r1", helpers.content(200), helpers.ramp(200))

    def moves(session: Any) -> bool:
        state = session.jobs["run/r1"].state
        return state is not None and (state.fields["step"] or 0) > 5

    assert client.wait(moves, 30)
    assert run(agent.config, "pause").stdout == "pause: done\n"
    submitted(client, "run/r2", helpers.content(), helpers.ramp())
    assert helpers.finished(client, "run/r1").state.fields["kind"] == "SUCCEEDED"
    moved = len(agent.log())

    def told(session: Any, id: str = "run/r2") -> bool:
        state = session.jobs[id].state
        return state is not None and state.fields["waits_for"] == "resume"

    assert client.wait(told, 10)
    said = cause(client.session, "tcp://x", ["run/r2"], 0.0)
    assert said is not None and "has paused the robot" in said and "resume" in said
    assert "PAUSED by " in run(agent.config, "status").stdout
    client.close()
    helpers.end(agent.process)
    agent.process = helpers.run_agent(agent.config)  # it is paused after a restart as well
    again = agent.client()
    again.submit("run/r3", helpers.content(), helpers.ramp())
    assert again.wait(lambda session: told(session, "run/r3"), 20)
    assert not [line for line in agent.log()[moved:] if "command 0.01" in line]
    assert run(agent.config, "resume").returncode == 0
    assert helpers.finished(again, "run/r3").state.fields["kind"] == "SUCCEEDED"
    journal = (agent.folder / "journal" / "journal.log").read_text()
    assert journal.count('"record":"paused","operator":') == 1
    assert journal.count('"record":"resumed","operator":') == 1


def test_a_host_neither_pauses_nor_resumes(serve: Callable[..., Any]) -> None:
    agent = serve()
    for kind in ("pause", "resume"):
        with pytest.raises(WireError, match="only a person at the robot"):
            ask(agent.address, Message(kind, {"request": 1, "operator": "host"}), None)


@pytest.mark.parametrize(
    "fault, released, told",
    [
        (None, False, "slider is stopped and holds where it is, torque on"),
        (None, True, "slider was released: its torque is off"),
        ("overload", False, "slider was left with its fault overload"),
    ],
)
def test_the_end_of_the_agent_says_how_it_leaves_the_robot(
    serve: Callable[..., Any], fault: str | None, released: bool, told: str
) -> None:
    agent = serve()
    if fault is not None:
        agent.robot(fault)
        while agent.operator("status").fields["fault"] is None:
            assert agent.process.poll() is None
    if released:
        assert run(agent.config, "release").returncode == 0
    agent.process.send_signal(signal.SIGINT)
    assert agent.process.wait(30) == 0
    assert told in agent.process.stdout.read().splitlines()[-1]


def test_a_session_has_a_person_and_a_note(serve: Callable[..., Any], helpers: Any) -> None:
    agent = serve(operator="Ana")
    helpers.end(agent.process)
    agent.process = helpers.run_agent(agent.config, "--note", 'the "new" gripper\nof Tuesday')
    said = run(agent.config, "status").stdout.splitlines()
    assert said[1] == '  session of Ana: the "new" gripper of Tuesday'
    assert re.fullmatch(r"  left at 0 rad, right at 0 rad, measured \d+\.\d s ago", said[2])
    run(agent.config, "pause")
    journal = (agent.folder / "journal" / "journal.log").read_text()
    assert '"what":"session","operator":"Ana","note":"the \\"new\\" gripper of Tuesday"' in journal
    assert '"record":"paused","operator":"Ana"' in journal
