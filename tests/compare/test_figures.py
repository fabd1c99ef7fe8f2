"""The figures of one strategy, against what can be reckoned by hand."""

import dataclasses
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robo_al.compare.analysis import as_run
from robo_al.compare.figures import (
    Runs,
    calibration,
    curve_over,
    figures,
    learning_curve,
    rollouts_to_solved,
    runs_that_count,
)
from robo_al.compare.plan import TaskPlan

synthetic = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic.py"))))
TASK = TaskPlan("pendulum", -10.0, 6, "return")


def draw(figure: str) -> np.random.Generator:
    """Return a generator for any figure."""
    return np.random.default_rng(0)


def counted(*returns: list[float | None], failed: str | None = None) -> Runs:
    """Return runs that were evaluated after each rollout."""
    records = [
        synthetic.run_of(TASK, "ucb", seed, values, failed) for seed, values in enumerate(returns)
    ]
    return runs_that_count([as_run(record) for record in records])


def test_only_complete_runs_and_evaluations_with_a_return_count() -> None:
    runs = counted([-30, None, -20])
    assert [list(rollouts) for rollouts in runs.rollouts] == [[1, 3]]
    assert list(runs.final_returns) == [-20]
    assert len(counted([-30.0], failed="it broke")) == 0
    assert len(counted([None, None])) == 0


def test_rollouts_to_solved_count_the_censored() -> None:
    late, never = [-30.0, -30.0, -30.0, -5.0, -5.0], [-30.0] * 6
    assert rollouts_to_solved(counted([-5, -5], late, never), 6) == {
        "median": 5, "low": 2, "high": None, "censored": 1,
    }  # fmt: skip
    assert rollouts_to_solved(counted(late, never, never), 6)["median"] is None


def test_learning_curve_holds_each_evaluation_until_the_next_and_the_last_to_the_budget() -> None:
    runs = counted([-40, None, -20], [-30, -5, -5], [-35, -30, -20])
    curve = learning_curve(runs, 6, draw("curve"))
    assert curve["rollouts"] == [1, 2, 3, 6]
    assert curve["value"] == pytest.approx([-35, -25, -15, -15])
    assert all(
        low <= value <= high
        for low, value, high in zip(curve["low"], curve["value"], curve["high"], strict=True)
    )


def test_learning_curve_begins_where_every_run_has_been_evaluated() -> None:
    assert learning_curve(counted([-40, -30], [None, -20]), 6, draw("curve"))["rollouts"] == [2, 6]


def test_learning_curve_of_one_run_has_no_band() -> None:
    curve = learning_curve(counted([-40, -30]), 6, draw("curve"))
    assert curve["value"] == [-40, -30, -30]
    assert curve["low"] is curve["high"] is None


def test_learning_curve_over_seconds_goes_as_far_as_the_longest_run() -> None:
    runs = [
        {"evaluations": rows, "failed": None, "seed": seed, "solved_at": None, "cpu_seconds": 1.0,
         "information": []}
        for seed, rows in enumerate([
            [evaluated(1, 10, -40.0, 1.0), evaluated(2, 20, -20.0, 2.0)],
            [evaluated(1, 5, -30.0, 0.5), evaluated(2, 15, -10.0, 4.0)],
        ])
    ]  # fmt: skip
    counted = runs_that_count(runs)
    seconds = curve_over("robot_seconds", counted, draw("curve"))
    assert seconds is not None and seconds["robot_seconds"] == [1.0, 2.0, 4.0]
    assert seconds["value"] == [-35, -25, -15]
    transitions = curve_over("transitions", counted, draw("curve"))
    assert transitions is not None and transitions["transitions"] == [10, 15, 20]
    assert transitions["value"] == [-35, -25, -15]
    runs[0]["evaluations"][0]["robot_seconds"] = None
    assert curve_over("robot_seconds", runs_that_count(runs), draw("curve")) is None


def test_the_bad_end_of_an_evaluation_is_that_of_each_run() -> None:
    records = [
        dataclasses.replace(record, final_returns=tuple(-np.arange(11.0) * (seed + 1)))
        for seed, record in enumerate(synthetic.learning(TASK, {"ucb": 0.3}, range(4)))
    ]
    found = figures(runs_that_count([as_run(record) for record in records]), None, 6, draw)
    assert found["final_tails"]["lowest"]["value"] == np.mean([-20, -30])
    assert found["final_tails"]["tenth"]["value"] == np.mean([-18, -27])
    unknown = figures(counted([-5, -5]), None, 6, draw)["final_tails"]
    assert unknown["lowest"]["value"] is None


def evaluated(rollouts: int, transitions: int, value: float, seconds: float) -> dict[str, Any]:
    """Return an evaluation as `comparison.json` has it."""
    return {
        "rollouts": rollouts,
        "transitions": transitions,
        "mean_return": value,
        "robot_seconds": seconds,
    }


def test_calibration_is_of_ratios_and_ranks() -> None:
    information = np.array([[1.0, 2.0], [2.0, 1.0], [4.0, 12.0], [0.0, 5.0]])
    assert calibration(information) == {
        "realised_over_predicted": 2.0,
        "correlation": pytest.approx(0.5),
        "rollouts": 3,
    }


def test_calibration_says_nothing_where_nothing_was_predicted() -> None:
    assert calibration(np.empty((0, 2))) is None
    assert calibration(np.array([[0.0, 1.0]])) is None
    same = calibration(np.array([[1.0, 1.0], [1.0, 2.0]]))
    assert same is not None
    assert same["correlation"] is None


def test_figures_of_no_runs_are_null() -> None:
    found = figures(counted(), -10.0, 6, draw)
    nothing = {"value": None, "low": None, "high": None}
    assert found["final_return_iqm"] == found["area_under_curve_iqm"] == nothing
    assert found["cpu_seconds"] == nothing
    assert found["learning_curve"] is found["calibration"] is None
    assert found["rollouts_to_solved"] is None


def test_a_task_without_threshold_is_not_solved() -> None:
    assert figures(counted([-5, -5]), None, 6, draw)["rollouts_to_solved"] is None
