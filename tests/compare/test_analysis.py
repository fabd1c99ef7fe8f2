"""Every figure of a comparison follows from its runs, and no more is claimed than they say."""

import dataclasses
import json
import runpy
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from robo_al.compare.analysis import analyse
from robo_al.compare.plan import TaskPlan
from robo_al.compare.records import Evaluation, RunRecord

synthetic = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic.py"))))

PENDULUM = TaskPlan("pendulum", -30.0, 20, "return")
HARD = TaskPlan("hard", 50.0, 20, "return")
LOGGED = TaskPlan("logged", None, 12, "minus held-out error")
TASKS = (PENDULUM, HARD, LOGGED)
STRATEGIES = ("random", "joint_information", "ucb")
BOUNDS = ("true_dynamics", "all_knowing")
SEEDS = tuple(range(7))
RATES = {"random": 0.12, "joint_information": 0.3, "ucb": 0.12, "all_knowing": 0.4}


def records_of(tasks: Sequence[TaskPlan]) -> list[RunRecord]:
    """Return a run for each task, strategy, bound and seed."""
    return [
        record
        for task in tasks
        for record in (
            *synthetic.learning(task, RATES, SEEDS),
            *(synthetic.run_of(task, "true_dynamics", seed, [-5.0 - seed]) for seed in SEEDS),
        )
    ]


RECORDS = records_of(TASKS)


def compared(
    records: Sequence[RunRecord],
    tasks: Sequence[TaskPlan] = (PENDULUM,),
    strategies: Sequence[str] = STRATEGIES,
    seeds: Sequence[int] = SEEDS,
    bounds: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the analysis of some runs."""
    return analyse(tasks, (*strategies, *bounds), seeds, bounds, records)


@pytest.fixture(scope="module")
def comparison() -> dict[str, Any]:
    """A whole comparison, as it is read from its file."""
    found = compared(RECORDS, TASKS, bounds=BOUNDS)
    return json.loads(json.dumps(found, allow_nan=False))  # type: ignore[no-any-return]


# ---------------------------------------------------------------- from the runs alone


def records_from(comparison: dict[str, Any]) -> list[RunRecord]:
    """Return the records that `runs` were made from."""
    return [
        RunRecord(
            task=task,
            strategy=strategy,
            seed=run["seed"],
            evaluations=tuple(Evaluation(**row) for row in run["evaluations"]),
            solved_at=run["solved_at"] and Evaluation(**run["solved_at"], mean_return=None),
            failed=run["failed"],
            cpu_seconds=run["cpu_seconds"],
            information=tuple((a, b) for a, b in run["information"]),
        )
        for task, result in comparison["tasks"].items()
        for strategy, own in (result["strategies"] | result["bounds"]).items()
        for run in own["runs"]
    ]


def test_everything_follows_from_the_runs(comparison: dict[str, Any]) -> None:
    tasks = [
        TaskPlan(name, result["threshold"], result["budget"], result["measure"])
        for name, result in comparison["tasks"].items()
    ]
    again = analyse(
        tasks,
        comparison["strategies"] + comparison["bounds"],
        comparison["seeds"],
        comparison["bounds"],
        records_from(comparison)[::-1],
    )
    assert json.loads(json.dumps(again)) == comparison


def held(run: dict[str, Any], budget: int) -> list[float]:
    """Return the evaluation that holds at each rollout from the first to the budget."""
    rows = {row["rollouts"]: row["mean_return"] for row in run["evaluations"]}
    returns, last = [], None
    for rollouts in range(1, budget + 1):
        last = rows.get(rollouts, last)
        returns.append(last)
    return returns  # type: ignore[return-value]


def spent(run: dict[str, Any], result: dict[str, Any]) -> float:
    """Return the rollouts that a run needed for the return at which strategies are compared."""
    level, budget = result["goal"]["level"], result["budget"]
    if result["goal"]["threshold"]:
        return float(run["solved_at"]["rollouts"] if run["solved_at"] else budget)
    reached = [row["rollouts"] for row in run["evaluations"] if row["mean_return"] >= level]
    return float(min([*reached, budget]))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_figures_are_reckoned_again(comparison: dict[str, Any], task: str, strategy: str) -> None:
    result = comparison["tasks"][task]
    own, random = result["strategies"][strategy], result["strategies"]["random"]
    budget = result["budget"]
    curves = [held(run, budget) for run in own["runs"]]
    areas = [np.mean(curve[: budget - 1]) for curve in curves]
    for name, values in {
        "final_return_iqm": [curve[-1] for curve in curves],
        "area_under_curve_iqm": areas,
        "cpu_seconds": [run["cpu_seconds"] for run in own["runs"]],
    }.items():
        assert own[name]["value"] == pytest.approx(stats.trim_mean(values, 0.25)), name
        assert own[name]["low"] <= own[name]["value"] <= own[name]["high"]
    for rollouts, value in zip(*map(own["learning_curve"].get, ("rollouts", "value")), strict=True):
        there = [curve[rollouts - 1] for curve in curves]
        assert value == pytest.approx(stats.trim_mean(there, 0.25))
    if strategy == "random":
        assert own["rollouts_saved"] is own["p_better_than_random"] is own["paired_p"] is None
        return
    pairs = zip(random["runs"], own["runs"], strict=True)
    saved = [spent(theirs, result) - spent(mine, result) for theirs, mine in pairs]
    assert own["rollouts_saved"]["value"] == pytest.approx(np.mean(saved))
    areas_random = [np.mean(held(run, budget)[: budget - 1]) for run in random["runs"]]
    better = [(a > b) + (a == b) / 2 for a in areas for b in areas_random]
    assert own["p_better_than_random"]["value"] == pytest.approx(np.mean(better))


def test_solved_runs_are_reckoned_again(comparison: dict[str, Any]) -> None:
    strategies = comparison["tasks"]["pendulum"]["strategies"]
    times = {
        name: [run["solved_at"]["rollouts"] for run in own["runs"]]
        for name, own in strategies.items()
    }
    for name, own in strategies.items():
        assert own["rollouts_to_solved"]["median"] == np.median(times[name])
        assert own["rollouts_to_solved"]["censored"] == 0
    better = strategies["joint_information"]
    a, b = (stats.CensoredData(times[name]) for name in ("joint_information", "random"))
    assert better["log_rank_p"] == pytest.approx(stats.logrank(a, b).pvalue)
    differences = np.subtract(times["random"], times["joint_information"])
    assert (differences > 0).all()
    assert better["paired_p"] == pytest.approx(2 / 2 ** len(SEEDS))


def test_another_strategy_changes_no_figure(comparison: dict[str, Any]) -> None:
    alone = compared(RECORDS, (PENDULUM,), ("random", "ucb"))
    before = comparison["tasks"]["pendulum"]["strategies"]["ucb"]
    after = json.loads(json.dumps(alone["tasks"]["pendulum"]["strategies"]["ucb"]))
    of_the_family = ("paired_p_holm", "seeds_needed")
    assert {k: v for k, v in after.items() if k not in of_the_family} == {
        k: v for k, v in before.items() if k not in of_the_family
    }


# ---------------------------------------------------------------- what is claimed


RANDOM = (9, 10, 8, 11, 9, 10, 8, 9, 10, 12)
TEN = tuple(range(10))


def against_random(**times: Sequence[int | None]) -> dict[str, Any]:
    """Return the analysis of strategies that solved the pendulum after so many rollouts."""
    everyone = {"random": RANDOM[: len(next(iter(times.values())))]} | times
    records = [
        record
        for name, each in everyone.items()
        for record in synthetic.solving(PENDULUM, name, each)
    ]
    seeds = range(len(everyone["random"]))
    return compared(records, strategies=tuple(everyone), seeds=seeds)["tasks"]["pendulum"]


def test_a_difference_is_claimed_in_whichever_direction() -> None:
    found = against_random(
        good=[time - 2 - seed % 3 for seed, time in enumerate(RANDOM)],
        bad=[time + 1 + seed % 2 for seed, time in enumerate(RANDOM)],
        same=[time + (-1) ** seed for seed, time in enumerate(RANDOM)],
    )["strategies"]
    assert {name: own["difference"] for name, own in found.items()} == {
        "random": None, "good": "fewer", "bad": "more", "same": "not found",
    }  # fmt: skip
    assert found["good"]["rollouts_saved"]["value"] == pytest.approx(2.9)
    assert found["good"]["sentence"].startswith("needed 2.9 rollouts fewer than random (95 % ")
    assert found["good"]["sentence"].endswith(", 10 seeds)")
    assert found["bad"]["sentence"].startswith("needed 1.5 rollouts more than random (95 % ")
    assert found["same"]["sentence"] == "was not found to differ from random with 10 seeds"


def test_p_values_are_corrected_by_holm() -> None:
    found = against_random(
        good=[time - 3 for time in RANDOM],
        fair=[time - 2 + 3 * (seed in (1, 4)) for seed, time in enumerate(RANDOM)],
        same=[time + (-1) ** seed for seed, time in enumerate(RANDOM)],
    )["strategies"]
    raw = [found[name]["paired_p"] for name in ("good", "fair", "same")]
    assert raw == sorted(raw)
    first = 3 * raw[0]
    second = max(first, 2 * raw[1])
    assert [found[name]["paired_p_holm"] for name in ("good", "fair", "same")] == pytest.approx(
        [first, second, max(second, raw[2])]
    )


def test_the_interval_alone_is_not_enough() -> None:
    found = against_random(good=[5, 6, 4, 8, 5])["strategies"]["good"]
    assert found["rollouts_saved"]["low"] > 0
    assert found["paired_p_holm"] == pytest.approx(2 / 2**5)
    assert found["difference"] == "not found"
    assert found["sentence"] == (
        "was not found to differ from random with 5 seeds. So few seeds cannot show a difference, "
        "however large it is; 6 seeds could"
    )


@pytest.mark.parametrize(("others", "needed"), [(1, 6), (4, 8)])
def test_seeds_needed_are_the_fewest_that_could_tell(others: int, needed: int) -> None:
    found = against_random(**{f"s{i}": [5, 6] for i in range(others)})["strategies"]["s0"]
    assert found["seeds_needed"] == needed
    assert others * 2 / 2**needed <= 0.05 < others * 2 / 2 ** (needed - 1)


def test_runs_that_never_solved_it_count_as_the_budget() -> None:
    found = against_random(good=[8, None, 8, 8, None, 8, 8, 8, 8, 8])["strategies"]["good"]
    saved = [time - 8 for time in RANDOM]
    saved[1], saved[4] = RANDOM[1] - 20, RANDOM[4] - 20
    assert found["rollouts_to_solved"]["censored"] == 2
    assert found["rollouts_saved"]["value"] == pytest.approx(np.mean(saved))


# ---------------------------------------------------------------- where less can be told


def test_a_task_that_nobody_solved_is_compared_at_what_random_ended_with(
    comparison: dict[str, Any],
) -> None:
    result = comparison["tasks"]["hard"]
    ends = [run["evaluations"][-1]["mean_return"] for run in result["strategies"]["random"]["runs"]]
    assert result["goal"] == {
        "level": pytest.approx(stats.trim_mean(ends, 0.25)),
        "threshold": False,
    }
    better = result["strategies"]["joint_information"]
    assert better["difference"] == "fewer"
    assert f" to reach a return of {result['goal']['level']:.3g} (95 %" in better["sentence"]


def test_failed_runs_are_in_no_figure_and_in_the_runs() -> None:
    seeds = SEEDS[:4]
    wrong = ("joint_information", 2)
    broken = [
        dataclasses.replace(record, failed="it broke")
        if (record.strategy, record.seed) == wrong
        else record
        for record in RECORDS
    ]
    without = [record for record in RECORDS if (record.strategy, record.seed) != wrong]
    found, missing = (
        compared(records, seeds=seeds)["tasks"]["pendulum"]["strategies"]
        for records in (broken, without)
    )
    own = found["joint_information"]
    assert [run["failed"] for run in own["runs"]] == [None, None, "it broke", None]
    assert missing["joint_information"]["runs"][2]["failed"] == "not finished"
    assert own["seeds_compared"] == 3
    assert found["ucb"]["seeds_compared"] == 4
    for strategies in (found, missing):
        del strategies["joint_information"]["runs"]
    assert found == missing


def test_an_evaluated_run_without_any_return_has_failed() -> None:
    records = [synthetic.run_of(PENDULUM, "random", 0, [None, None])]
    run = compared(records, seeds=(0,))["tasks"]["pendulum"]["strategies"]["random"]["runs"][0]
    assert run["failed"] == "no evaluation gave a return"


@pytest.mark.parametrize("strategies", [("ucb",), STRATEGIES])
def test_nothing_has_run_yet(strategies: tuple[str, ...]) -> None:
    found = compared([], TASKS, strategies, bounds=BOUNDS)
    json.dumps(found, allow_nan=False)
    assert found["overall"]["strategies"] == {}
    for result in found["tasks"].values():
        assert result["goal"] is None
        for own in (result["strategies"] | result["bounds"]).values():
            assert own["sentence"] == "has no complete run yet"


def test_without_random_nothing_is_compared() -> None:
    found = compared(RECORDS, strategies=("joint_information", "ucb"))["tasks"]["pendulum"]
    for own in found["strategies"].values():
        assert own["rollouts_saved"] is own["difference"] is None
        assert own["rollouts_to_solved"]["median"] is not None


def test_one_seed_tells_no_difference() -> None:
    own = compared(RECORDS, seeds=(3,))["tasks"]["pendulum"]["strategies"]["joint_information"]
    assert own["rollouts_saved"]["value"] > 0
    assert own["rollouts_saved"]["low"] is own["paired_p"] is own["difference"] is None
    assert own["sentence"] == (
        "cannot be compared with random, because that takes complete runs of both for at least two "
        "seeds, and there is one"
    )


def test_runs_without_a_common_seed_are_not_paired() -> None:
    records = [
        record for record in RECORDS if (record.strategy == "random") == (record.seed % 2 == 0)
    ]
    own = compared(records)["tasks"]["pendulum"]["strategies"]["joint_information"]
    assert own["seeds_compared"] == 0
    assert own["rollouts_saved"] is None


def test_the_last_batch_may_go_beyond_the_budget() -> None:
    records = synthetic.solving(PENDULUM, "random", [21, None])
    found = compared(records, strategies=("random",), seeds=(0, 1))["tasks"]["pendulum"]
    assert found["budget"] == 21


# ---------------------------------------------------------------- bounds, all tasks


def test_bounds_do_not_compete(comparison: dict[str, Any]) -> None:
    assert comparison["strategies"] == list(STRATEGIES)
    assert comparison["bounds"] == list(BOUNDS)
    result = comparison["tasks"]["pendulum"]
    assert list(result["strategies"]) == list(STRATEGIES)
    assert list(result["bounds"]) == list(BOUNDS)
    assert set(comparison["overall"]["strategies"]) == set(STRATEGIES)
    knowing = result["bounds"]["all_knowing"]
    assert knowing["paired_p_holm"] == knowing["paired_p"]  # a family of its own
    without = compared(RECORDS)["tasks"]["pendulum"]
    assert json.loads(json.dumps(without["strategies"])) == result["strategies"]
    assert without["answer"] == result["answer"]


def test_a_perfect_model_is_a_return_and_nothing_else(comparison: dict[str, Any]) -> None:
    own = comparison["tasks"]["pendulum"]["bounds"]["true_dynamics"]
    ends = [-5.0 - seed for seed in SEEDS]
    assert own["final_return_iqm"]["value"] == pytest.approx(stats.trim_mean(ends, 0.25))
    assert own["rollouts_to_solved"] is own["rollouts_saved"] is own["difference"] is None
    assert own["area_under_curve_iqm"] is None
    assert own["sentence"].startswith(
        "plans with a perfect model, and ends with a return of -8 (95 % interval "
    )
    assert own["sentence"].endswith(", 7 seeds)")


def test_scores_lie_between_the_worst_and_the_best_evaluation(comparison: dict[str, Any]) -> None:
    overall = comparison["overall"]
    scores: dict[str, list[float]] = {name: [] for name in STRATEGIES}
    for task, result in comparison["tasks"].items():
        ends = {
            name: [run["evaluations"][-1]["mean_return"] for run in own["runs"]]
            for name, own in result["strategies"].items()
        }
        seen = [
            row["mean_return"]
            for own in result["strategies"].values()
            for run in own["runs"]
            for row in run["evaluations"]
        ]
        worst, best = min(seen), max(seen)
        assert overall["ranges"][task] == {"worst": worst, "best": best}
        for name, values in ends.items():
            scores[name] += [(value - worst) / (best - worst) for value in values]
    for name, own in overall["strategies"].items():
        assert own["runs"] == len(scores[name]) == 21
        assert own["normalised_iqm"]["value"] == pytest.approx(stats.trim_mean(scores[name], 0.25))
        at_half = overall["scores"].index(0.5)
        reached = np.mean([score >= 0.5 for score in scores[name]])
        assert own["performance_profile"][at_half] == pytest.approx(reached)


def test_one_task_is_not_all_tasks() -> None:
    records = [
        synthetic.run_of(HARD, name, 0, [-150.0, -115.0 - i]) for i, name in enumerate(STRATEGIES)
    ]
    overall = compared(records, (HARD,), seeds=(0,))["overall"]
    assert overall["ranges"] == overall["strategies"] == {}


def test_returns_that_are_nearly_alike_are_not_stretched() -> None:
    tasks = [TaskPlan(name, None, 2, "return") for name in ("learned", "other", "flat")]
    records = [
        synthetic.run_of(task, name, 0, returns)
        for i, name in enumerate(STRATEGIES)
        for task, returns in zip(
            tasks, ([-500.0, -115.0 - i], [0.0, 1.0], [-25.0, -25.0 - i / 100]), strict=True
        )
    ]
    overall = compared(records, tasks, seeds=(0,))["overall"]
    assert list(overall["ranges"]) == ["learned", "other"]
    for own in overall["strategies"].values():
        assert own["tasks"] == 2
        assert own["normalised_iqm"]["value"] > 0.99
