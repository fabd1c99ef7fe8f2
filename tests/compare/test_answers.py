"""Sentences that a reader who knows no statistics can act on."""

import re
import runpy
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from robo_al.compare import answers
from robo_al.compare.analysis import analyse
from robo_al.compare.plan import TaskPlan
from robo_al.compare.records import RunRecord

synthetic = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic.py"))))

TASK = TaskPlan("pendulum", -30.0, 20, "return")
RANDOM = (9, 10, 8, 11, 9, 10, 8)


def answer(seeds: int, *records: Sequence[RunRecord], strategies: str = "random good") -> str:
    """Return the answer to a task."""
    found = _analysis(seeds, *records, strategies=strategies)
    return str(found["tasks"]["pendulum"]["answer"])


def _analysis(seeds: int, *records: Sequence[RunRecord], strategies: str) -> dict[str, Any]:
    runs = [record for each in records for record in each]
    return analyse([TASK], strategies.split(), range(seeds), (), runs)


def solving(name: str, times: Sequence[int | None]) -> list[RunRecord]:
    """Return runs that solved the task after so many rollouts."""
    return synthetic.solving(TASK, name, times)  # type: ignore[no-any-return]


def test_a_difference_comes_first_then_the_medians() -> None:
    good = solving("good", [5, 7, 5, 7, 6, 8, 5])
    said = (
        r"good needed 3\.1 rollouts fewer than random \(95 % interval (.*) to (.*), 7 seeds\)\. "
        r"In the median of its runs, good needed the fewest rollouts to solve the task: "
        r"6 rollouts; random needed 9\."
    )
    found = re.fullmatch(said, answer(7, solving("random", RANDOM), good))
    assert found
    assert 0 < float(found[1]) < 3.1 < float(found[2])


def test_one_rollout_is_one_rollout() -> None:
    good = solving("good", [time - 1 for time in RANDOM])
    assert answer(7, solving("random", RANDOM), good).startswith(
        "good needed 1 rollout fewer than random (95 % interval 1 to 1, 7 seeds)."
    )


def test_no_difference_says_so_and_whether_one_could_be_found() -> None:
    same = [9, 8, 9, 10, 10, 9, 10]
    assert answer(7, solving("random", RANDOM), solving("good", same)) == (
        "No difference from random was found with 7 seeds. "
        "In the median of its runs, every strategy needed 9 rollouts to solve the task."
    )
    assert answer(3, solving("random", RANDOM[:3]), solving("good", [5, 6, 4])) == (
        "No difference from random was found with 3 seeds. So few seeds cannot show a difference, "
        "however large it is; 6 seeds could. In the median of its runs, good needed the fewest "
        "rollouts to solve the task: 5 rollouts; random needed 9."
    )


def test_strategies_with_fewer_seeds_are_told_as_a_span() -> None:
    found = answer(
        3,
        solving("random", RANDOM[:3]), solving("good", [5, 6, 4]), solving("late", [5, 6]),
        strategies="random good late",
    )  # fmt: skip
    assert "was found with 2 to 3 seeds. So few" in found and "; 8 seeds could." in found


def test_nothing_solved() -> None:
    records = solving("random", [None, None]), solving("good", [None, None])
    assert answer(2, *records) == (
        "No complete run solved pendulum within 20 rollouts: none had two evaluations in a row at "
        "or above -30. No difference from random was found with "
        "2 seeds. So few seeds cannot show a difference, however large it is; 6 seeds could."
    )


def test_a_median_that_random_does_not_reach() -> None:
    found = answer(2, solving("random", [None, None]), solving("good", [5, 6]))
    assert found.endswith(
        "good needed the fewest rollouts to solve the task: 5 rollouts; half of the runs of random "
        "or more did not solve it."
    )


@pytest.mark.parametrize(
    ("records", "strategies", "said"),
    [
        ([], "random good", "No run of pendulum is complete yet."),
        (
            solving("good", [5]),
            "good",
            "Whether choosing rollouts helps cannot be told, because random is not among the "
            "strategies. In the median of its runs, good needed the fewest rollouts to solve the "
            "task: 5 rollouts.",
        ),
        (
            solving("good", [5]),
            "random good",
            "Nothing can be compared yet: there is no complete run of random. In the median of its "
            "runs, good needed the fewest rollouts to solve the task: 5 rollouts.",
        ),
        (
            solving("random", [6]) + solving("good", [5]),
            "random good",
            "No strategy can be compared with random yet, because that takes complete runs of both "
            "for at least two seeds. In the median of its runs, good needed the fewest rollouts to "
            "solve the task: 5 rollouts; random needed 6.",
        ),
    ],
)
def test_what_cannot_be_told(records: list[RunRecord], strategies: str, said: str) -> None:
    assert answer(1, records, strategies=strategies) == said
    found = _analysis(1, records, strategies=strategies)
    assert found["answer"] == said  # one task: its answer is the comparison's


def task_of(**claims: str | None) -> dict[str, Any]:
    """Return as much of a task as the answer to a comparison reads."""
    strategies = {
        name: {
            "difference": claim if claim in ("fewer", "more") else None,
            "ended": claim if claim in ("higher", "lower") else None,
            "tests": {} if claim is None else {"rollouts": {}},
        }
        for name, claim in claims.items()
    }
    return {"reference": "random", "strategies": strategies}


def test_all_tasks_are_summed_up_best_first() -> None:
    tasks = {
        "pendulum": task_of(random=None, slow="more", good="fewer", late="lower"),
        "cartpole": task_of(random=None, slow="fewer", good="fewer", late="not found"),
        "reacher": task_of(random=None, slow="more", good="not found", late="higher"),
    }
    assert answers.of_comparison(tasks) == (
        "good needed fewer rollouts than random on 2 of 3 tasks (pendulum, cartpole). "
        "late ended higher than random on 1 of 3 tasks (reacher), "
        "and ended lower than random on 1 of 3 tasks (pendulum). "
        "slow needed fewer rollouts than random on 1 of 3 tasks (cartpole), "
        "and needed more rollouts than random on 2 of 3 tasks (pendulum, reacher)."
    )


def test_all_tasks_without_a_difference() -> None:
    same, nothing = task_of(random=None, good="not found"), task_of(random=None, good=None)
    assert answers.of_comparison({"a": same, "b": nothing}) == (
        "No strategy was found to differ from random on any of the 2 tasks."
    )
    assert answers.of_comparison({"a": nothing, "b": nothing}) == (
        "No strategy can be compared with random yet."
    )


def test_runs_left_out_are_counted_by_kind() -> None:
    reasons = (None, "it broke", "not finished", "not finished")
    runs: list[dict[str, Any]] = [{"failed": reason, "repeats": None} for reason in reasons]
    assert answers.left_out([{"runs": runs}]) == (
        "3 of 4 runs are left out of all figures: 1 failed and 2 are not finished."
    )
    assert answers.left_out([{"runs": runs[:2]}]) == (
        "1 of 2 runs is left out of all figures: 1 failed."
    )
    assert answers.left_out([{"runs": runs[:1]}]) == ""
    again = {"failed": "the same as seed 3", "repeats": 3}
    assert answers.left_out([{"runs": [*runs[:2], again]}]) == (
        "2 of 3 runs are left out of all figures: 1 failed and 1 repeats another seed."
    )


@pytest.mark.parametrize(("value", "said"), [(3.14, "3.1"), (12.34, "12.3"), (3.0, "3")])
def test_mean_rollouts_have_two(value: float, said: str) -> None:
    assert answers.rollouts(value) == said


@pytest.mark.parametrize(
    ("measure", "told"),
    [
        ("return", "a return that is higher"),
        ("minus held-out error", "a held-out error that is lower"),
    ],
)
def test_a_larger_error_is_no_better_end(measure, told):
    own = {
        "ended": "higher",
        "return_gained": {"value": 0.02, "low": 0.01, "high": 0.03},
        "seeds_compared": 12,
    }
    said = answers._ended(own, {"measure": measure, "reference": "random"})
    assert said.startswith(f"ended with {told} than that of random by 0.02")
