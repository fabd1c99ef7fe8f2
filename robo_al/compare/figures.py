"""The figures of one strategy on one task, from its runs as `comparison.json` holds them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from robo_al.compare import statistics
from robo_al.compare.statistics import Interval

JSON: TypeAlias = dict[str, Any]
AXES = ("transitions", "robot_seconds")
"""What learning curves are drawn over, beside rollouts: all of what was learned from."""
POINTS = 100
"""Of a learning curve over an axis on which no two runs need have a point in common, at most."""
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
    parts: Sequence[Float[np.ndarray, "_"]]
    """[n] what each start, or held-out rollout, of the run's last evaluation gave; perhaps none."""
    axes: Mapping[str, Sequence[Float[np.ndarray, "_"]]]
    """[n] of each of `AXES`, as `rollouts`; NaN where it is not known."""

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
            [self.parts[i] for i in chosen],
            {axis: [values[i] for i in chosen] for axis, values in self.axes.items()},
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
        parts=[np.array(run.get("final_returns", ()), float) for run in complete],
        axes={
            axis: [np.array([row.get(axis) for row in rows], float) for rows in evaluations]
            for axis in AXES
        },
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
        "final_tails": tails(runs, draw),
        "area_under_curve_iqm": iqm_interval(runs.areas(budget), draw("area")),
        "cpu_seconds": iqm_interval(runs.cpu_seconds, draw("cpu")),
        "paid": paid(runs),
        "calibration": calibration(runs.information),
        "learning_curve": learning_curve(runs, budget, draw("curve")) if len(runs) else None,
        "learning_curve_over": {
            axis: curve for axis in AXES if (curve := curve_over(axis, runs, draw(f"over {axis}")))
        },
    }


def tails(runs: Runs, draw: Draw) -> JSON:
    """Return the bad end of what last evaluations gave, over their starts or held-out rollouts.

    `lowest` is the smallest, `tenth` the 10 % quantile of one run, the interquartile mean over
    runs: of errors, whose returns are negative, the largest one and the 90 % quantile.
    """
    known = [parts for parts in runs.parts if len(parts)]
    lowest = np.array([parts.min() for parts in known], float)
    tenth = np.array([np.quantile(parts, 0.1) for parts in known], float)
    return {
        "lowest": iqm_interval(lowest, draw("lowest")),
        "tenth": iqm_interval(tenth, draw("tenth")),
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
    points, *band = _curve(runs.rollouts, runs.returns, budget, rng)
    return {"rollouts": points.astype(int).tolist()} | _as_band(*band)


def curve_over(axis: str, runs: Runs, rng: np.random.Generator) -> JSON | None:
    """Return the learning curve over another axis, up to what the longest run came to.

    Args:
        axis: one of `AXES`.
        runs: of a strategy.
        rng: draws runs.

    Returns:
        None where there is no run, or it is not known of one.
    """
    where = runs.axes[axis]
    if not where or np.isnan(np.concatenate(where)).any():
        return None
    points, *band = _curve(where, runs.returns, max(at[-1] for at in where), rng)
    return {axis: points.tolist()} | _as_band(*band)


def _curve(
    where: Sequence[Any], returns: Sequence[Any], until: float, rng: np.random.Generator
) -> tuple[Any, Any, Any, Any]:
    """Return the points of a curve, and value, low and high there; see `learning_curve`."""
    evaluated = np.unique([*np.concatenate(where), until])
    points = evaluated[evaluated >= max(at[0] for at in where)]
    if len(points) > POINTS:
        points = np.linspace(points[0], points[-1], POINTS)
    pairs = zip(where, returns, strict=True)
    curves = np.stack([own[np.searchsorted(at, points, side="right") - 1] for at, own in pairs])
    return points, *statistics.bootstrap_curve(curves, rng)


def _as_band(value: Any, low: Any, high: Any) -> JSON:
    """Return a curve as it stands in `comparison.json`; too few runs have no band."""
    ends = {
        name: None if np.isnan(end).all() else end.tolist()
        for name, end in (("low", low), ("high", high))
    }
    return {"value": value.tolist()} | ends


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
