"""The figures of one strategy, against what can be reckoned by hand."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from robo_al.compare.analysis import as_run
from robo_al.compare.figures import (
    Runs,
    calibration,
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
