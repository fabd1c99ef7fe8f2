"""The shipped configurations of `sb3` go together, on Gymnasium's own tasks."""

import pytest

from robo_al import loop
from robo_al.build import create_campaign, make_oracle
from robo_al.config.load import load_config
from robo_al.dataset.ledger import EvaluationRow, FitRow, RolloutRow

QUICK = """--rounds 2 --rollout_steps 12 --initial_rollouts 2 --rollouts_per_round 1 --candidates 3
--contexts 2 --evaluation.starts 1 --evaluation.every 2 --model.max_steps 20 --model.hidden 8
--policy.hidden [8] --policy.worlds 8 --policy.updates_per_transition 0.1""".split()


@pytest.mark.proof
@pytest.mark.parametrize("name", ["halfcheetah", "hopper", "reacher_v5", "pusher"])
def test_a_short_campaign_of_a_shipped_configuration(tmp_path, name):
    config = load_config(name, QUICK)
    with create_campaign(config, tmp_path / "run") as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, lambda event: None)
        ledger = campaign.dataset.ledger
        rows = ledger.rows(RolloutRow)
        assert [row.state for row in rows] == ["recorded"] * 3
        assert [row.policy for row in rows] == ["random", "random", "sb3"]
        assert len(ledger.rows(FitRow)) == 2
        assert ledger.rows(EvaluationRow)[0].mean_return is not None


@pytest.mark.parametrize("name", ["halfcheetah", "reacher_v5", "pusher"])
def test_the_budget_is_twenty_thousand_transitions(name):
    config = load_config(name)
    rollouts = config.initial_rollouts + (config.rounds - 1) * config.rollouts_per_round
    assert rollouts * config.rollout_steps == 20_000
    marks = [config.rounds * part // 20 for part in (5, 10, 20)]
    assert all(mark % config.evaluation.every == 0 for mark in marks)
