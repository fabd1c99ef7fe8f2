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
from robo_al.compare.sequential import evidence

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


def spent(run: dict[str, Any], goal: dict[str, Any], result: dict[str, Any]) -> float:
    """Return the rollouts that a run needed for the return at which strategies are compared."""
    level, budget = goal["level"], result["budget"]
    if goal["threshold"]:
        return float(run["solved_at"]["rollouts"] if run["solved_at"] else budget + 1)
    reached = [row["rollouts"] for row in run["evaluations"] if row["mean_return"] >= level]
    return float(min([*reached, budget + 1]))


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
        assert own["rollouts_saved"] is own["p_better"] is None and own["tests"] == {}
        return
    pairs = zip(random["runs"], own["runs"], strict=True)
    goal = own["goal"]
    saved = [spent(theirs, goal, result) - spent(mine, goal, result) for theirs, mine in pairs]
    assert own["rollouts_saved"]["value"] == pytest.approx(np.mean(saved))
    areas_random = [np.mean(held(run, budget)[: budget - 1]) for run in random["runs"]]
    better = [(a > b) + (a == b) / 2 for a in areas for b in areas_random]
    assert own["p_better"]["value"] == pytest.approx(np.mean(better))


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
    assert better["tests"]["rollouts"]["wins"] == len(SEEDS)


def test_another_strategy_changes_no_figure(comparison: dict[str, Any]) -> None:
    alone = compared(RECORDS, (PENDULUM,), ("random", "ucb"), bounds=BOUNDS)
    before = comparison["tasks"]["pendulum"]["strategies"]["ucb"]
    after = json.loads(json.dumps(alone["tasks"]["pendulum"]["strategies"]["ucb"]))
    of_the_family = ("seeds_needed", "sentence")
    assert {k: v for k, v in after.items() if k not in (*of_the_family, "tests")} == {
        k: v for k, v in before.items() if k not in (*of_the_family, "tests")
    }
    for name, test in after["tests"].items():
        assert test["p"] == before["tests"][name]["p"]


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
    tests = [found[name]["tests"]["rollouts"] for name in ("good", "fair", "same")]
    raw = [test["p"] for test in tests]
    assert raw == sorted(raw)
    first = 3 * raw[0]
    second = max(first, 2 * raw[1])
    expected = [min(p, 1.0) for p in (first, second, max(second, raw[2]))]
    assert [test["p_holm"] for test in tests] == pytest.approx(expected)


def test_the_interval_alone_is_not_enough() -> None:
    found = against_random(good=[5, 6, 4, 8, 5])["strategies"]["good"]
    assert found["rollouts_saved"]["low"] > 0
    assert found["tests"]["rollouts"]["p_holm"] == pytest.approx(1 / evidence(5, 0))
    assert found["difference"] == "not found"
    assert found["sentence"] == (
        "was not found to differ from random with 5 seeds. So few seeds cannot show a difference, "
        "however large it is; 6 seeds could"
    )


def test_runs_that_never_solved_it_count_as_the_budget() -> None:
    found = against_random(good=[8, None, 8, 8, None, 8, 8, 8, 8, 8])["strategies"]["good"]
    saved = [time - 8 for time in RANDOM]
    saved[1], saved[4] = RANDOM[1] - 21, RANDOM[4] - 21
    assert found["rollouts_to_solved"]["censored"] == 2
    assert found["rollouts_saved"]["value"] == pytest.approx(np.mean(saved))


# ---------------------------------------------------------------- where less can be told


def test_a_task_that_nobody_solved_is_compared_most_of_the_way() -> None:
    records = synthetic.learning(HARD, RATES, range(12))
    found = compared(records, (HARD,), seeds=range(12))["tasks"]["hard"]
    better = found["strategies"]["joint_information"]
    assert not better["goal"]["threshold"] and -15 < better["goal"]["level"] < 0
    assert better["difference"] == "fewer"
    assert f" to reach a return of {better['goal']['level']:.3g} (95 %" in better["sentence"]


def test_a_strategy_that_never_learns_is_told_to_be_worse() -> None:
    rng, records = np.random.default_rng(0), []
    for seed in range(30):
        for name, end in (("random", -20), ("never", -100)):
            returns = np.linspace(-100, end, 20) + rng.normal(size=20)
            records.append(synthetic.run_of(HARD, name, seed, returns.tolist()))
    found = compared(records, (HARD,), ("random", "never"), range(30))
    never = found["tasks"]["hard"]["strategies"]["never"]
    assert (never["difference"], never["ended"]) == ("more", "lower")
    assert never["sentence"].startswith("needed at least ")
    assert (
        "30 of its runs did not get there), and ended with a return that is lower"
        in (found["answer"])
    )


def test_a_third_strategy_changes_no_claim_about_two() -> None:
    rng, records = np.random.default_rng(1), []
    for seed in range(12):
        noise = rng.normal(size=(3, 20))
        for i, (name, end) in enumerate((("random", -60), ("good", -20), ("third", -90))):
            returns = np.linspace(-100, end, 20) + noise[i]
            if (name, seed) == ("third", 4):  # it solves the task once
                returns[5:] = 60
            records.append(synthetic.run_of(HARD, name, seed, returns.tolist()))
    alone, beside = (
        compared(records, (HARD,), names, range(12))["tasks"]["hard"]["strategies"]["good"]
        for names in (("random", "good"), ("random", "good", "third"))
    )
    assert alone["difference"] == "fewer"
    assert beside["sentence"] == alone["sentence"]


def test_seeds_with_the_same_first_rollouts_count_once() -> None:
    drawn = ["a", "b", "a", "c", "b", "d"]
    records = [
        dataclasses.replace(record, first_rollouts=drawn[record.seed])
        for record in RECORDS
        if record.seed < 6
    ]
    own = compared(records, seeds=range(6))["tasks"]["pendulum"]["strategies"]["ucb"]
    assert [run["repeats"] for run in own["runs"]] == [None, None, 0, None, 1, None]
    assert own["seeds_compared"] == 4
    assert "those of seed 0" in own["runs"][2]["failed"]


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
    assert own["rollouts_saved"]["low"] is own["difference"] is None and own["tests"] == {}
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
    tests = [own["bounds"]["all_knowing"]["tests"] for own in comparison["tasks"].values()]
    count = sum(map(len, tests))  # a family of its own, over all tasks
    assert knowing["tests"]["rollouts"]["p_holm"] <= count * knowing["tests"]["rollouts"]["p"]
    without = compared(RECORDS, TASKS)["tasks"]["pendulum"]
    for name, own in result["strategies"].items():  # regret is all that is said of them by bounds
        alone = json.loads(json.dumps(without["strategies"][name]))
        assert alone == own | {"regret": {}}
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


def test_scores_have_ends_that_no_run_sets(comparison: dict[str, Any]) -> None:
    overall = comparison["overall"]
    scores: dict[str, list[float]] = {name: [] for name in STRATEGIES}
    for task, result in comparison["tasks"].items():
        runs = {name: own["runs"] for name, own in result["strategies"].items()}
        first = [run["evaluations"][0]["mean_return"] for run in runs["random"]]
        zero, one = (-1, 0) if task == "logged" else (np.mean(first), result["threshold"])
        assert overall["ends"][task] == {"zero": pytest.approx(zero), "one": one}
        for name in STRATEGIES:
            ends = [run["evaluations"][-1]["mean_return"] for run in runs[name]]
            scores[name] += [(value - zero) / (one - zero) for value in ends]
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
    assert overall["ends"] == overall["strategies"] == {}


def test_returns_that_are_nearly_alike_are_not_stretched() -> None:
    tasks = [TaskPlan(name, 0.0, 2, "return") for name in ("one", "other")]
    records = [
        synthetic.run_of(task, name, 0, [-200.0, -115.7 + 0.45 * i])
        for i, name in enumerate(STRATEGIES)
        for task in tasks
    ]
    overall = compared(records, tasks, seeds=(0,))["overall"]
    found = [own["normalised_iqm"]["value"] for own in overall["strategies"].values()]
    assert max(found) - min(found) < 0.01


def test_without_a_threshold_a_perfect_model_is_the_upper_end() -> None:
    tasks = [TaskPlan(name, None, 2, "return") for name in ("one", "other")]
    records = [
        synthetic.run_of(task, name, 0, returns)
        for task in tasks
        for name, returns in (("random", [-100.0, -60.0]), ("true_dynamics", [-20.0]))
    ]
    found = compared(records, tasks, ("random",), (0,), ("true_dynamics",))["overall"]
    assert found["ends"]["one"] == {"zero": -100, "one": -20}
    assert found["strategies"]["random"]["normalised_iqm"]["value"] == 0.5
    assert compared(records, tasks, ("random",), (0,))["overall"]["ends"] == {}


def test_the_reference_may_be_another_strategy() -> None:
    seeds = range(12)
    records = synthetic.learning(PENDULUM, RATES, seeds)
    found = compared(records, seeds=seeds)["tasks"]["pendulum"]["strategies"]
    turned = analyse((PENDULUM,), STRATEGIES, seeds, (), records, "joint_information")
    own = turned["tasks"]["pendulum"]["strategies"]
    assert (
        own["joint_information"]["sentence"] == "is the strategy that the others are compared with"
    )
    assert own["random"]["difference"] == "more"
    saved = found["joint_information"]["rollouts_saved"]["value"]
    assert own["random"]["rollouts_saved"]["value"] == pytest.approx(-saved)
    assert "more than joint_information" in turned["answer"]


def test_a_pair_is_what_the_comparison_says_with_the_other_one_as_its_reference() -> None:
    seeds = range(12)
    records = synthetic.learning(PENDULUM, RATES, seeds)
    pairs = compared(records, seeds=seeds)["tasks"]["pendulum"]["pairs"]
    assert len(pairs) == 3
    for pair in pairs:
        turned = analyse((PENDULUM,), STRATEGIES, seeds, (), records, pair["reference"])
        own = turned["tasks"]["pendulum"]["strategies"][pair["strategy"]]
        for key in ("rollouts_saved", "return_gained", "p_better"):
            assert (own[key] and own[key]["value"]) == (pair[key] and pair[key]["value"])
        for name, test in own["tests"].items():
            assert test["p"] == pair["tests"][name]["p"]
    found = {(pair["strategy"], pair["reference"]): pair["difference"] for pair in pairs}
    assert found == {
        ("random", "joint_information"): "more",
        ("random", "ucb"): "not found",
        ("joint_information", "ucb"): "fewer",
    }


def test_regret_is_what_is_missing_to_the_bound_of_the_same_seed(
    comparison: dict[str, Any],
) -> None:
    result = comparison["tasks"]["hard"]
    ends = {
        name: [run["evaluations"][-1]["mean_return"] for run in own["runs"]]
        for name, own in (result["strategies"] | result["bounds"]).items()
    }
    for name in STRATEGIES:
        for bound in BOUNDS:
            regret = result["strategies"][name]["regret"][bound]
            assert regret["value"] == pytest.approx(np.mean(np.subtract(ends[bound], ends[name])))
            assert regret["low"] <= regret["value"] <= regret["high"]
    assert compared(RECORDS)["tasks"]["pendulum"]["strategies"]["ucb"]["regret"] == {}
