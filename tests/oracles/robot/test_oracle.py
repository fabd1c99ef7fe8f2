"""The robot's oracle, against a real agent with a driver of a file."""

import re
import runpy
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_al import loop
from robo_al.build import create_campaign, make_oracle, open_campaign
from robo_al.checks import check_oracle
from robo_al.config.load import load_config
from robo_al.dataset.events import Explored
from robo_al.dataset.ledger import RolloutRow
from robo_al.dataset.outcomes import checked
from robo_al.errors import OracleError, UserError
from robo_al.oracles.robot import RobotOracle
from robo_al.plugins import make_env
from robo_al.tasks import contexts_from, describe
from robo_al.testing import FakeModel, FakePolicy, resolver
from robo_al.types import MEAN, Candidate, ClosedLoop, EnvSpec, Failure, OpenLoop, Trajectory

_agent = runpy.run_path(str(Path(__file__).parents[2] / "agent" / "conftest.py"))
serve = _agent["serve"]
TASK = EnvSpec(f"{Path(__file__).with_name('slider_env.py')}:SliderEnv", {})
SLOW = {"missed_deadlines": 100}


def candidates(count: int, scale: float = 0.3) -> list[Candidate]:
    with closing(make_env(TASK)) as env:
        contexts = contexts_from(env, range(count))
    rng = np.random.default_rng(0)
    return [
        Candidate(context, OpenLoop(rng.uniform(-scale, scale, (8, 2))), 8, i, f"c{i}")
        for i, context in enumerate(contexts)
    ]


def executed(oracle: RobotOracle, candidate: Candidate) -> Trajectory | Failure:
    oracle.submit(candidate)
    (outcome,) = oracle.poll(60.0)
    assert outcome.candidate_id == candidate.id
    return outcome.result


def test_it_keeps_the_contract(serve: Callable[..., Any]) -> None:
    agent = serve(envelope=SLOW)
    with RobotOracle(TASK, agent.address) as oracle:
        check_oracle(oracle, candidates(1))


def test_steps_of_an_evaluation_are_the_configuration_s(serve: Callable[..., Any]) -> None:
    agent = serve(envelope=SLOW)
    endless = EnvSpec(TASK.name.replace("SliderEnv", "EndlessSlider"), {})
    with RobotOracle(endless, agent.address) as oracle:
        assert isinstance(executed(oracle, candidates(1)[0]), Trajectory)


def test_what_is_recorded_is_what_the_robot_did(serve: Callable[..., Any]) -> None:
    agent = serve(envelope=SLOW)
    (candidate,) = candidates(1)
    assert isinstance(candidate.controller, OpenLoop)
    with RobotOracle(TASK, agent.address) as oracle:
        result = executed(oracle, candidate)
    assert isinstance(result, Trajectory)
    np.testing.assert_array_equal(result.requested, candidate.controller.actions)
    # the robot rounds commands to 1e-3 rad; what was sent explains what was measured, exactly
    moved = np.diff(result.observations[:, :2], axis=0) / 0.2
    np.testing.assert_allclose(result.actions, moved, atol=1e-9)
    assert np.abs(result.actions - candidate.controller.actions).max() > 1e-6
    np.testing.assert_array_equal(
        result.observations[:, 2:], np.tile(result.observations[0, 2:], (9, 1))
    )


def test_nothing_that_the_agent_measured_is_lost(serve: Callable[..., Any]) -> None:
    agent = serve(envelope=SLOW)
    (candidate,) = candidates(1)
    with RobotOracle(TASK, agent.address) as oracle:
        oracle.submit(candidate)
        (outcome,) = oracle.poll(60.0)
        assert checked(outcome).details == outcome.details
        result = oracle._client.session.jobs[oracle._wire_id(candidate.id)].result
    assert result is not None and isinstance(outcome.result, Trajectory)
    assert outcome.details == {
        "ending": "SUCCEEDED",
        "fraction": 1.0,
        "misses": result.fields["misses"],
    }
    signals, steps = outcome.result.signals, outcome.result.steps
    names = {
        "time_ns": "time_ns",
        "sequence": "sequence",
        "position": "positions",
        "velocity": "velocities",
        "effort": "efforts",
        "target": "requested",
        "sent": "sent",
    }
    assert signals.keys() == names.keys() | ({"sensor"} if result.arrays["sensors"].size else set())
    for name, said in names.items():
        np.testing.assert_array_equal(signals[name], result.arrays[said])
        assert signals[name].dtype == result.arrays[said].dtype
    assert len(signals["time_ns"]) == steps + 1 and len(signals["sent"]) == steps


def test_the_same_rollout_is_not_run_again_and_waits_until_it_is_acknowledged(
    serve: Callable[..., Any],
) -> None:
    agent = serve(envelope=SLOW)
    (candidate,) = candidates(1)
    results = []
    for _ in range(2):
        with RobotOracle(TASK, agent.address) as oracle:
            oracle.campaign = "the-same"
            results.append(executed(oracle, candidate))
            moved = len(agent.log())
    assert len(agent.log()) == moved
    first, second = results
    assert isinstance(first, Trajectory) and isinstance(second, Trajectory)
    np.testing.assert_array_equal(first.observations, second.observations)
    with RobotOracle(TASK, agent.address) as oracle:
        oracle.campaign = "the-same"
        executed(oracle, candidate)
        oracle.acknowledge([candidate.id])
        assert oracle._client.wait(lambda session: not session.jobs, 10)
        gone = executed(oracle, candidate)
    assert isinstance(gone, Failure) and "is gone" in gone.reason
    with RobotOracle(TASK, agent.address) as oracle:  # another campaign's rollout of this name
        assert isinstance(executed(oracle, candidate), Trajectory)
    assert len(agent.log()) > moved


def test_what_the_robot_broke_off_is_as_long_as_it_was(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    files = {which: str(tmp_path / which) for which in ("faults", "log")}
    robots = Path(__file__).parents[2] / "agent" / "robots.py"
    agent = serve(envelope=SLOW, driver={"name": f"{robots}:Fenced", **files})
    (candidate,) = candidates(1, scale=0.0)
    with RobotOracle(TASK, agent.address) as oracle:
        result = executed(oracle, candidate)
    assert isinstance(result, Trajectory) and 1 <= result.steps < 8
    assert result.truncated and not result.terminated


def test_a_policy_at_the_host_answers_each_step(serve: Callable[..., Any]) -> None:
    agent = serve(envelope=SLOW)
    (candidate,) = candidates(1)
    with closing(make_env(TASK)) as env:
        task = describe(env, TASK)
    policy = FakePolicy(task)
    streamed = Candidate(candidate.context, ClosedLoop(0), 8, 3, "s0")
    with RobotOracle(TASK, agent.address) as oracle:
        oracle.resolve = resolver(policy, FakeModel(task))
        result = executed(oracle, streamed)
    assert isinstance(result, Trajectory) and result.steps == 8
    assert np.abs(result.actions).max() > 0


def test_a_policy_that_can_travel_runs_at_the_agent(serve: Callable[..., Any]) -> None:
    from robo_al_policies.sb3 import SB3

    agent = serve(envelope=SLOW)
    (candidate,) = candidates(1)
    with closing(make_env(TASK)) as env:
        task = describe(env, TASK)
    policy, model = SB3(task, device="cpu"), FakeModel(task)
    travels = Candidate(candidate.context, ClosedLoop(MEAN), 8, 3, "t0")
    with RobotOracle(TASK, agent.address, onnx=True) as oracle:
        oracle.resolve = resolver(policy, model)
        assert oracle._request(travels)[0]["controller"] == "onnx"
        result = executed(oracle, travels)
    assert isinstance(result, Trajectory) and result.steps == 8
    actor = policy.start(model, [MEAN], [3])
    answers = np.concatenate([actor.act(row[None]) for row in result.observations[:-1]])
    moved = np.cumsum(answers * 0.2, axis=0)
    assert np.abs(moved[-1]).min() > 0.005
    np.testing.assert_allclose(result.observations[1:, :2], moved, atol=6e-4)  # it rounds to 1e-3


def test_the_envelope_constrains_what_is_proposed(serve: Callable[..., Any]) -> None:
    agent = serve(envelope=SLOW | {"tracking_error": 0.5})
    (candidate,) = candidates(1)
    slow, fast = np.full((1, 8, 2), 0.1), np.zeros((1, 8, 2))
    fast[0, 4:] = 0.45
    with RobotOracle(TASK, agent.address) as oracle:
        assert oracle.refusal(candidate, slow) is None
        limits = [(joint.velocity, joint.acceleration) for joint in oracle._envelope.joints]
        assert limits == [(2.0, 100.0)] * 2
        assert oracle.refusal(candidate, fast) is None
        tight = oracle._envelope.model_copy(
            update={
                "joints": tuple(
                    joint.model_copy(update={"velocity": 0.2}) for joint in oracle._envelope.joints
                )
            }
        )
        oracle._envelope = tight
        assert oracle.refusal(candidate, slow) is None
        refusal = oracle.refusal(candidate, -fast)
    assert refusal is not None
    assert refusal.limit == "velocity of joint left" and "limit 0.2" in refusal.message
    assert refusal.excess == pytest.approx(0.25)
    assert "raise `velocity` of joint left in the envelope" in refusal.remedy


def test_a_robot_that_is_not_the_tasks_is_refused(serve: Callable[..., Any]) -> None:
    agent = serve()
    with pytest.raises(UserError, match="does not say how it is done on a robot"):
        RobotOracle(EnvSpec("pendulum", {}), agent.address)
    with pytest.raises(UserError, match="tcp://HOST:PORT"):
        RobotOracle(TASK, "127.0.0.1:5")
    with pytest.raises(OracleError, match="robo-al-agent serve"):
        RobotOracle(TASK, "tcp://127.0.0.1:9", start_timeout=0.3)
    with pytest.raises(UserError, match="robo-al-agent keys"):
        RobotOracle(TASK, agent.address, keys="no/such/folder")


def campaign_config(address: str, *more: str) -> Any:
    return load_config(
        "pendulum",
        [
            *("--env", TASK.name, "--oracle.name", "robot", "--oracle.address", address),
            *("--policy", "robo_al.testing:FakePolicy", "--explorer.scale", "0.3"),
            *("--model", "robo_al.testing:FakeModel", "--rounds", "2", "--candidates", "3"),
            *("--strategy", "random", "--imagination_members", "1"),
            *("--evaluation.starts", "1", "--contexts", "1", "--rollout_steps", "6"),
            *("--evaluation.kind", "full"),
            *more,
        ],
    )


def test_a_campaign_runs_on_a_robot_and_fetches_what_it_missed(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    agent = serve(envelope=SLOW)
    config = campaign_config(agent.address)
    folder = tmp_path / "run"
    with create_campaign(config, folder) as campaign, make_oracle(config) as oracle:
        oracle.campaign = campaign.dataset.identity
        (candidate,) = campaign.ask()
        oracle.submit(candidate)
        oracle.poll()  # it ran; the host dies before it is told
    moved = len(agent.log())
    with open_campaign(folder) as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, lambda event: None)
        rows = campaign.dataset.ledger.rows(RolloutRow)
        made = [campaign.candidate(row) for row in rows]
        assert all(one is not None and one.why for one in made)
        asked = [oracle._request(one)[0]["why"] for one in made if one is not None]
    assert asked[0] == "the explorer's" == candidate.why
    assert asked[1].startswith("chosen by random: rank 1, score ")
    assert [row.state for row in rows] == ["recorded", "recorded"]
    assert rows[0].steps == 6
    log = agent.log()
    assert sum(line.endswith("stop") for line in log[:moved]) == 1
    assert len(log) > moved


def limits(**changes: float) -> list[dict[str, Any]]:
    """Return the slider's limits, those of the right joint changed."""
    rows: list[dict[str, Any]] = [
        {"name": name, "unit": "rad", "position": [-0.9, 0.9], "velocity": 2.0, "jerk": 1e4}
        for name in ("left", "right")
    ]
    return [rows[0] | {"acceleration": 100.0}, rows[1] | {"acceleration": 100.0} | changes]


def test_a_campaign_that_the_envelope_refuses_says_by_which_limit_and_how_far(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    agent = serve(envelope=SLOW | {"joints": limits(acceleration=0.01)})
    config = campaign_config(agent.address)
    with create_campaign(config, tmp_path / "run") as campaign, make_oracle(config) as oracle:
        with pytest.raises(UserError) as refused:
            loop.run(campaign, oracle, lambda event: None)
    said = str(refused.value)
    assert "0 of the explorer's 64 proposals" in said and "64 are refused, 64 of them" in said
    worst = re.search(r"joint right at 0\.1 s: acceleration (-?[\d.]+) rad/s\^2, limit 0\.01", said)
    assert worst is not None and 2 < abs(float(worst[1])) <= 5  # of 0.5 rad/s at most, in 0.1 s
    assert "raise `acceleration` of joint right in the envelope at the robot" in said


def test_what_the_policy_proposes_and_the_envelope_refuses_is_told_as_that(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    agent = serve(envelope=SLOW | {"joints": limits(velocity=0.02)})
    changes = ["--explorer.scale", "0.001", "--evaluation.every", "0"]  # it keeps to the envelope
    config = campaign_config(agent.address, *changes)
    events: list[Any] = []
    with create_campaign(config, tmp_path / "run") as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, events.append)
    (explored,) = [event for event in events if isinstance(event, Explored)]
    assert "3 are refused, 3 of them first by the limit of the velocity" in explored.reason
    assert "raise `velocity` of joint right" in explored.reason
