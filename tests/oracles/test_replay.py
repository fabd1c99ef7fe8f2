import json
from dataclasses import replace

import numpy as np
import pytest

from robo_al import loop
from robo_al.build import create_campaign, make_oracle, open_campaign
from robo_al.campaign.campaign import Campaign
from robo_al.checks import check_oracle
from robo_al.config.schema import Config
from robo_al.dataset.ledger import EvaluationRow, RolloutRow
from robo_al.errors import ConfigError, OracleError, UserError
from robo_al.oracles.replay import ReplayOracle
from robo_al.plugins import make_env
from robo_al.tasks import contexts_from
from robo_al.testing import FAKE_ENV
from robo_al.types import Candidate, EnvSpec, Failure, OpenLoop, Trajectory

ENV = "robo_al.dataset.recordings.env:RecordedEnv"
FAKES = {
    "env": "robo_al.testing:FakeEnv",
    "policy": "random",
    "model": "robo_al.testing:FakeModel",
    "strategy": "random",
    "rounds": 1,
    "initial_rollouts": 15,
    "rollout_steps": 6,
    "evaluation": {"every": 0},
    "device": "cpu",
}


def turn(config, folder):
    with create_campaign(config, folder) as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, lambda event: None)


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """Return an env of 15 recorded rollouts, of which 12 can be chosen."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    turn(Config.model_validate(FAKES), folder)
    return EnvSpec(ENV, {"path": str(folder)})


def replaying(spec, **changes):
    """Return the configuration of a campaign on recorded rollouts."""
    parts = {
        "env": {"name": spec.name, **spec.parameters},
        "policy": "robo_al_policies.replay:Replay",
        "explorer": "robo_al_policies.replay:Replay",
        "oracle": "robo_al.oracles.replay:ReplayOracle",
        "model": "robo_al.testing:FakeModel",
        "strategy": "random",
        "candidates": 4,
        "device": "cpu",
    }
    return Config.model_validate(parts | changes)


def candidates(spec, count, steps=6):
    env = make_env(spec)
    return [
        Candidate(context, OpenLoop(env.episodes[i].actions[:steps]), steps, 0, f"c{i}")
        for i, context in enumerate(contexts_from(env, range(count)))
    ]


def chosen(campaign: Campaign) -> list[int]:
    rows = campaign.dataset.ledger.rows(RolloutRow)
    return [json.loads(row.context)["seed"] for row in rows]


def test_it_keeps_the_contract_of_an_oracle(spec):
    with ReplayOracle(spec) as oracle:
        check_oracle(oracle, candidates(spec, 4))
        check_oracle(oracle, candidates(spec, 4, steps=2))


def test_it_reveals_what_was_recorded(spec):
    with ReplayOracle(spec) as oracle:
        for candidate in candidates(spec, 12):
            oracle.submit(candidate)
        outcomes = oracle.poll()
    for outcome, episode in zip(outcomes, make_env(spec).episodes, strict=True):
        assert isinstance(outcome.result, Trajectory)
        for name in ("observations", "actions", "rewards"):
            assert np.array_equal(getattr(outcome.result, name), getattr(episode, name))
        assert outcome.robot_seconds == pytest.approx(0.6)


def test_what_was_not_recorded_fails(spec):
    good = candidates(spec, 1)[0]
    actions = good.controller.actions
    others = [
        replace(good, id="other actions", controller=OpenLoop(actions + 1e-9)),
        replace(good, id="other start", context=candidates(spec, 2)[1].context),
        replace(good, id="too long", controller=OpenLoop(np.zeros((7, 2))), horizon=7),
    ]
    with ReplayOracle(spec) as oracle:
        for candidate in others:
            oracle.submit(candidate)
        for outcome in oracle.poll():
            assert isinstance(outcome.result, Failure) and outcome.result.kind == "failed"
            assert outcome.robot_seconds == 0.0


def test_a_closed_oracle_and_another_env_are_refused(spec):
    oracle = ReplayOracle(spec)
    oracle.close()
    oracle.close()
    with pytest.raises(OracleError, match="closed"):
        oracle.poll()
    with pytest.raises(ConfigError, match="oracle replay: the env .*FakeEnv has no recorded"):
        ReplayOracle(FAKE_ENV)


def test_a_campaign_chooses_each_rollout_once_and_is_scored_on_others(spec, tmp_path):
    config = replaying(spec, rounds=5, initial_rollouts=2, rollouts_per_round=2)
    turn(config, tmp_path / "run")
    held_out = {episode.observations.tobytes() for episode in make_env(spec).held_out}
    with open_campaign(tmp_path / "run") as campaign:
        assert len(set(chosen(campaign))) == len(chosen(campaign)) == 10
        rows = campaign.dataset.recorded()
        assert len(rows) == 10
        seen = {campaign.dataset.trajectory(row).observations.tobytes() for row in rows}
        assert seen.isdisjoint(held_out)
        evaluations = campaign.dataset.ledger.rows(EvaluationRow)
    assert [row.rollouts for row in evaluations] == [2, 4, 6, 8, 10]
    for row in evaluations:
        scores = json.loads(row.returns)
        assert len(scores) == 3 and max(scores) <= 0
        assert row.mean_return == pytest.approx(np.mean(scores))


def test_a_pending_rollout_is_not_proposed_again(spec, tmp_path):
    with create_campaign(replaying(spec, rounds=3), tmp_path / "run") as campaign:
        waiting = [campaign.ask(2) for _ in range(4)]
        assert len(set(chosen(campaign))) == 8
        with ReplayOracle(spec) as oracle:
            for candidate in waiting[2]:
                oracle.submit(candidate)
            for outcome in oracle.poll():
                campaign.tell(outcome)
        campaign.ask(4)
        assert len(set(chosen(campaign))) == 12
        with pytest.raises(UserError, match="of 12 recorded rollouts 0 are left"):
            campaign.ask(1)


def test_a_stopped_campaign_goes_on_to_the_same_record(spec, tmp_path):
    config = replaying(spec, rounds=4, strategy="joint_information")
    turn(config, tmp_path / "whole")
    with create_campaign(config, tmp_path / "stopped") as campaign, make_oracle(config) as oracle:

        def stop(event):
            if campaign.rounds == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            loop.run(campaign, oracle, stop)
    digests = []
    with open_campaign(tmp_path / "stopped") as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, lambda event: None)
        digests.append(campaign.dataset.ledger.digest())
    with open_campaign(tmp_path / "whole") as campaign:
        digests.append(campaign.dataset.ledger.digest())
    assert digests[0] == digests[1]


def test_a_budget_that_the_recording_cannot_give_is_refused_before_anything_is_written(
    spec, tmp_path
):
    turn(replaying(spec, rounds=9), tmp_path / "just enough")
    with pytest.raises(UserError, match="13 in all; 12 recorded rollouts can be chosen"):
        create_campaign(replaying(spec, rounds=10), tmp_path / "run")
    with pytest.raises(UserError, match="can be chosen"):
        create_campaign(replaying(spec, rounds=1, initial_rollouts=13), tmp_path / "run")
    assert not (tmp_path / "run").exists()
