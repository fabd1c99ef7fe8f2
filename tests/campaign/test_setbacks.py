"""Campaigns of which nothing comes stop early, say why, and go on once the cause is mended."""

from dataclasses import replace

import pytest

from robo_al.campaign.campaign import Campaign
from robo_al.dataset.ledger import EvaluationRow, RolloutRow
from robo_al.errors import OracleError
from robo_al.loop.sequential import run
from robo_al.testing import FakeOracle
from robo_al.testing.campaign import fake_parts, fake_settings, turns
from robo_al.types import Failure

SETTINGS = fake_settings(rounds=30, rollouts_per_round=1)


class Failing(FakeOracle):
    """Fails where it is told to; its rollouts cannot be done again.

    Args:
        fails: told a candidate's id.
        kind: of the failures.
    """

    repeatable = False

    def __init__(self, fails, kind="failed", **parameters):
        super().__init__(**parameters)
        self.fails, self.kind = fails, kind

    def poll(self, timeout=None):
        return [
            replace(o, result=Failure(self.kind, f"{o.candidate_id} broke"))
            if self.fails(o.candidate_id)
            else o
            for o in super().poll(timeout)
        ]


def turn(folder, oracle, settings=SETTINGS):
    parts = fake_parts()
    started = (folder / "config.yaml").exists()
    campaign = (
        Campaign.open(folder, parts, settings)
        if started
        else Campaign.create(folder, parts, settings, "env: fake\n")
    )
    with campaign, oracle:
        try:
            run(campaign, oracle, lambda event: None)
            return campaign.dataset.ledger, None
        finally:
            turn.states = campaign.dataset.ledger.states()
            turn.rollouts = campaign.dataset.ledger.rows(RolloutRow)
            turn.evaluations = campaign.dataset.ledger.rows(EvaluationRow)


def over(states):
    return {state: count for state, count in states.items() if count}


def training(name):
    return name.startswith("r")


@pytest.mark.parametrize("queue", [None, 2])
@pytest.mark.parametrize("kind", ["failed", "quarantined"])
def test_where_every_rollout_fails(tmp_path, queue, kind):
    settings = SETTINGS.model_copy(update=dict(loop=turns(queue)))
    with pytest.raises(OracleError, match=r"3 rollouts in a row.*\n.*r0001-00: r0001-00 broke\n"):
        turn(tmp_path, Failing(training, kind), settings)
    assert over(turn.states) == {kind: 3}
    turn(tmp_path, FakeOracle(), settings.model_copy(update=dict(rounds=6)))  # mended
    assert over(turn.states) == {kind: 3, "recorded": 3}


@pytest.mark.first(2)
@pytest.mark.parametrize("queue", [None, 2])
@pytest.mark.parametrize("kind", ["aborted", "indeterminate", "failed"])
def test_where_many_in_a_row_bring_nothing_later(tmp_path, queue, kind):
    settings = SETTINGS.model_copy(update=dict(loop=turns(queue)))
    with pytest.raises(OracleError, match=r"1\d rollouts in a row brought no data"):
        turn(tmp_path, Failing(lambda name: training(name) and name > "r0002-99", kind), settings)
    found = over(turn.states)
    assert found["recorded"] == 2 and 10 <= found[kind] <= 12
    assert found.keys() <= {"recorded", "selected", kind}  # what flew was waited for
    with pytest.raises(OracleError, match="1. rollouts in a row"):  # not mended: not all at once
        turn(tmp_path, Failing(training, kind), settings)
    assert over(turn.states)[kind] >= 20
    turn(tmp_path, FakeOracle(), settings)
    assert over(turn.states).keys() == {"recorded", kind}


def test_some_that_fail_now_and_then_do_not_stop_it(tmp_path):
    turn(tmp_path, Failing(lambda name: training(name) and int(name[3:5]) % 4 != 1))
    assert over(turn.states) == {"failed": 22, "recorded": 8}


def test_a_batch_is_not_executed_to_its_end_where_all_fails(tmp_path):
    settings = SETTINGS.model_copy(update=dict(initial_rollouts=4, rollouts_per_round=4))
    oracle = Failing(training, capacity=1)
    with pytest.raises(OracleError, match="3 rollouts in a row"):
        turn(tmp_path, oracle, settings)
    assert over(turn.states) == {"failed": 3, "selected": 1} and len(oracle.submitted) == 3
    turn(tmp_path, FakeOracle(), settings.model_copy(update=dict(rounds=2)))
    assert over(turn.states) == {"failed": 3, "recorded": 5}


@pytest.mark.parametrize("kind", ["failed", "aborted"])
def test_a_budget_that_is_spent_on_nothing_is_no_success(tmp_path, kind):
    settings = SETTINGS.model_copy(update=dict(rounds=2))
    for _ in range(2):  # also when it is resumed and nothing is left to do
        with pytest.raises(OracleError, match="none of 2 rollouts brought data") as raised:
            turn(tmp_path, Failing(training, kind), settings)
        assert "raise `rounds`" in str(raised.value) and "r0002-00 broke" in str(raised.value)
    turn(tmp_path, FakeOracle(), settings.model_copy(update=dict(rounds=3)))
    assert over(turn.states) == {kind: 2, "recorded": 1}


@pytest.mark.parametrize("queue", [None, 2])
def test_where_every_evaluation_fails(tmp_path, queue):
    settings = SETTINGS.model_copy(update=dict(loop=turns(queue)))
    with pytest.raises(OracleError, match=r"3 evaluations in a row failed.*\n.*e000\d-00 broke\n"):
        turn(tmp_path, Failing(lambda name: not training(name)), settings)
    assert [row.mean_return for row in turn.evaluations] == [None] * 3
    turn(tmp_path, FakeOracle(), settings.model_copy(update=dict(rounds=8)))
    assert turn.evaluations[-1].mean_return is not None


def test_evaluations_that_failed_in_part_or_before_do_not_stop_it(tmp_path):
    turn(
        tmp_path,
        Failing(lambda name: name.endswith("-01")),
        SETTINGS.model_copy(update=dict(rounds=6)),
    )
    assert len(turn.evaluations) == 6
    last = Failing(lambda name: name.startswith("e0008"))
    turn(tmp_path, last, SETTINGS.model_copy(update=dict(rounds=8)))
    assert turn.evaluations[-1].mean_return is None


def test_a_last_evaluation_that_is_the_only_one_and_fails_is_no_success(tmp_path):
    with pytest.raises(OracleError, match="every rollout of every evaluation failed"):
        turn(
            tmp_path,
            Failing(lambda name: not training(name)),
            SETTINGS.model_copy(update=dict(rounds=1)),
        )
