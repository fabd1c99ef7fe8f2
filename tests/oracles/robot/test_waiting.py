"""What a campaign on a robot waits for is said at once, in the terminal and in the run's record."""

import json
import os
import runpy
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forked import Forked

from robo_al.oracles.robot.waiting import AGAIN_SECONDS, Notices

_agent = runpy.run_path(str(Path(__file__).parents[2] / "agent" / "conftest.py"))
serve = _agent["serve"]
TASK = f"{Path(__file__).with_name('slider_env.py')}:SliderEnv"


class Run:
    """`robo-al run` in a process of its own, on the agent's robot."""

    def __init__(self, agent: Any, folder: Path, *words: str) -> None:
        self.folder, self.agent = folder / "run", agent
        self._text = ""
        command = ["robo_al.cli", "run", "pendulum", "--env", TASK]
        command += ["--oracle.name", "robot", "--oracle.address", agent.address]
        command += ["--policy", "robo_al.testing:FakePolicy", "--explorer.scale", "0.3"]
        command += ["--model", "robo_al.testing:FakeModel", "--rounds", "1", "--candidates", "3"]
        command += ["--strategy", "random", "--imagination_members", "1"]
        command += ["--evaluation.starts", "1", "--contexts", "1", "--rollout_steps", "6"]
        self.process = Forked(*command, "--out", self.folder, *words, together=True)

    def shown(self) -> str:
        """Return all that the terminal has shown by now."""
        descriptor = self.process.stdout.fileno()
        while select.select([descriptor], [], [], 0)[0] and (more := os.read(descriptor, 1 << 16)):
            self._text += more.decode()
        return self._text

    def says(self, *words: str) -> None:
        """Wait until the terminal and the record have said something."""
        until = time.monotonic() + 120
        notices = self.folder / "events.jsonl"
        while True:
            texts = [self.shown(), notices.read_text() if notices.exists() else ""]
            if all(word in " ".join(text.split()) for word in words for text in texts):
                return
            assert time.monotonic() < until and self.process.poll() is None, texts
            time.sleep(0.1)

    def end(self) -> None:
        with self.process:
            self.process.kill()


@pytest.fixture
def campaign(serve: Callable[..., Any], tmp_path: Path) -> Any:
    started: list[Run] = []

    def start(*words: str, **options: Any) -> Run:
        agent = serve(envelope={"missed_deadlines": 100}, **options)
        started.append(Run(agent, tmp_path, *words))
        return started[-1]

    yield start
    for run in started:
        run.end()


def test_that_an_approval_is_wanted_is_said(campaign: Callable[..., Run]) -> None:
    run = campaign(approval={"mode": "every"})
    run.says("r0001-00 waits for a person", "robo-al-agent approve")
    (waiting,) = run.agent.operator("status").fields["waiting"]
    run.agent.operator("reject", id=waiting["id"], hash=waiting["hash"])
    run.says("the robot goes on")


def test_that_the_robot_has_a_fault_is_said(campaign: Callable[..., Run]) -> None:
    run = campaign(approval={"mode": "every"})
    run.says("waits for a person")
    run.agent.robot("overload")
    run.says("the robot is stopped: overload: it was told so", "robo-al-agent clear")


def test_that_the_agent_has_gone_is_said(campaign: Callable[..., Run]) -> None:
    run = campaign(approval={"mode": "every"})
    run.says("waits for a person")
    os.kill(run.agent.process.pid, signal.SIGTERM)
    run.agent.process.wait(30)
    run.says(f"agent at {run.agent.address} has gone", "robo-al-agent serve")


def test_an_evaluation_that_fails_says_why(campaign: Callable[..., Run]) -> None:
    run = campaign(approval={"mode": "every"})
    answered: set[str] = set()
    until = time.monotonic() + 120
    while run.process.poll() is None and time.monotonic() < until:
        for waiting in run.agent.operator("status").fields["waiting"]:
            said = "reject" if "/e0001" in waiting["id"] else "approve"
            if waiting["id"] not in answered:
                run.agent.operator(said, id=waiting["id"], hash=waiting["hash"])
                answered.add(waiting["id"])
        time.sleep(0.1)
    assert run.process.wait(60) == 1, run.shown()  # the only one that there was
    told = "e0001-00 REJECTED_OPERATOR: tester said no"
    assert f"evaluation failed: {told}" in " ".join(run.shown().split())
    record = json.loads((run.folder / "metrics.jsonl").read_text())
    assert record["evaluation"]["failures"] == {"e0001-00": "REJECTED_OPERATOR: tester said no"}


def test_the_same_is_said_now_and_then() -> None:
    now = [0.0]
    notices = Notices(lambda: now[0])
    assert notices.news(None) is None
    assert notices.news("a") == "a" and notices.news("a") is None
    now[0] = AGAIN_SECONDS
    assert notices.news("a") == "a" and notices.news("b") == "b"
    assert notices.news(None) == "the robot goes on" and notices.news(None) is None
