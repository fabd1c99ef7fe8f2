"""Comparisons made of numbers: learning curves whose truth is known."""

from collections.abc import Mapping, Sequence

import numpy as np

from robo_al.compare.plan import TaskPlan
from robo_al.compare.records import Evaluation, RunRecord

STEPS = 20
"""Transitions of a rollout."""


def run_of(
    task: TaskPlan,
    strategy: str,
    seed: int,
    returns: Sequence[float | None],
    failed: str | None = None,
) -> RunRecord:
    """Return a run that was evaluated after each rollout, and ended once solved."""
    rows: list[Evaluation] = []
    solved = None
    for rollouts, value in enumerate(returns, start=1):
        before = rows[-1].mean_return if rows else None
        rows.append(Evaluation(rollouts, STEPS * rollouts, value))
        if task.threshold is not None and all(
            reached is not None and reached >= task.threshold for reached in (before, value)
        ):
            solved = rows[-1]
            break
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(1, 9, len(rows))
    realised = predicted * rng.uniform(0.5, 1, len(rows))
    return RunRecord(
        task=task.name,
        strategy=strategy,
        seed=seed,
        evaluations=tuple(rows),
        solved_at=solved,
        failed=failed,
        cpu_seconds=2.0 * len(rows) + seed / 10,
        information=tuple(zip(predicted.tolist(), realised.tolist(), strict=True)),
    )


def solving(task: TaskPlan, strategy: str, times: Sequence[int | None]) -> list[RunRecord]:
    """Return a run for each seed from 0 that solves its task after so many rollouts, or never."""
    assert task.threshold is not None
    low, high = task.threshold - 10, task.threshold + 1
    return [
        run_of(
            task,
            strategy,
            seed,
            [low] * (task.budget if time is None else time - 2) + [high, high] * (time is not None),
        )
        for seed, time in enumerate(times)
    ]


def learning(
    task: TaskPlan, rates: Mapping[str, float], seeds: Sequence[int], noise: float = 4.0
) -> list[RunRecord]:
    """Return runs that learn from -100 towards 0, `rates[strategy]` a rollout; paired by seed."""
    rollouts = np.arange(1, task.budget + 1)
    records = []
    for seed in seeds:
        rng = np.random.default_rng([seed, len(task.name)])
        luck = rng.uniform(0.8, 1.25)
        shared = rng.normal(size=task.budget)
        for strategy, rate in rates.items():
            wobble = noise * (shared + 0.5 * rng.normal(size=task.budget))
            returns = -100 * np.exp(-rate * luck * rollouts) + wobble
            records.append(run_of(task, strategy, seed, returns.tolist()))
    return records
