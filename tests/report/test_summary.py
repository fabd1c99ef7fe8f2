import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from robo_al import loop
from robo_al.build import create_campaign, make_oracle
from robo_al.campaign.campaign import Campaign
from robo_al.config.schema import Config
from robo_al.dataset.clock import ACTIVITIES
from robo_al.dataset.ledger import STATES
from robo_al.dataset.view import RunView
from robo_al.errors import RunFolderError
from robo_al.report.summary import executed_in_words, render, summarise, verdict
from robo_al.testing import FakeOracle


def fakes(**changes: Any) -> Config:
    """Return the configuration of a quick campaign of fakes."""
    parts = {
        "env": "robo_al.testing:FakeEnv",
        "policy": {"name": "robo_al.testing:FakePolicy", "streamed": True},
        "explorer": "robo_al.testing:FakePolicy",
        "model": "robo_al.testing:FakeModel",
        "oracle": "robo_al.testing:FakeOracle",
    }
    numbers = {"candidates": 4, "contexts": 2, "rounds": 3, "evaluation": {"starts": 2}}
    return Config.model_validate({"device": "cpu"} | parts | numbers | changes)


def turn(campaign: Campaign, config: Config) -> None:
    with make_oracle(config) as oracle:
        loop.run(campaign, oracle, lambda event: None)


def text(summary: dict[str, Any], width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render(summary))
    return console.export_text()


def test_a_campaign_is_summarised_at_every_moment_of_its_life(tmp_path: Path) -> None:
    folder, config = tmp_path / "run", fakes(stop_when_solved=False)
    with create_campaign(config, folder) as campaign:  # and it holds the lock
        new = summarise(RunView(folder))
        assert (new["rollouts"], new["transitions"], new["evaluations"]) == (0, 0, [])
        assert new["solved_at"] is None
        assert new["seconds"] == dict.fromkeys(ACTIVITIES, 0.0)
        assert new["states"] == dict.fromkeys(STATES, 0)
        assert "No rollout has been recorded yet." in text(new)

        campaign.ask(2)
        asked = summarise(RunView(folder))
        assert asked["states"]["dispatched"] == 2 and asked["rounds"] == 0

        turn(campaign, config)
    done = summarise(RunView(folder))
    assert done["rounds"] == done["budget"] == 3
    assert done["rollouts"] == done["states"]["recorded"] == 4
    assert done["transitions"] == 40
    assert done["robot_seconds"] == pytest.approx(4.0)
    assert [row["rollouts"] for row in done["evaluations"]] == [2, 3, 4]
    assert [row["transitions"] for row in done["evaluations"]] == [20, 30, 40]
    assert list(done["seconds"]) == list(ACTIVITIES)
    assert done["seconds"]["feedback"] > 0
    assert json.loads(json.dumps(done, allow_nan=False)) == done


def test_a_summary_names_task_and_strategy(tmp_path: Path) -> None:
    config = fakes(strategy={"acquisition": {"name": "variance", "aggregation": "mean"}}, seed=4)
    with create_campaign(config, tmp_path / "run"):
        summary = summarise(RunView(tmp_path / "run"))
    assert summary["task"] == "robo_al.testing:FakeEnv"
    assert summary["strategy"] == "variance(aggregation=mean)+top_k"
    assert summary["seed"] == 4


def test_solved_is_two_evaluations_in_a_row_at_the_threshold(tmp_path: Path) -> None:
    config = fakes(threshold=-1000)
    with create_campaign(config, tmp_path / "run") as campaign:
        turn(campaign, config)
    summary = summarise(RunView(tmp_path / "run"))
    executed = summary["solved_at"].pop("executed")
    assert summary["solved_at"] == {
        "rollouts": 2,
        "transitions": 20,
        "evaluation_rollouts": 2,
        "verdict": None,
        "p_value": None,
    }
    # two rollouts to learn from, two starts in each of two evaluations; a second each
    assert (executed["training"], executed["evaluating"], executed["rollouts"]) == (2, 4, 6)
    assert executed["robot_seconds"] == pytest.approx(6.0)
    summary["solved_at"]["executed"] = executed
    assert verdict(summary) == (
        "Solved after 2 rollouts and 20 transitions. Evaluations included, 6 rollouts in 6 s were "
        "executed until then."
    )
    assert "Solved after 2 rollouts" in text(summary)


def test_a_frugal_evaluation_says_what_decided_it_and_what_was_executed(tmp_path: Path) -> None:
    config = fakes(threshold=-1000, evaluation={"kind": "frugal", "starts": 9}, horizon=5)
    with create_campaign(config, tmp_path / "run") as campaign:
        turn(campaign, config)
    summary = summarise(RunView(tmp_path / "run"))
    (row,) = summary["evaluations"]
    number, seconds = 1 + row["evaluation_rollouts"], summary["executed"]["robot_seconds"]
    assert 1 < number < 10 and summary["executed"]["rollouts"] == number
    assert verdict(summary) == (
        f"Solved after 1 rollout and 5 transitions, and known to be after {number - 1} rollouts "
        f"of its evaluation (p = {row['p_value']:.2g}). Evaluations included, {number} rollouts in "
        f"{seconds:.2g} s were executed until then."
    )
    assert "reached" in text(summary)


def test_a_task_that_was_not_solved_is_not_said_to_be(tmp_path: Path) -> None:
    config = fakes(threshold=0.0)  # nobody gets there: every reward is negative
    with create_campaign(config, tmp_path / "run") as campaign:
        turn(campaign, config)
    summary = summarise(RunView(tmp_path / "run"))
    best = max(row["mean_return"] for row in summary["evaluations"])
    assert summary["solved_at"] is None
    assert verdict(summary) == (
        f"Not solved within 3 rollouts and 30 transitions. The best evaluation was {best:.3g}; "
        "the task counts as solved when two evaluations in a row reach 0. Evaluations included, "
        "9 rollouts in 9 s were executed."
    )


def test_what_a_lab_pays_for_is_counted(tmp_path: Path) -> None:
    # of two fixed starts in each evaluation; the fourth rollout is the second to learn from, and
    # fails once the robot has begun
    config = fakes(stop_when_solved=False)
    oracle = FakeOracle(failures={3: "failed"})
    with create_campaign(config, tmp_path / "run") as campaign:
        loop.run(campaign, oracle, lambda event: None)
    run = RunView(tmp_path / "run")
    executed = run.executed()
    assert executed is not None and run.totals.rollouts == 2
    assert executed.training == 3
    assert executed.rollouts == len(oracle.submitted)
    assert executed.robot_seconds == pytest.approx(len(oracle.submitted) * 1.0)
    assert run.executed(until=1) == (1, pytest.approx(1.0), 2, pytest.approx(2.0))


def test_a_task_without_a_threshold_is_never_solved() -> None:
    summary = {
        "solved_at": None,
        "threshold": None,
        "evaluations": [{"mean_return": None}, {"mean_return": 3.0}],
        "evaluation_kind": "full",
        "not_evaluated": {},
        "rollouts": 1,
        "transitions": 7,
        "executed": None,  # as where an earlier robo-al made the evaluations
    }
    assert verdict(summary) == (
        "Recorded 1 rollout and 7 transitions. The best evaluation was 3; the task has no "
        "threshold from which it counts as solved."
    )
    assert executed_in_words(summary["executed"]).startswith("not known: an earlier robo-al")
    assert verdict(summary | {"evaluations": [{"mean_return": None}]}).startswith(
        "Recorded 1 rollout and 7 transitions. Every evaluation failed; "
    )


def test_a_policy_that_was_not_evaluated_is_not_said_to_have_failed(tmp_path: Path) -> None:
    config = fakes(threshold=0.0, evaluation={"every": 0, "starts": 2})
    with create_campaign(config, tmp_path / "run") as campaign:
        turn(campaign, config)
    summary = summarise(RunView(tmp_path / "run"))
    assert summary["solved"] is None and summary["solved_at"] is None
    assert verdict(summary) == (
        "Recorded 3 rollouts and 30 transitions. The policy was not evaluated: the configuration "
        "says evaluation.every: 0."
    )


@pytest.mark.parametrize(("threshold", "solved"), [(0.0, False), (-1000.0, True)])
def test_solved_is_null_where_nobody_can_know(
    threshold: float, solved: bool, tmp_path: Path
) -> None:
    config = fakes(threshold=threshold)
    with create_campaign(config, tmp_path / "run") as campaign:
        assert summarise(RunView(tmp_path / "run"))["solved"] is None
        turn(campaign, config)
    assert summarise(RunView(tmp_path / "run"))["solved"] is solved


@pytest.mark.parametrize("width", [60, 40, 25])
def test_a_summary_fits_a_narrow_terminal(width: int, tmp_path: Path) -> None:
    config = fakes(env={"name": "robo_al.testing:FakeEnv"})
    with create_campaign(config, tmp_path / "run") as campaign:
        turn(campaign, config)
    shown = text(summarise(RunView(tmp_path / "run")), width)
    assert max(map(len, shown.splitlines())) <= width
    for whole in ("3 rollouts and", "30 transitions", "3 recorded", "3 of 3"):
        assert whole in shown


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(RunFolderError, match="no run here"):
            summarise(RunView(folder))
    (tmp_path / "config.yaml").write_text("env: pendulum")
    with pytest.raises(RunFolderError, match="no run here"):
        summarise(RunView(tmp_path))
    (tmp_path / "ledger.sqlite").write_text("no ledger at all, but long enough to look like one")
    with pytest.raises(RunFolderError, match="ledger"):
        summarise(RunView(tmp_path))
