"""What a comparison's runs say: the content of `comparison.json`, every figure from its `runs`.

A strategy is compared with the reference, `random` unless another is named, by the rollouts that it
needs for an equal return, seed by seed (`robo_al.compare.pairs`); so is each pair of strategies.
Which differences are claimed is decided over all tasks together (`robo_al.compare.decisions`): of
those from the reference, and of those of all pairs.

Runs that failed, are not finished, or only repeat those of another seed are left out of every
figure and stay in `runs`, with the reason. Random numbers depend on task, strategy and figure
alone: another strategy in the same comparison changes none.
"""

import dataclasses
import itertools
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from robo_al.compare import answers, statistics
from robo_al.compare.decisions import decide
from robo_al.compare.figures import JSON, Draw, Runs, as_json, figures, runs_that_count
from robo_al.compare.overall import overall
from robo_al.compare.pairs import NOTHING, against
from robo_al.compare.plan import REFERENCE, TaskPlan
from robo_al.compare.records import UNFINISHED, RunRecord

FORMAT = 2


def analyse(
    tasks: Sequence[TaskPlan],
    strategies: Sequence[str],
    seeds: Sequence[int],
    bounds: Collection[str],
    records: Iterable[RunRecord],
    reference: str = REFERENCE,
    planned: Collection[int] = (),
    rng_seed: int = 0,
) -> JSON:
    """Return the content of `comparison.json`.

    Args:
        tasks: as planned.
        strategies: as planned, the bounds among them.
        seeds: as planned.
        bounds: those of the strategies that show what there is to gain, and do not compete.
        records: of the runs there are; one that was planned and has none is not finished.
        reference: the strategy that the others are compared with.
        planned: the seeds that were fixed before the first run; empty where that is not known.
        rng_seed: of the bootstrap.
    """
    found = {(record.task, record.strategy, record.seed): record for record in records}
    competing = [name for name in strategies if name not in bounds]
    analysed = {}
    for task in tasks:
        repeats = _repeats(task.name, seeds, found.values())
        runs = {
            name: [
                as_run(found.get(key) or _missing(*key), repeats.get(seed))
                for seed in seeds
                for key in [(task.name, name, seed)]
            ]
            for name in strategies
        }
        distinct = [seed for seed in planned if seed not in repeats]
        analysed[task.name] = _task(task, runs, competing, reference, distinct, rng_seed)
    _conclude(analysed, len(planned))
    return {
        "format": FORMAT,
        "seeds": list(seeds),
        "planned_seeds": list(planned),
        "reference": reference,
        "strategies": competing,
        "bounds": list(bounds),
        "answer": answers.of_comparison(analysed),
        "tasks": analysed,
        "overall": overall(analysed, competing, reference, partial(_generator, rng_seed, "")),
    }


def as_run(record: RunRecord, repeated: int | None = None) -> JSON:
    """Return a run as it stands in `runs`.

    Args:
        record: of the run.
        repeated: the earlier seed whose first rollouts are the same, if there is one.
    """
    silent = all(evaluation.mean_return is None for evaluation in record.evaluations)
    at, compact = record.solved_at, record.to_json()
    failed = record.failed or ("no evaluation gave a return" if silent else None)
    if failed is None and repeated is not None:
        failed = f"its first rollouts are those of seed {repeated}, which counts for both"
    return {
        "seed": record.seed,
        "solved_at": at and {"rollouts": at.rollouts, "transitions": at.transitions},
        "evaluations": [dataclasses.asdict(evaluation) for evaluation in record.evaluations],
        "failed": failed,
        "repeats": repeated,
        "cpu_seconds": compact["cpu_seconds"],
        "executed": compact["executed"],
        "made_with": compact["made_with"],
        "final_returns": compact["final_returns"],
        "information": compact["information"],
    }


def _missing(task: str, strategy: str, seed: int) -> RunRecord:
    return RunRecord(task, strategy, seed, (), None, UNFINISHED, 0.0, ())


def _repeats(task: str, seeds: Sequence[int], records: Iterable[RunRecord]) -> dict[int, int]:
    """Return the seeds whose first rollouts are those of an earlier seed, and which that is.

    From equal data on, what a strategy does depends on little more than the data: such runs are no
    two experiments. Recorded rollouts, of which there are so many, are drawn twice now and then.
    """
    drawn = {r.seed: r.first_rollouts for r in records if r.task == task and r.first_rollouts}
    first: dict[str, int] = {}
    repeats = {}
    for seed in seeds:
        if seed in drawn and first.setdefault(drawn[seed], seed) != seed:
            repeats[seed] = first[drawn[seed]]
    return repeats


def _generator(rng_seed: int, *purpose: str) -> np.random.Generator:
    """Return the generator for one figure of one strategy on one task."""
    return np.random.default_rng([rng_seed, zlib.crc32("\n".join(purpose).encode())])


def _task(
    task: TaskPlan,
    runs: Mapping[str, Sequence[JSON]],
    competing: Sequence[str],
    reference: str,
    planned: Collection[int],
    rng_seed: int,
) -> JSON:
    """Return the figures of one task; what is claimed is not decided yet."""
    counted = {name: runs_that_count(rows) for name, rows in runs.items()}
    bounds = [name for name in counted if name not in competing]
    draw_of = partial(partial, _generator, rng_seed, task.name)
    strategies: dict[str, JSON] = {}
    for name, own in counted.items():
        draw = draw_of(name)
        compared = dict(NOTHING)
        if name not in (reference, answers.TRUE_DYNAMICS) and reference in counted:
            compared = _compared(task, own, counted[reference], planned, draw)
        alone = figures(own, task.threshold, _budget(task, [own]), draw)
        regrets = {bound: _regret(own, counted[bound], draw) for bound in bounds}
        strategies[name] = {"runs": list(runs[name]), "regret": regrets} | alone | compared
        if name == answers.TRUE_DYNAMICS:  # it learns nothing: how fast it does says nothing
            strategies[name] |= {"rollouts_to_solved": None, "area_under_curve_iqm": None}
    return {
        "threshold": task.threshold,
        "budget": _budget(task, counted.values()),
        "measure": task.measure,
        "finds_starts": task.finds_starts,
        "reference": reference,
        "strategies": {name: strategies[name] for name in competing},
        "bounds": {name: strategies[name] for name in bounds},
        "pairs": [
            {"strategy": one, "reference": other}
            | _compared(task, counted[one], counted[other], planned, draw_of(one, other))
            for one, other in itertools.combinations(competing, 2)
        ],
    }


def _regret(own: Runs, bound: Runs, draw: Draw) -> JSON:
    """Return by how much final returns are below a bound's of the same seeds: simple regret."""
    _, mine, theirs = np.intersect1d(own.seeds, bound.seeds, return_indices=True)
    missed = bound.final_returns[theirs] - own.final_returns[mine]
    return as_json(statistics.paired_difference(missed, draw("regret")))


def _compared(
    task: TaskPlan, own: Runs, reference: Runs, planned: Collection[int], draw: Draw
) -> JSON:
    """Return how one strategy compares with another; the budget is what either of them had."""
    budget = _budget(task, (own, reference))
    factor = 2 ** len(task.earlier_budgets)
    return against(own, reference, task.threshold, budget, planned, draw, factor)


def _budget(task: TaskPlan, runs: Iterable[Runs]) -> int:
    """Return the rollouts that runs had: the last batch may go beyond the task's budget."""
    spent = [int(rollouts[-1]) for some in runs for rollouts in some.rollouts]
    return max(task.budget, *spent, 0)


def _conclude(tasks: Mapping[str, Any], planned: int) -> None:
    """Decide which differences are claimed on all tasks together, and say it."""
    for kind in ("strategies", "bounds"):
        decide((own for result in tasks.values() for own in result[kind].values()), planned)
    decide((pair for result in tasks.values() for pair in result["pairs"]), planned)
    for task, result in tasks.items():
        for pair in result["pairs"]:
            pair["sentence"] = answers.of_pair(pair, result)
        for kind in ("strategies", "bounds"):
            for name, own in result[kind].items():
                own["sentence"] = answers.of_strategy(name, own, result)
        result["answer"] = answers.of_task(task, result)
