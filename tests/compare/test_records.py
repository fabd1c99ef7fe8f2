import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_al import loop
from robo_al.build import create_campaign, make_oracle, open_campaign
from robo_al.compare.figures import paid, runs_that_count
from robo_al.compare.records import (
    UNFINISHED,
    Evaluation,
    RunRecord,
    read_failure,
    read_record,
    write_failure,
)
from robo_al.config.load import check_config
from robo_al.dataset.ledger import EvaluationRow, RolloutRow
from robo_al.dataset.view import RunView

FAKE: dict[str, Any] = {
    "env": "robo_al.testing:FakeEnv",
    "policy": {"name": "robo_al.testing:FakePolicy", "streamed": True},
    "explorer": "robo_al.testing:FakePolicy",
    "model": "robo_al.testing:FakeModel",
    "oracle": "robo_al.testing:FakeOracle",
    "candidates": 4,
    "contexts": 2,
    "evaluation": {"starts": 2},
    "device": "cpu",
    "rounds": 3,
}


def turn(folder: Path, **changes: Any) -> None:
    config = check_config(FAKE | changes, "test")
    with create_campaign(config, folder) as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, lambda event: None)


def test_a_record_is_what_the_ledger_says(tmp_path: Path) -> None:
    turn(tmp_path / "run", rollouts_per_round=2)
    record = read_record(tmp_path / "run", "fake", "mine", 4)
    assert (record.task, record.strategy, record.seed) == ("fake", "mine", 4)
    assert record.failed is None and record.solved_at is None
    with open_campaign(tmp_path / "run") as campaign:
        rows = campaign.dataset.ledger.rows(EvaluationRow)
        rollouts = campaign.dataset.ledger.rows(RolloutRow)
    assert [(e.rollouts, e.transitions) for e in record.evaluations] == [(1, 10), (3, 30), (5, 50)]
    assert [e.mean_return for e in record.evaluations] == [row.mean_return for row in rows]
    assert record.information == tuple(
        (row.predicted_information, row.realised_information) for row in rollouts[1:]
    )
    seconds = [row.robot_seconds for row in rollouts]
    assert [e.robot_seconds for e in record.evaluations] == pytest.approx(
        [sum(seconds[:n]) for n in (1, 3, 5)]
    )
    assert list(record.final_returns) == json.loads(rows[-1].returns)
    (made_with,) = record.made_with
    assert f"numpy {np.__version__}" in made_with.split(", ")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert record.cpu_seconds == json.loads(lines[-1])["cpu_seconds"] > 0


def test_a_solved_run_is_complete_though_its_budget_is_not_spent(tmp_path: Path) -> None:
    turn(tmp_path / "run", threshold=-100.0, rounds=9)
    record = read_record(tmp_path / "run", "fake", "mine", 0)
    assert record.failed is None
    assert record.solved_at == record.evaluations[1] and len(record.evaluations) == 2


def test_a_run_that_goes_on_once_solved_is_complete_at_its_budget(tmp_path: Path) -> None:
    turn(tmp_path / "run", threshold=-100.0, stop_when_solved=False)
    record = read_record(tmp_path / "run", "fake", "mine", 0)
    assert record.failed is None
    assert record.solved_at == record.evaluations[1] and len(record.evaluations) == 3


def test_what_was_not_begun_or_not_finished_says_so(tmp_path: Path) -> None:
    record = read_record(tmp_path / "none", "fake", "mine", 0)
    assert record == RunRecord("fake", "mine", 0, (), None, UNFINISHED, 0.0, ())
    with create_campaign(check_config(FAKE, "test"), tmp_path / "run") as campaign:
        assert read_record(tmp_path / "run", "fake", "mine", 0).failed == UNFINISHED
        campaign.ask()
        assert read_record(tmp_path / "run", "fake", "mine", 0).failed == UNFINISHED


def test_a_run_whose_last_round_is_not_closed_is_not_finished(tmp_path: Path) -> None:
    turn(tmp_path / "run")
    with sqlite3.connect(tmp_path / "run" / "ledger.sqlite") as connection:
        connection.execute("UPDATE rounds SET record = NULL WHERE round = 3")
    connection.close()
    record = read_record(tmp_path / "run", "fake", "mine", 0)
    assert record.failed == UNFINISHED and len(record.evaluations) == 3


def test_a_failure_is_kept_with_what_there_is(tmp_path: Path) -> None:
    write_failure(tmp_path / "before", "no such camera")
    assert read_record(tmp_path / "before", "fake", "mine", 0).failed == "no such camera"
    turn(tmp_path / "run")
    assert read_failure(tmp_path / "run") is None
    write_failure(tmp_path / "run", "KeyError: 'joint 7'")
    record = read_record(tmp_path / "run", "fake", "mine", 0)
    assert record.failed == "KeyError: 'joint 7'" and len(record.evaluations) == 3


FAILS_TO_FIT = """
from robo_al.errors import ModelError
from robo_al.testing import FakeModel


class Model(FakeModel):
    def fit(self, transitions, rng):
        if len(transitions) == 10:
            raise ModelError("no")
        return super().fit(transitions, rng)
"""


def test_a_run_without_a_model_was_never_evaluated(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FAILS_TO_FIT)
    turn(tmp_path / "run", model=f"{tmp_path}/mine.py:Model", rounds=1)
    record = read_record(tmp_path / "run", "fake", "mine", 0)
    assert record.failed == "never evaluated: no model could be fitted"


def test_what_was_executed_in_all_is_read_and_told_as_the_median_over_seeds(
    tmp_path: Path,
) -> None:
    turn(tmp_path / "run")
    executed = RunView(tmp_path / "run").executed()
    record = read_record(tmp_path / "run", "fake", "mine", 0)
    assert executed is not None and executed.evaluating > 0
    assert record.executed == (executed.rollouts, executed.robot_seconds)
    runs = [
        {
            "seed": seed,
            "failed": None,
            "solved_at": None,
            "cpu_seconds": 1.0,
            "information": [],
            "evaluations": [{"rollouts": 3, "mean_return": 1.0}],
            "executed": told,
        }
        for seed, told in enumerate(([10, 20.0], [30, 60.0], [11, 22.0]))
    ]
    assert paid(runs_that_count(runs)) == {
        "learned_from": 3.0,
        "executed": 11.0,
        "robot_seconds": 22.0,
    }
    earlier = [*runs, {**runs[0], "executed": None}]
    assert paid(runs_that_count(earlier)) is None, "it is not known, so it is not made up"


def test_a_damaged_run_does_not_spoil_the_others(tmp_path: Path) -> None:
    turn(tmp_path / "run")
    (tmp_path / "run" / "ledger.sqlite").write_bytes(b"x" * 5000)
    failed = read_record(tmp_path / "run", "fake", "mine", 0).failed
    assert failed is not None and "cannot be read as a ledger" in failed


@pytest.mark.parametrize("solved", [None, Evaluation(5, 50, -1.0)])
def test_a_record_is_compact_json_and_back(solved: Evaluation | None) -> None:
    record = RunRecord(
        task="fake",
        strategy="mine",
        seed=3,
        evaluations=(Evaluation(1, 10, None), Evaluation(5, 50, -1.25)),
        solved_at=solved,
        failed=None,
        cpu_seconds=1.234,
        information=((1.23456789, 2.0),),
        executed=(7, 14.5),
        made_with=("python 3.11.2, numpy 2.4.6",),
        final_returns=(-1.0, -1.5),
    )
    text = json.dumps(record.to_json())
    again = RunRecord.from_json(json.loads(text))
    assert again.information == ((1.2346, 2.0),)
    assert again == RunRecord(**(vars(record) | {"information": again.information}))
