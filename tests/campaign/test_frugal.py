"""The frugal evaluation: put off, learned from, decided rollout by rollout, and resumed."""

import json
from dataclasses import replace

import pytest

from robo_al.campaign.campaign import Campaign
from robo_al.dataset.events import NotEvaluated
from robo_al.dataset.ledger import EvaluationRow, FitRow, RolloutRow, RoundRow
from robo_al.dataset.rows import EVALUATION
from robo_al.errors import UserError
from robo_al.loop.sequential import run
from robo_al.testing import FakeOracle
from robo_al.testing.campaign import fake_parts, fake_settings, turns
from robo_al.types import Failure, Outcome

MOST = 12


def opened(folder, threshold=-15.0, **changes):
    parts = fake_parts()
    parts = replace(parts, task=replace(parts.task, threshold=threshold))
    settings = fake_settings(evaluation={"kind": "frugal", "starts": MOST}, **changes)
    if (folder / "ledger.sqlite").exists():
        return Campaign.open(folder, parts, settings)
    return Campaign.create(folder, parts, settings, "env: fake\n")


def rows(campaign, table, **where):
    return campaign.dataset.ledger.rows(table, **where)


def evaluating(campaign):
    return rows(campaign, RolloutRow, strategy=EVALUATION)


def test_it_is_decided_before_its_budget_is_spent_and_learned_from_and_counted_once(tmp_path):
    with opened(tmp_path / "run", stop_when_solved=True) as campaign:
        run(campaign, FakeOracle())
        (row,) = rows(campaign, EvaluationRow)
        own = evaluating(campaign)
        assert row.verdict == "reached" and row.p_value <= 0.05 and campaign.solved == row
        assert 1 < len(own) < MOST and len(json.loads(row.returns)) == len(own)
        assert {one.state for one in own} == {"recorded"} and {one.horizon for one in own} == {10}
        assert (row.rollouts, row.executed) == (1, 0), "learned from before; counted as rollouts"
        assert campaign.dataset.ledger.totals().rollouts == 1 + len(own)
        assert len({one.context for one in own}) == len(own), "each starts somewhere else"


def test_the_next_policy_has_learned_from_it_and_the_evaluated_one_had_not(tmp_path):
    with opened(tmp_path / "run", rounds=2) as campaign:
        run(campaign, FakeOracle())
        first, second = rows(campaign, FitRow)[:2]
        number = len(rows(campaign, RolloutRow, round=1))
        assert first.rollouts == 1 and number > 2
        assert second.rollouts >= number


def test_it_is_put_off_where_the_imagined_return_is_far_but_after_the_last_round(tmp_path):
    with opened(tmp_path / "run", threshold=100.0) as campaign:
        heard = []
        run(campaign, FakeOracle(), heard.append)
        reasons = [row.not_evaluated for row in rows(campaign, RoundRow)]
        assert reasons[2] is None and all("is far from 100" in text for text in reasons[:2])
        told = [event for event in heard if isinstance(event, NotEvaluated)]
        assert [(event.round, event.reason) for event in told] == [*enumerate(reasons[:2], 1)]
        (row,) = rows(campaign, EvaluationRow)
        assert (row.round, row.verdict) == (3, "below") and campaign.solved is None


def test_without_a_threshold_it_is_made_once_and_undecided(tmp_path):
    with opened(tmp_path / "run", threshold=None) as campaign:
        run(campaign, FakeOracle())
        (row,) = rows(campaign, EvaluationRow)
        assert (row.round, row.verdict, len(evaluating(campaign))) == (3, "undecided", MOST)


@pytest.mark.parametrize("queue", [None, 1])
@pytest.mark.parametrize("at", [2, 5, 8])
def test_one_that_was_interrupted_goes_on_to_the_same_ledger(tmp_path, at, queue):
    class Interrupted(FakeOracle):
        submitted = 0

        def submit(self, candidate):
            Interrupted.submitted += 1
            if Interrupted.submitted == at:
                raise KeyboardInterrupt
            super().submit(candidate)

    settings = {"loop": turns(queue).model_dump(), "rounds": 2, "rollouts_per_round": 1}
    with opened(tmp_path / "whole", **settings) as campaign:
        run(campaign, FakeOracle())
        whole = campaign.dataset.ledger.digest()
        assert len(evaluating(campaign)) > 6
    with opened(tmp_path / "run", **settings) as campaign, pytest.raises(KeyboardInterrupt):
        run(campaign, Interrupted())
    with opened(tmp_path / "run", **settings) as campaign:
        run(campaign, FakeOracle())
        assert campaign.dataset.ledger.digest() == whole


def test_by_hand_it_comes_to_the_same_and_nothing_is_learned_meanwhile(tmp_path):
    with opened(tmp_path / "loop") as campaign:
        run(campaign, FakeOracle())
        expected = campaign.dataset.ledger.digest()
    oracle = FakeOracle()
    with opened(tmp_path / "hand") as campaign:
        campaign.connect(oracle)
        while not campaign.finished:
            for candidate in (asked := campaign.evaluation()) or campaign.ask():
                oracle.submit(candidate)
            if asked:
                assert len(asked) == 1 and campaign.evaluation() == () and campaign.ask() == ()
                with pytest.raises(UserError, match="under way"):
                    campaign.learn()
            for outcome in oracle.poll():
                campaign.tell(outcome)
        assert campaign.dataset.ledger.digest() == expected


def test_a_rollout_of_it_that_fails_leaves_it_undecided(tmp_path):
    with opened(tmp_path / "run", rounds=1) as campaign:
        oracle = FakeOracle()
        campaign.connect(oracle)
        for candidate in campaign.ask():
            oracle.submit(candidate)
        for outcome in oracle.poll():
            campaign.tell(outcome)
        (candidate,) = campaign.evaluation()
        campaign.tell(Outcome(candidate.id, Failure("aborted", "the person said no"), 0.0))
        assert campaign.evaluation() == () and campaign.finished
        (row,) = rows(campaign, EvaluationRow)
        assert (row.verdict, row.mean_return, row.returns) == ("undecided", None, "[null]")
