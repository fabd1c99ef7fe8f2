"""docs/robots.md, followed by a newcomer: driver, envelope, agent, a first approved rollout."""

import dataclasses
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from robo_al_agent.envelope.limits import JointLimits, Limits
from robo_al_agent.protocol.client import Client, ask
from robo_al_agent.protocol.wire import Message
from robo_al_agent.robot import Joint, RobotSpec

ROOT = Path(__file__).parent.parent
_agent = runpy.run_path(str(ROOT / "tests" / "agent" / "conftest.py"))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    text = (ROOT / "docs" / "robots.md").read_text(encoding="utf-8")
    named = re.findall(r"^```\w+\n# ([\w/]+\.\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert [name for name, _ in named] == [
        "my/robot.py",
        "envelope.yaml",
        "agent.yaml",
        "my/force.py",
    ]
    for name, content in named:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    yield tmp_path


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.proof
def test_the_driver_is_as_short_as_promised_and_keeps_its_contract(lab: Path) -> None:
    code = (lab / "my" / "robot.py").read_text().split("class MyRobot:")[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 32
    for program, word in (("robo_al.cli", "drivers"), ("robo_al_agent.cli", "a driver")):
        said = run(lab, program, "check", "my/robot.py:MyRobot", "--move")
        assert f"keeps the contract of {word}" in said and "anything that moves" not in said


def test_a_first_rollout_waits_for_a_person_and_runs(lab: Path) -> None:
    path = lab / "agent.yaml"
    port = _agent["free_port"]()
    path.write_text(path.read_text().replace("5555", str(port)))
    assert "watchdog: none" in run(lab, "robo_al_agent.cli", "check", "agent.yaml")
    process = _agent["run_agent"](path)
    client = Client(f"tcp://127.0.0.1:{port}")
    try:
        content: dict[str, Any] = {
            "controller": "open_loop",
            "joints": ["base", "elbow"],
            "period": 0.2,
            "horizon": 5,
            "start": {"joints": [0.0, 0.0]},
            "seed": 0,
        }
        still = {"actions": np.zeros((5, 2))}
        client.submit("first", content, still)
        waiting: list[Any] = []

        def waits(session: Any) -> bool:
            return session.jobs["first"].stage == "state"

        assert client.wait(waits, 20)
        address = f"ipc://{lab / 'journal' / 'operator.sock'}"
        asked = Message("status", {"request": 0, "operator": "me"})
        waiting = ask(address, asked, None).fields["waiting"]
        assert [rollout["id"] for rollout in waiting] == ["first"]
        assert "first" in run(lab, "robo_al_agent.cli", "status", "agent.yaml")
        assert "approve: first" in run(lab, "robo_al_agent.cli", "approve", "agent.yaml")
        assert client.wait(lambda session: session.jobs["first"].stage == "done", 30)
        state = client.session.jobs["first"].state
        assert state is not None and state.fields["kind"] == "SUCCEEDED", state
    finally:
        client.close()
        _agent["end"](process)


def test_a_sensor_of_ones_own_keeps_its_contract_and_is_read(lab: Path) -> None:
    said = run(lab, "robo_al_agent.cli", "check", "my/force.py:Wrist")
    assert "keeps the contract of a sensor" in said and "fz N, tx N m" in said
    path = lab / "agent.yaml"
    wrist = 'sensors: {wrist: {driver: "my/force.py:Wrist", port: /dev/ttyUSB1}}'
    path.write_text(f"{path.read_text()}{wrist}\n")
    assert "sensor wrist: fx N" in run(lab, "robo_al_agent.cli", "check", "agent.yaml")


def test_every_value_of_robot_and_envelope_is_in_the_tables() -> None:
    text = (ROOT / "docs" / "robots.md").read_text(encoding="utf-8")
    tables = text.split("### The values, and how to find yours")[1].split("\n## ")[0]
    robot, envelope = tables.split("What a person allows")
    named = {name for row in robot.splitlines() for name in re.findall(r"`([\w.]+)`", row)}
    assert {field.name for field in dataclasses.fields(RobotSpec)} <= named
    assert {f"Joint.{field.name}" for field in dataclasses.fields(Joint)} <= named
    named = {name for row in envelope.splitlines() for name in re.findall(r"`(\w+)`", row)}
    assert {*Limits.model_fields, *JointLimits.model_fields} <= named


def test_the_envelope_is_what_the_command_writes(lab: Path) -> None:
    shown = yaml.safe_load((lab / "envelope.yaml").read_text())
    run(lab, "robo_al_agent.cli", "envelope", "--from", "my/robot.py:MyRobot", "--out", "e.yaml")
    assert yaml.safe_load((lab / "e.yaml").read_text()) == shown
