"""The figures of one strategy on one task, from its runs as `comparison.json` holds them."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from robo_al.compare import statistics
from robo_al.compare.statistics import Interval

JSON: TypeAlias = dict[str, Any]
Draw: TypeAlias = Callable[[str], np.random.Generator]
"""Gives the generator for a figure, by its name."""


@dataclass(frozen=True)
class Runs:
    """The n runs of one strategy on one task that count, in the order of their seeds."""

    seeds: Int[np.ndarray, "n"]
    rollouts: Sequence[Int[np.ndarray, "_"]]
    """[n] training rollouts before each of the run's evaluations."""
    returns: Sequence[Float[np.ndarray, "_"]]
    """[n] what each of the run's evaluations gave."""
    solved_at: Sequence[int | None]
    """[n] training rollouts; None where the run did not solve the task."""
    cpu_seconds: Float[np.ndarray, "n"]
    executed: Float[np.ndarray, "n 2"]
    """Rollouts and robot-seconds of each in all, evaluations included; NaN where not known."""
    information: Float[np.ndarray, "R 2"]
    """Predicted and realised nats of the R selected rollouts of all n runs."""

    def __len__(self) -> int:
        """Number of runs, n."""
        return len(self.seeds)

    @property
    def final_returns(self) -> Float[np.ndarray, "n"]:
        """What the last evaluation of each run gave."""
        return np.array([returns[-1] for returns in self.returns], float)

    def of(self, chosen: Int[np.ndarray, "m"]) -> "Runs":
        """Return those runs; of the information nothing, which is of all of them."""
        return Runs(
            self.seeds[chosen],
            [self.rollouts[i] for i in chosen],
            [self.returns[i] for i in chosen],
            [self.solved_at[i] for i in chosen],
            self.cpu_seconds[chosen],
            self.executed[chosen],
            np.empty((0, 2)),
        )

    def areas(self, budget: int) -> Float[np.ndarray, "n"]:
        """Return the normalised area under the learning curve of each run."""
        curves = zip(self.rollouts, self.returns, strict=True)
        return np.array([statistics.area_under_curve(*curve, budget) for curve in curves], float)


def runs_that_count(runs: Sequence[JSON]) -> Runs:
    """Return the runs that are complete; the others say why not in `failed`."""
    complete = [run for run in runs if run["failed"] is None]
    evaluations = [
        [row for row in run["evaluations"] if row["mean_return"] is not None] for run in complete
    ]
    information = [pair for run in complete for pair in run["information"]]
    return Runs(
        seeds=np.array([run["seed"] for run in complete], int),
        rollouts=[np.array([row["rollouts"] for row in rows], int) for rows in evaluations],
        returns=[np.array([row["mean_return"] for row in rows], float) for rows in evaluations],
        solved_at=[run["solved_at"] and run["solved_at"]["rollouts"] for run in complete],
        cpu_seconds=np.array([run["cpu_seconds"] for run in complete], float),
        executed=np.array(
            [run.get("executed") or (np.nan, np.nan) for run in complete], float
        ).reshape(-1, 2),
        information=np.array(information, float).reshape(-1, 2),
    )


def iqm_interval(values: Float[np.ndarray, "n"], rng: np.random.Generator) -> JSON:
    """Return the interquartile mean with its interval: a learning curve of one point."""
    if len(values) == 0:
        return as_json(Interval(None, None, None))
    ends = (float(end[0]) for end in statistics.bootstrap_curve(values[:, None], rng))
    return as_json(Interval(*(None if np.isnan(end) else end for end in ends)))


def as_json(interval: Interval) -> JSON:
    """Return an interval as it stands in `comparison.json`."""
    return dataclasses.asdict(interval)


def figures(runs: Runs, threshold: float | None, budget: int, draw: Draw) -> JSON:
    """Return what can be said of a strategy without looking at the others."""
    judged = threshold is not None and len(runs) > 0
    return {
        "rollouts_to_solved": rollouts_to_solved(runs, budget) if judged else None,
        "final_return_iqm": iqm_interval(runs.final_returns, draw("final return")),
        "area_under_curve_iqm": iqm_interval(runs.areas(budget), draw("area")),
        "cpu_seconds": iqm_interval(runs.cpu_seconds, draw("cpu")),
        "paid": paid(runs),
        "calibration": calibration(runs.information),
        "learning_curve": learning_curve(runs, budget, draw("curve")) if len(runs) else None,
    }


def paid(runs: Runs) -> JSON | None:
    """Return what a run learned from and what was executed for it in all: medians over the runs.

    None where there is no run, or it is not known of one what was executed.
    """
    if len(runs) == 0 or np.isnan(runs.executed).any():
        return None
    executed, seconds = np.median(runs.executed, axis=0).tolist()
    learned = [int(rollouts[-1]) for rollouts in runs.rollouts]
    return {
        "learned_from": float(np.median(learned)),
        "executed": executed,
        "robot_seconds": seconds,
    }


def rollouts_to_solved(runs: Runs, budget: int) -> JSON:
    """Return the median of rollouts until solved; null is what was not reached."""
    times = np.array([budget if time is None else time for time in runs.solved_at], float)
    solved = np.array([time is not None for time in runs.solved_at], bool)
    median = statistics.median_with_censoring(times, solved)
    return {
        "median": median.value,
        "low": median.low,
        "high": median.high,
        "censored": int((~solved).sum()),
    }


def learning_curve(runs: Runs, budget: int, rng: np.random.Generator) -> JSON:
    """Return the interquartile mean over runs at every evaluation, with its band.

    It begins where every run has been evaluated; an evaluation holds until the next one, and the
    last one up to the budget. Fewer than three runs have no band: low and high are null.
    """
    evaluated = sorted({*np.concatenate(runs.rollouts).tolist(), budget})
    first = max(int(rollouts[0]) for rollouts in runs.rollouts)
    points = np.array([rollouts for rollouts in evaluated if rollouts >= first])
    curves = np.stack(
        [
            returns[np.searchsorted(rollouts, points, side="right") - 1]
            for rollouts, returns in zip(runs.rollouts, runs.returns, strict=True)
        ]
    )
    value, low, high = statistics.bootstrap_curve(curves, rng)
    return {
        "rollouts": points.tolist(),
        "value": value.tolist(),
        "low": None if np.isnan(low).all() else low.tolist(),
        "high": None if np.isnan(high).all() else high.tolist(),
    }


def calibration(information: Float[np.ndarray, "R 2"]) -> JSON | None:
    """Return how realised information follows predicted, over the rollouts that have both.

    The ratio is the median's; the correlation Spearman's, of ranks: choosing needs the order only.
    Two rollouts are always in perfect order, so that the correlation is of three at least.
    """
    predicted, realised = information[information[:, 0] > 0].T
    if len(predicted) == 0:
        return None
    varied = len(predicted) > 2 and np.ptp(predicted) > 0 and np.ptp(realised) > 0
    return {
        "realised_over_predicted": float(np.median(realised / predicted)),
        "correlation": float(stats.spearmanr(predicted, realised).statistic) if varied else None,
        "rollouts": len(predicted),
    }
