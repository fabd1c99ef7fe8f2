"""What a person says to the agent between two turns of its control loop: nothing of it is lost."""

import dataclasses
import json
import runpy
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from robo_al_agent.agent import Agent
from robo_al_agent.answers.served import Robot
from robo_al_agent.devices.calibration import Rate
from robo_al_agent.devices.door import Door
from robo_al_agent.envelope.envelope import Envelope
from robo_al_agent.journal.folder import FileJournal
from robo_al_agent.motion.recovery import recover
from robo_al_agent.protocol.wire import Message
from robo_al_agent.queue.approval import Approval
from robo_al_agent.robot import Fault, RobotSpec

robots = runpy.run_path(str(Path(__file__).parents[1] / "emulators" / "misbehaving.py"))
RULES = {
    "duration": 30.0,
    "start_distance": 0.1,
    "tracking_error": 0.2,
    "sample_age": 1.0,
    "missed_deadlines": 50,
}
LIMITS = {"unit": "rad", "position": [-0.9, 0.9], "velocity": 2.0, "acceleration": 99, "jerk": 9999}


class Asked:
    """An agent without sockets or threads, whose robot rests outside its limits."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.answers = folder, list[Message]()
        robot = {"from": [0.91, 0.0], "to": [0.91, 0.0]}
        (folder / "robot.json").write_text(json.dumps(robot))
        joints = [{"name": name, **LIMITS} for name in ("left", "right")]
        envelope = Envelope.model_validate({"joints": joints, **RULES})
        self.driver = robots["Recovering"](folder)
        door = Door(self.driver)
        rate = Rate(0.001, 0.002, 0.003, 0, 500, 0.01)
        robot = Robot(door, envelope, Approval(mode="auto"), {}, rate)
        self.journal = FileJournal(folder / "journal")
        self.agent = Agent(robot, self.journal, "epoch", lambda *_: None, lambda *_: None)
        self.turn()

    def turn(self) -> None:
        self.agent.tick(time.monotonic_ns())

    def ask(self, kind: str, arrays: Any = None, **fields: Any) -> Message:
        message = Message(kind, {"request": 0, **fields}, arrays or {})
        said = self.agent.handle(message, time.monotonic_ns(), True, self.answers.append)
        return Message("later") if said is None else said


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def test_a_stop_before_its_turn_drops_what_was_asked_of_the_device(asked: Asked) -> None:
    assert asked.agent.fault is not None and asked.agent.fault.code == "outside_limits"
    asked.ask("recover", operator="me")
    asked.ask("abort", who="me")
    for _ in range(3):
        asked.turn()
    assert [answer.kind for answer in asked.answers] == ["error"]
    assert not (asked.folder / "log").exists()
    asked.ask("recover", operator="me")
    asked.turn()
    assert asked.answers[-1].kind == "ok"
    assert '"recover"' in (asked.folder / "log").read_text()


def test_a_stop_is_not_forgotten_for_another_one(asked: Asked, helpers: Any) -> None:
    fencing_token = asked.ask("lease", client="host").fields["fencing_token"]
    content = helpers.content()
    later = time.monotonic_ns() + 10**11
    asked.ask(
        "submit",
        helpers.ramp(),
        fencing_token=fencing_token,
        id="a",
        not_after_ns=later,
        content=content,
    )
    assert asked.ask("state", id="a").fields["queued"]
    asked.ask("abort", who="me")
    asked.ask("abort", who="host", id="b")
    asked.turn()
    state = asked.ask("state", id="a").fields
    assert state["kind"] == "ABORTED_OPERATOR" and state["reason"].startswith("me stopped"), state


def test_who_waits_behind_a_call_that_hangs_is_told_to_ask_again(asked: Asked) -> None:
    (asked.folder / "misbehaviour.json").write_text('{"clear_fault": "hang"}')
    asked.ask("clear", operator="me")
    threading.Thread(target=asked.turn, daemon=True).start()
    asked.ask("clear", operator="another")
    until = time.monotonic() + 30
    while (hanging := asked.agent.motion.door.overdue()) is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not asked.agent.motion.abandon(*hanging)  # nothing moves: it waits for a person
    codes = [answer.fields["code"] for answer in asked.answers]
    assert codes == ["WireError", "NotYetError"]
    assert asked.ask("clear", operator="another").fields["code"] == "NotYetError"
    assert asked.agent.condemned is not None


def test_a_fault_that_comes_while_a_person_clears_another_one_holds(asked: Asked) -> None:
    robot = {"from": [0.0, 0.0], "to": [0.0, 0.0]}
    (asked.folder / "robot.json").write_text(json.dumps(robot))
    full = Fault("journal", "the disk is full")
    asked.driver.clear_fault = lambda operator: asked.agent.fail(full)  # just then, by a thread
    asked.ask("clear", operator="me")
    asked.turn()
    assert asked.answers[-1].kind == "error" and "the disk is full" in str(asked.answers[-1].fields)
    assert asked.agent.fault == full
    del asked.driver.clear_fault
    asked.ask("clear", operator="me")
    asked.turn()
    assert asked.answers[-1].kind == "ok" and asked.agent.fault is None


class Grippers(robots["Recovering"]):  # type: ignore[misc]
    """The same robot, whose joints are grippers."""

    def describe(self) -> RobotSpec:
        spec: RobotSpec = super().describe()
        joints = tuple(
            dataclasses.replace(joint, unit="%", velocity=200.0) for joint in spec.joints
        )
        return dataclasses.replace(spec, joints=joints)


def test_a_gripper_is_led_back_at_a_gripper_s_pace(tmp_path: Path) -> None:
    robot = {"from": [91.0, 0.0], "to": [91.0, 0.0]}
    (tmp_path / "robot.json").write_text(json.dumps(robot))
    limits = LIMITS | {"unit": "%", "position": [-90.0, 90.0], "velocity": 100.0}
    joints = [{"name": name, **limits} for name in ("left", "right")]
    rules = RULES | {"tracking_error": 20.0}
    envelope = Envelope.model_validate({"joints": joints, **rules})
    door = Door(Grippers(tmp_path, limit=100.0))
    door.connect()
    pose = recover(door, envelope, lambda: False)
    assert 86.0 < pose[0] < 87.0
    way = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    left = [entry["to"][0] for entry in way if entry["what"] == "recover"]
    speeds = [(one - other) * door.spec.rate for one, other in zip(left, left[1:], strict=False)]
    assert 4.8 < min(speeds) <= max(speeds) < 5.1  # %/s
