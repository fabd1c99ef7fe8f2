"""What a comparison's runs say: the content of `comparison.json`, every figure from its `runs`.

A strategy is compared with `random` by the rollouts that it needs for an equal return: the task's
threshold where any run solved it, otherwise the return that `random` ended with. Runs are paired by
seed. A difference is claimed only where the 95 % interval of the rollouts saved excludes 0 and
Wilcoxon's signed-rank test agrees at 5 % after Holm's correction over the task's strategies
(Holm 1979, "A simple sequentially rejective multiple test procedure").

Runs that failed or are not finished are left out of every figure and stay in `runs`, with the
reason. Random numbers depend on task, strategy and figure alone: another strategy in the same
comparison changes none.
"""

import dataclasses
import math
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_al.compare import answers, statistics
from robo_al.compare.figures import (
    JSON,
    Draw,
    Goal,
    Runs,
    as_json,
    figures,
    runs_that_count,
)
from robo_al.compare.plan import TaskPlan
from robo_al.compare.records import UNFINISHED, RunRecord
from robo_al.compare.statistics import interquartile_mean

FORMAT = 1
SIGNIFICANCE = 0.05
FLAT = 0.01
"""Evaluations of a task that differ by no more, relative to the largest, are all alike."""
SCORES = 51
"""Points of a performance profile, from the worst to the best final return of a task."""


def analyse(
    tasks: Sequence[TaskPlan],
    strategies: Sequence[str],
    seeds: Sequence[int],
    bounds: Collection[str],
    records: Iterable[RunRecord],
    rng_seed: int = 0,
) -> JSON:
    """Return the content of `comparison.json`.

    Args:
        tasks: as planned.
        strategies: as planned, the bounds among them.
        seeds: as planned.
        bounds: those of the strategies that show what there is to gain, and do not compete.
        records: of the runs there are; one that was planned and has none is not finished.
        rng_seed: of the bootstrap.
    """
    found = {(record.task, record.strategy, record.seed): record for record in records}

    def run(task: str, strategy: str, seed: int) -> JSON:
        missing = RunRecord(task, strategy, seed, (), None, UNFINISHED, 0.0, ())
        return as_run(found.get((task, strategy, seed), missing))

    competing = [name for name in strategies if name not in bounds]
    analysed = {}
    for task in tasks:
        runs = {name: [run(task.name, name, seed) for seed in seeds] for name in strategies}
        analysed[task.name] = _task(task, runs, competing, rng_seed)
    return {
        "format": FORMAT,
        "seeds": list(seeds),
        "strategies": competing,
        "bounds": list(bounds),
        "answer": answers.of_comparison(analysed),
        "tasks": analysed,
        "overall": _overall(analysed, competing, partial(_generator, rng_seed, "")),
    }


def as_run(record: RunRecord) -> JSON:
    """Return a run as it stands in `runs`."""
    silent = all(evaluation.mean_return is None for evaluation in record.evaluations)
    at, compact = record.solved_at, record.to_json()
    return {
        "seed": record.seed,
        "solved_at": at and {"rollouts": at.rollouts, "transitions": at.transitions},
        "evaluations": [dataclasses.asdict(evaluation) for evaluation in record.evaluations],
        "failed": record.failed or ("no evaluation gave a return" if silent else None),
        "cpu_seconds": compact["cpu_seconds"],
        "information": compact["information"],
    }


def _generator(rng_seed: int, *purpose: str) -> np.random.Generator:
    """Return the generator for one figure of one strategy on one task."""
    return np.random.default_rng([rng_seed, zlib.crc32("\n".join(purpose).encode())])


# ---------------------------------------------------------------- one task


def _task(
    task: TaskPlan, runs: Mapping[str, Sequence[JSON]], competing: Sequence[str], rng_seed: int
) -> JSON:
    """Return everything about one task."""
    counted = {name: runs_that_count(rows) for name, rows in runs.items()}
    # The last batch of a run may go beyond the budget, in the runs of every strategy alike.
    spent = [int(rollouts[-1]) for some in counted.values() for rollouts in some.rollouts]
    budget = max(task.budget, *spent, 0)
    goal = _goal(task, counted, competing)
    strategies: dict[str, JSON] = {}
    for name, own in counted.items():
        draw = partial(_generator, rng_seed, task.name, name)
        strategies[name] = (
            {"runs": list(runs[name])}
            | figures(own, task.threshold, budget, draw)
            | _against_random(name, counted, goal, budget, draw)
        )
        if name == answers.TRUE_DYNAMICS:  # it learns nothing: how fast it does says nothing
            strategies[name] |= {"rollouts_to_solved": None, "area_under_curve_iqm": None}
    result: JSON = {
        "threshold": task.threshold,
        "budget": budget,
        "measure": task.measure,
        "finds_starts": task.finds_starts,
        "goal": dataclasses.asdict(goal) if goal else None,
        "strategies": {name: strategies[name] for name in competing},
        "bounds": {name: strategies[name] for name in strategies if name not in competing},
    }
    for family in (result["strategies"], result["bounds"]):
        _decide(family)
        for name, own in family.items():
            own["sentence"] = answers.of_strategy(name, own, result)
    return result | {"answer": answers.of_task(task.name, result)}


def _goal(task: TaskPlan, counted: Mapping[str, Runs], competing: Sequence[str]) -> Goal | None:
    """Return the return at which strategies are compared, if there is anything to compare with."""
    random = counted.get(answers.REFERENCE)
    if random is None or len(random) == 0:
        return None
    solved = any(time is not None for name in competing for time in counted[name].solved_at)
    if solved and task.threshold is not None:
        return Goal(task.threshold, threshold=True)
    return Goal(interquartile_mean(random.final_returns), threshold=False)


def _against_random(
    name: str, counted: Mapping[str, Runs], goal: Goal | None, budget: int, draw: Draw
) -> JSON:
    """Return how a strategy compares with `random`, on the seeds that have a run of both."""
    nothing = dict.fromkeys(
        ("p_better_than_random", "rollouts_saved", "log_rank_p", "paired_p")
    ) | {"seeds_compared": 0}
    if goal is None or name in (answers.REFERENCE, answers.TRUE_DYNAMICS):
        return nothing
    own, random = counted[name], counted[answers.REFERENCE]
    _, mine, theirs = np.intersect1d(own.seeds, random.seeds, return_indices=True)
    if len(mine) == 0:
        return nothing
    (times, reached), (times_random, reached_random) = (
        goal.times(runs, budget) for runs in (own, random)
    )
    paired = (times[mine], reached[mine], times_random[theirs], reached_random[theirs], budget)
    areas = own.areas(budget)[mine], random.areas(budget)[theirs]
    return {
        "p_better_than_random": as_json(
            statistics.improvement_interval(*areas, draw("better"), paired=True)
        ),
        "rollouts_saved": as_json(statistics.paired_difference(*paired, draw("saved"))),
        "log_rank_p": statistics.log_rank(times, reached, times_random, reached_random),
        "paired_p": statistics.paired_test(*paired) if len(mine) > 1 else None,
        "seeds_compared": len(mine),
    }


def _decide(family: Mapping[str, JSON]) -> None:
    """Add to each strategy which difference from `random` is claimed, and what decided it.

    `paired_p_holm` is Holm's adjusted p value over the family; `difference` one of `fewer`, `more`
    (rollouts) and `not found`, or null where there was nothing to compare; `seeds_needed` the
    fewest seeds with which the strictest of the family's tests could find a difference.
    """
    tested = sorted(
        (own for own in family.values() if own["paired_p"] is not None),
        key=lambda own: float(own["paired_p"]),
    )
    for own in family.values():
        own |= {"paired_p_holm": None, "difference": None, "seeds_needed": None}
    adjusted = 0.0
    for rank, own in enumerate(tested):
        adjusted = max(adjusted, min(1.0, (len(tested) - rank) * own["paired_p"]))
        saved = own["rollouts_saved"]
        agreed = adjusted <= SIGNIFICANCE
        own |= {
            "paired_p_holm": adjusted,
            "difference": "fewer"
            if agreed and saved["low"] > 0
            else ("more" if agreed and saved["high"] < 0 else "not found"),
            # n seeds that all go one way have the p value 2 / 2^n.
            "seeds_needed": 1 + math.ceil(math.log2(len(tested) / SIGNIFICANCE)),
        }


# ---------------------------------------------------------------- all tasks


def _overall(tasks: Mapping[str, JSON], competing: Sequence[str], draw: Draw) -> JSON:
    """Return what the final returns of all tasks say together, each task's scaled to 0 to 1.

    A task's scale goes from the worst to the best of all its evaluations: one from the worst to the
    best *final* return would stretch runs that all ended alike over the whole of it. A task whose
    evaluations are all alike is left out; of fewer than two tasks there is nothing to say together.
    """
    counted = {
        task: {name: runs_that_count(own["runs"]) for name, own in result["strategies"].items()}
        for task, result in tasks.items()
    }
    ranges = {}
    for task, by_name in counted.items():
        seen = np.concatenate([[], *(x for runs in by_name.values() for x in runs.returns)])
        if len(seen) and np.ptp(seen) > FLAT * np.abs(seen).max():
            ranges[task] = (float(seen.min()), float(seen.max()))
    if len(ranges) < 2:
        ranges = {}
    thresholds = np.linspace(0, 1, SCORES)
    strategies = {}
    for name in competing:
        groups = [
            (counted[task][name].final_returns - low) / (high - low)
            for task, (low, high) in ranges.items()
            if len(counted[task][name])
        ]
        if groups:
            pooled = np.concatenate(groups)
            strategies[name] = {
                "tasks": len(groups),
                "runs": len(pooled),
                "normalised_iqm": as_json(
                    statistics.stratified_bootstrap(groups, _pooled_iqm, draw(name))
                ),
                "performance_profile": statistics.performance_profile(pooled, thresholds).tolist(),
            }
    return {
        "ranges": {task: {"worst": low, "best": high} for task, (low, high) in ranges.items()},
        "scores": [round(float(score), 3) for score in thresholds],
        "strategies": strategies,
    }


def _pooled_iqm(groups: Sequence[NDArray[Any]]) -> float:
    return interquartile_mean(np.concatenate(groups))
