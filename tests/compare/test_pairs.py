"""What is found of two strategies, on runs whose truth is known."""

import runpy
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robo_al.compare.analysis import as_run
from robo_al.compare.figures import Runs, runs_that_count
from robo_al.compare.pairs import Goal, against, goal_of
from robo_al.compare.plan import TaskPlan

synthetic = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic.py"))))
TASK = TaskPlan("pendulum", -10.0, 6, "return")


def draw(figure: str) -> np.random.Generator:
    """Return a generator for any figure."""
    return np.random.default_rng(0)


def counted(*returns: Sequence[float | None], task: TaskPlan = TASK) -> Runs:
    """Return runs that were evaluated after each rollout."""
    records = [synthetic.run_of(task, "ucb", seed, values) for seed, values in enumerate(returns)]
    return runs_that_count([as_run(record) for record in records])


def test_goal_at_the_threshold_needs_two_evaluations_in_a_row() -> None:
    runs = counted([-5, -30, -5, -5], [-30, -30, -5, -30])
    times, reached = Goal(-10.0, threshold=True).times(runs, budget=6)
    assert list(times) == [4, 6]
    assert list(reached) == [True, False]


def test_goal_elsewhere_is_reached_at_the_first_evaluation() -> None:
    runs = counted([-5, -30, -5, -5], [-30, -30, -25, -30])
    times, reached = Goal(-7.0, threshold=False).times(runs, budget=6)
    assert list(times) == [1, 6]
    assert list(reached) == [True, False]


def test_goal_is_the_threshold_where_one_of_the_two_solves_half_of_the_seeds() -> None:
    solving, failing = [-30.0, -5.0, -5.0], [-30.0] * 6
    mostly, seldom = counted(solving, solving, failing), counted(solving, failing, failing)
    never = counted(failing, failing, failing)
    for pair in ((mostly, never), (never, mostly), (mostly, seldom)):
        assert goal_of(*pair, -10.0) == Goal(-10.0, threshold=True)
    for pair in ((seldom, never), (never, seldom)):
        assert goal_of(*pair, -10.0) is None  # in the median nobody got anywhere


def test_goal_is_most_of_the_way_that_the_better_runs_went_and_no_further_than_solved() -> None:
    better, worse = counted([-100, -50, -20], [-100, -60, -20]), counted([-100] * 3, [-100] * 3)
    assert goal_of(better, worse, None) == goal_of(worse, better, None)
    assert goal_of(better, worse, None) == Goal(pytest.approx(-28), threshold=False)
    beyond = counted([-100, -11, -2], [-100, -60, -2])
    assert goal_of(beyond, worse, -15.0) == Goal(-15.0, threshold=False)


def test_goal_does_not_depend_on_whose_run_of_a_seed_is_whose() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 8, 6)).cumsum(axis=2)
    swapped = rng.random((8, 1)) < 0.5
    pair = counted(*one.tolist()), counted(*two.tolist())
    other = np.where(swapped, two, one).tolist(), np.where(swapped, one, two).tolist()
    assert goal_of(*pair, None) == goal_of(*(counted(*runs) for runs in other), None)


def found(own: Runs, random: Runs, threshold: float | None = None, budget: int = 20) -> Any:
    """Return how the runs compare."""
    return against(own, random, threshold, budget, (), draw)


def test_a_strategy_that_never_learns_is_worse_where_nobody_solves_the_task() -> None:
    rng = np.random.default_rng(0)
    random = np.linspace(-100, -20, 20) + rng.normal(size=(30, 20))
    never = -100 + rng.normal(size=(30, 20))
    own = found(counted(*never.tolist()), counted(*random.tolist()), 50.0)
    assert own["rollouts_saved"]["high"] < -1
    assert own["not_reached"] == {"own": 30, "reference": 0}
    assert own["return_gained"]["value"] == pytest.approx(-80, abs=1)
    assert all(test["wins"] == 0 and test["p"] < 1e-6 for test in own["tests"].values())


def test_solving_it_with_the_last_rollout_is_more_than_not_solving_it() -> None:
    last, never = [-30.0] * 4 + [-5.0, -5.0], [-30.0] * 6
    own = found(counted(*[never] * 12), counted(*[last] * 12), -10.0, 6)
    assert own["goal"] == {"level": -10.0, "threshold": True}
    assert own["rollouts_saved"]["value"] == -1
    assert own["tests"]["rollouts"]["losses"] == 12


def test_an_end_that_is_six_times_as_wrong_is_found() -> None:
    rng = np.random.default_rng(1)
    noise = rng.uniform(0.8, 1.2, size=(2, 12, 6))
    random = -np.array([1.0, 0.4, 0.1, 0.05, 0.05, 0.05]) * noise[0]
    worse = -np.array([1.0, 0.35, 0.3, 0.3, 0.3, 0.3]) * noise[1]
    logged = TaskPlan("logged", None, 6, "minus held-out error")
    own = found(*(counted(*runs.tolist(), task=logged) for runs in (worse, random)), None, 6)
    assert own["rollouts_saved"]["high"] < 0 and own["return_gained"]["high"] < -0.2


def test_where_nobody_gets_better_only_what_they_end_with_is_compared() -> None:
    own = found(counted(*[[-20.0, -50.0]] * 6), counted(*[[-20.0, -40.0]] * 6))
    assert own["goal"] is own["rollouts_saved"] is None
    assert list(own["tests"]) == ["return"]
    assert own["return_gained"]["value"] == -10


def test_planned_seeds_are_tested_once_all_of_them_have_run() -> None:
    own = counted(*[[-50.0, -10.0 - i / 10] for i in range(8)])
    random = counted(*[[-50.0, -20.0] for _ in range(8)])
    test = against(own, random, None, 4, range(8), draw)["tests"]["return"]
    assert test["planned_p"] == 2 / 2**8 and test["p"] == 4 / 2**8
    early = against(own, random, None, 4, range(9), draw)["tests"]["return"]
    assert early["planned_p"] is None and early["p"] == 2 * early["anytime_p"]
    more = against(own, random, None, 4, range(6), draw)["tests"]["return"]
    assert more["planned_p"] == 2 / 2**6
