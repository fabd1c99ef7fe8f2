"""Candidates to requests and results to outcomes, as the agent's own functions read and write them.

There is no agent, no socket and no thread here: messages go through bytes, as on the wire.
"""

from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_al.errors import OracleError, UserError
from robo_al.oracles.robot.codec import KINDS, RobotCodec
from robo_al.oracles.robot.embodiment import Embodiment
from robo_al.plugins import make_env
from robo_al.tasks import describe
from robo_al.tasks.offers import offers_of
from robo_al.types import (
    Candidate,
    ClosedLoop,
    Context,
    EnvSpec,
    Failure,
    OpenLoop,
    Outcome,
    Trajectory,
)
from robo_al_agent.devices.calibration import Rate
from robo_al_agent.motion.recorded import Ending, Recorded
from robo_al_agent.protocol import requests, wire
from robo_al_agent.protocol.session import Job
from robo_al_agent.protocol.wire import Message
from robo_al_agent.robot import Joint, OutcomeKind, RobotSpec, Sample, Sensor

TASK = EnvSpec(f"{Path(__file__).with_name('slider_env.py')}:SliderEnv", {})
JOINTS = (Joint("left", -1.0, 1.0), Joint("right", -1.0, 1.0))
RATE = Rate(0.001, 0.002, 0.003, 0, 500, 0.01)
STEPS = 4


def robot_of(*sensors: str) -> RobotSpec:
    said = tuple(Sensor(name, "1") for name in sensors)
    return RobotSpec("slider", JOINTS, 100.0, "none", None, 0.1, sensors=said)


def embodiment_of(spec: RobotSpec, rate: Rate = RATE) -> Embodiment:
    with closing(make_env(TASK)) as env:
        task, robot = describe(env, TASK), offers_of(env).robot
    joints = [{"name": joint.name, "low": joint.low, "high": joint.high} for joint in spec.joints]
    sensors = [{"name": sensor.name} for sensor in spec.sensors]
    said = {"name": spec.name, "joints": joints, "sensors": sensors, "command": spec.command}
    return Embodiment(task, robot, said, rate)


SPEC = robot_of()
CODEC = RobotCodec(embodiment_of(SPEC))


def candidate_of(controller: Any, **changes: Any) -> Candidate:
    options = {"joints": (0.1, -0.1), "goal": (0.2, 0.3)}
    context = Context(np.array([0.1, -0.1, 0.2, 0.3]), 7, options)
    return Candidate(context, controller, STEPS, 3, "c0", **changes)


def over_the_wire(message: Message) -> Message:
    return wire.decode(wire.encode(message))


def heard(codec: RobotCodec, candidate: Candidate, graph: bytes | None = None) -> Any:
    """Return what the agent reads of a submission: its content, and the message."""
    content, arrays = codec.request(candidate, graph)
    fields = {
        "request": 1,
        "fencing_token": 1,
        "id": "run/c0",
        "not_after_ns": 1,
        "content": content,
    }
    message = over_the_wire(Message("submit", fields, arrays))
    submit = requests.parse(message)
    assert isinstance(submit, requests.Submit)
    return requests.validated(requests.Content, submit.content, "content"), message


def result_of(commands: Any, spec: RobotSpec = SPEC, sensors: Any = None) -> Recorded:
    """Return what an agent records whose robot is at each command at once."""
    recorded, zeros = Recorded(spec), np.zeros(2)
    poses = [np.array([0.1, -0.1]), *commands]
    sensed = np.zeros((len(poses), len(spec.sensors))) if sensors is None else sensors
    recorded.samples = [
        Sample(k * 200_000_000, k, pose, zeros, zeros, sensed[k]) for k, pose in enumerate(poses)
    ]
    recorded.requested = recorded.sent = list(commands)
    return recorded


def ended(
    codec: RobotCodec,
    candidate: Candidate,
    kind: OutcomeKind,
    recorded: Recorded | None = None,
    asked: Any = None,
    reason: str = "",
) -> Outcome:
    """Return the outcome of a rollout that ended so at the agent."""
    job = Job("run/c0", {}, {}, "done")
    job.state = over_the_wire(
        Message("state", {"kind": kind, "reason": reason, "fraction": 0.5, "data": True})
    )
    if recorded is not None:
        job.result = over_the_wire(recorded.result("run/c0", "hash", Ending(kind, reason), STEPS))
    return codec.outcome(candidate, job, asked or {})


numbers = st.floats(-0.5, 0.5, allow_subnormal=False)
actions = st.lists(st.tuples(numbers, numbers), min_size=STEPS, max_size=STEPS).map(np.array)


@given(actions)
@settings(max_examples=50, deadline=None)
def test_actions_there_and_back_are_the_same(wanted: np.ndarray) -> None:
    candidate = candidate_of(OpenLoop(wanted))
    content, message = heard(CODEC, candidate)
    assert (content.controller, content.joints) == ("open_loop", ("left", "right"))
    assert (content.horizon, content.period, content.substeps) == (STEPS, 0.2, 2)
    commands = requests.commands_of(message, content)
    assert np.abs(commands).max() <= 1.0
    outcome = ended(CODEC, candidate, "SUCCEEDED", result_of(commands))
    assert outcome.candidate_id == "c0" and outcome.robot_seconds == pytest.approx(0.2 * STEPS)
    result = outcome.result
    assert isinstance(result, Trajectory) and not (result.terminated or result.truncated)
    np.testing.assert_array_equal(result.requested, wanted)
    np.testing.assert_allclose(result.actions, wanted, atol=1e-12)
    np.testing.assert_array_equal(result.observations[1:, :2], commands)
    np.testing.assert_array_equal(result.observations[:, 2:], [[0.2, 0.3]] * (STEPS + 1))
    away = result.observations[1:, :2] - [0.2, 0.3]
    np.testing.assert_allclose(result.rewards, -(away**2).sum(-1))
    np.testing.assert_array_equal(result.signals["sent"], commands)


def test_a_command_beyond_a_limit_is_sent_as_the_limit() -> None:
    candidate = candidate_of(OpenLoop(np.full((STEPS, 2), 9.0)))
    far = Candidate(candidate.context, candidate.controller, STEPS, 3, "c0")
    _, message = heard(CODEC, far)
    np.testing.assert_allclose(message.arrays["actions"][0], [0.2, 0.0])  # 0.5 rad/s for 0.2 s


def test_a_request_says_who_controls_and_why() -> None:
    content, message = heard(CODEC, candidate_of(ClosedLoop(0), why="w" * 2000))
    assert content.controller == "streamed" and not message.arrays
    assert content.why == "w" * 1000 and not content.found
    assert content.start == {"joints": (0.1, -0.1), "goal": (0.2, 0.3)} and content.seed == 7
    content, message = heard(CODEC, candidate_of(ClosedLoop(0)), b"a graph")
    assert content.controller == "onnx" and message.arrays["policy"].tobytes() == b"a graph"


def test_a_start_that_was_found_is_told_as_that() -> None:
    there = Context(np.zeros(4), 7, {"joints": (0.0, 0.0)}, found=True)
    content, _ = heard(CODEC, Candidate(there, ClosedLoop(0), STEPS, 3, "c0"))
    assert content.found


def test_actions_that_cannot_be_executed_are_refused() -> None:
    with pytest.raises(UserError, match=r"candidate c0: actions of shape \(4, 3\)"):
        CODEC.request(candidate_of(OpenLoop(np.zeros((STEPS, 3)))))
    nowhere = Context(np.zeros(4), 7, {"goal": (0.2, 0.3)})
    with pytest.raises(UserError, match="need a start pose"):
        CODEC.request(Candidate(nowhere, OpenLoop(np.zeros((STEPS, 2))), STEPS, 3, "c0"))


def test_what_a_policy_was_too_late_to_answer_has_what_was_sent() -> None:
    commands = np.array([[0.12, -0.1], [0.14, -0.1], [0.14, -0.1], [0.16, -0.1]])
    asked = {0: np.array([0.1, 0.0]), 1: np.array([0.7, 0.0]), 3: np.array([0.1, 0.0])}
    outcome = ended(CODEC, candidate_of(ClosedLoop(0)), "SUCCEEDED", result_of(commands), asked)
    assert isinstance(outcome.result, Trajectory)
    np.testing.assert_allclose(
        outcome.result.requested, [[0.1, 0], [0.7, 0], [0, 0], [0.1, 0]], atol=1e-12
    )


@pytest.mark.parametrize("kind", sorted(set(get_args(OutcomeKind)) - {"SUCCEEDED"}))
def test_each_other_ending_is_a_failure_that_keeps_what_was_measured(kind: OutcomeKind) -> None:
    candidate = candidate_of(OpenLoop(np.zeros((STEPS, 2))))
    nothing = ended(CODEC, candidate, kind)
    assert nothing.result == Failure(KINDS[kind], kind) and nothing.robot_seconds == 0.0
    half = result_of(np.array([[0.1, -0.1], [0.1, -0.1]]))
    outcome = ended(CODEC, candidate, kind, half, reason="why")
    assert isinstance(outcome.result, Failure)
    assert (outcome.result.kind, outcome.result.reason) == (KINDS[kind], f"{kind}: why")
    assert outcome.result.partial is not None and outcome.result.partial.steps == 2
    assert outcome.details == {"ending": kind, "fraction": 0.5, "misses": 0}


def test_every_ending_of_the_agent_has_a_place_in_the_ledger() -> None:
    assert set(KINDS) == set(get_args(OutcomeKind)) - {"SUCCEEDED"}


def test_what_ends_before_its_first_step_is_a_failure() -> None:
    outcome = ended(CODEC, candidate_of(ClosedLoop(0)), "SUCCEEDED", result_of([]))
    assert outcome.result == Failure("failed", "it ended at its first observation")


@pytest.mark.parametrize("name", ["terminated", "truncated"])
def test_a_robot_says_by_a_sensor_that_it_is_over(name: str) -> None:
    spec = robot_of(name, "reward")
    codec = RobotCodec(embodiment_of(spec))
    sensors = np.array([[0, 9], [0, 1], [1, 2], [1, 3], [1, 4]], float)
    recorded = result_of(np.full((STEPS, 2), 0.1), spec, sensors)
    outcome = ended(codec, candidate_of(ClosedLoop(0)), "SUCCEEDED", recorded)
    result = outcome.result
    assert isinstance(result, Trajectory) and result.steps == 2
    assert (result.terminated, result.truncated) == (name == "terminated", name == "truncated")
    np.testing.assert_array_equal(result.rewards, [1, 2])


def test_what_the_agent_refuses_or_has_dropped_is_no_trajectory() -> None:
    candidate = candidate_of(ClosedLoop(0))
    gone = Job("run/c0", {}, {}, "done", refused="it is gone", gone=True)
    assert CODEC.outcome(candidate, gone, {}).result == Failure(
        "indeterminate", "the agent says: it is gone"
    )
    refused = Job("run/c0", {}, {}, "done", refused="joints a, b")
    with pytest.raises(OracleError, match="refuses rollout c0: joints a, b"):
        CODEC.outcome(candidate, refused, {})


def test_a_robot_that_the_task_cannot_use_is_refused() -> None:
    other = RobotSpec("other", JOINTS[::-1], 100.0, "none", None, 0.1)
    with pytest.raises(UserError, match="other has right, left, in this order"):
        embodiment_of(other)
    with pytest.raises(UserError, match=r"commands every 0.1 s; this robot takes commands 0\.2"):
        embodiment_of(SPEC, Rate(0.1, 0.2, 0.3, 0, 500, 0.2))


@pytest.mark.parametrize(("sizes", "told"), [((3, 4), r"observes \(3,\)"), ((4, 3), "2, 3")])
def test_a_task_that_observes_the_robot_otherwise_than_its_env_is_found(sizes, told) -> None:
    one, several = sizes

    class Wrong:
        joints, robot_command, robot_substeps = ("left", "right"), "velocity", 1

        def robot_observation(self, positions, velocities, sensors, targets, options):
            return np.zeros((*positions.shape[:-1], one if positions.ndim == 1 else several))

    embodiment = embodiment_of(SPEC)
    embodiment.try_observing({"goal": np.zeros(2)})
    embodiment._robot = Wrong()
    with pytest.raises(ValueError, match=told):
        embodiment.try_observing({"goal": np.zeros(2)})
