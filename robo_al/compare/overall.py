"""What the final returns of all tasks say together, each task's on a scale with fixed ends.

As rliable has it (Agarwal et al. 2021): a score says how far a run got on a way whose ends do not
depend on what the runs that are compared have come to.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from robo_al.compare import statistics
from robo_al.compare.answers import TRUE_DYNAMICS
from robo_al.compare.figures import JSON, Draw, Runs, as_json, runs_that_count
from robo_al.compare.plan import HELD_OUT_ERROR
from robo_al.compare.statistics import interquartile_mean

SCORES = 51
"""Points of a performance profile, from a score of 0 to one of 1."""
NO_BETTER_THAN_THE_MEAN, PERFECT = -1.0, 0.0
"""Minus the held-out error of a model that has learned nothing, and of one that is always right."""


def overall(
    tasks: Mapping[str, JSON], competing: Sequence[str], reference: str, draw: Draw
) -> JSON:
    """Return the scores of all strategies over all tasks that have a scale; of two tasks at least.

    Args:
        tasks: their figures.
        competing: the strategies, without bounds.
        reference: the one that the others are compared with.
        draw: gives the generator for a figure.
    """
    counted = {
        task: {name: runs_that_count(own["runs"]) for name, own in result["strategies"].items()}
        for task, result in tasks.items()
    }
    ends = {
        task: found
        for task, result in tasks.items()
        if (found := _ends(result, counted[task].get(reference)))
    }
    if len(ends) < 2:
        ends = {}
    thresholds = np.linspace(0, 1, SCORES)
    strategies = {}
    for name in competing:
        groups = [
            (counted[task][name].final_returns - low) / (high - low)
            for task, (low, high) in ends.items()
            if len(counted[task][name])
        ]
        if groups:
            pooled = np.concatenate(groups)
            score = statistics.stratified_bootstrap(groups, _pooled_iqm, draw(name))
            strategies[name] = {
                "tasks": len(groups),
                "runs": len(pooled),
                "normalised_iqm": as_json(score),
                "performance_profile": statistics.performance_profile(pooled, thresholds).tolist(),
            }
    return {
        "ends": {task: {"zero": low, "one": high} for task, (low, high) in ends.items()},
        "scores": [round(float(score), 3) for score in thresholds],
        "strategies": strategies,
    }


def _ends(result: JSON, reference: Runs | None) -> tuple[float, float] | None:
    """Return the returns whose scores are 0 and 1, if the task has such.

    0 is where runs begin: the mean of the reference's first evaluations, after rollouts that the
    runs of a seed share whatever the strategy. 1 is the threshold, or where there is none what the
    true dynamics reach. The error of a model has its own ends.
    """
    if result["measure"] == HELD_OUT_ERROR:
        return NO_BETTER_THAN_THE_MEAN, PERFECT
    perfect = result["bounds"].get(TRUE_DYNAMICS)
    one = result["threshold"]
    if one is None and perfect is not None:
        one = perfect["final_return_iqm"]["value"]
    if one is None or reference is None or len(reference) == 0:
        return None
    zero = float(np.mean([returns[0] for returns in reference.returns]))
    return (zero, one) if one > zero else None


def _pooled_iqm(groups: Sequence[NDArray[np.float64]]) -> float:
    return interquartile_mean(np.concatenate(groups))
