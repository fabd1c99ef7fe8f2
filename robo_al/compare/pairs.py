"""How a strategy compares with the reference, from the runs of these two alone.

They are compared by the rollouts that they need for an equal return: see `goal_of`. Another
strategy in the same comparison changes none of these figures.
"""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from robo_al.compare import sequential, statistics
from robo_al.compare.figures import JSON, Draw, Runs, as_json

WAY = 0.9
"""Where a goal lies between where runs begin and where the better run of a seed ends."""


@dataclass(frozen=True)
class Goal:
    """The equal return at which the rollouts of two strategies are compared."""

    level: float
    threshold: bool
    """The task's: reached means solved. Otherwise reached is the first evaluation at `level`."""

    def times(
        self, runs: Runs, budget: int
    ) -> tuple[Float[np.ndarray, "n"], Bool[np.ndarray, "n"]]:
        """Return the rollouts until each run reached it, else the budget; and which runs did."""
        reached: Any = runs.solved_at
        if not self.threshold:
            reached = [
                statistics.rollouts_to_reach(*curve, self.level)
                for curve in zip(runs.rollouts, runs.returns, strict=True)
            ]
        times = np.array([budget if time is None else time for time in reached], float)
        return times, np.array([time is not None for time in reached], bool)


def goal_of(own: Runs, reference: Runs, threshold: float | None) -> Goal | None:
    """Return the return at which two strategies are compared, on n seeds that both have run.

    The task's threshold, where for half of the seeds or more one of the two runs solved the task.
    Otherwise nine tenths of the way from where runs begin, the median of all first evaluations, to
    where the better run of a seed ends, the median over seeds. Both look at the runs of a seed
    without asking whose is which: where strategies do not differ, neither is favoured, and the
    signs of the differences remain a coin's. A level that only one strategy got to by chance, such
    as that which one of them ended with, would not do.

    Args:
        own: the strategy's n runs.
        reference: those of the reference, of the same seeds in the same order.
        threshold: the task's, if it has one.

    Returns:
        None where no run got better: then there is no way.
    """
    pairs = zip(own.solved_at, reference.solved_at, strict=True)
    solved = [mine is not None or theirs is not None for mine, theirs in pairs]
    if threshold is not None and 2 * sum(solved) >= len(solved) > 0:
        return Goal(threshold, threshold=True)
    begin = np.median([returns[0] for returns in (*own.returns, *reference.returns)])
    end = np.median(np.maximum(own.final_returns, reference.final_returns))
    if not end > begin:
        return None
    level = float(begin + WAY * (end - begin))
    return Goal(level if threshold is None else min(level, threshold), threshold=False)


NOTHING: JSON = {
    "goal": None,
    "p_better": None,
    "rollouts_saved": None,
    "not_reached": None,
    "return_gained": None,
    "log_rank_p": None,
    "tests": {},
    "seeds_compared": 0,
}
"""Of a strategy that cannot be compared."""


def against(
    own: Runs,
    reference: Runs,
    threshold: float | None,
    budget: int,
    planned: Collection[int],
    draw: Draw,
    factor: int = 1,
) -> JSON:
    """Return how a strategy compares with the reference, on the seeds that have a run of both.

    Args:
        own: the strategy's runs.
        reference: the reference's.
        threshold: the task's, if it has one.
        budget: rollouts of a run.
        planned: seeds that were fixed before the first run; empty where that is not known.
        draw: gives the generator for a figure.
        factor: of p values: 2 for each time that the budget was made larger.
    """
    seeds, mine, theirs = np.intersect1d(own.seeds, reference.seeds, return_indices=True)
    if len(seeds) == 0:
        return dict(NOTHING)
    own, reference = own.of(mine), reference.of(theirs)
    areas = own.areas(budget), reference.areas(budget)
    better = statistics.improvement_interval(*areas, draw("better"), paired=True)
    found = NOTHING | {"p_better": as_json(better), "seeds_compared": len(seeds), "tests": {}}
    goal = goal_of(own, reference, threshold)
    if goal is not None:
        found |= _rollouts(goal, own, reference, budget, draw)
    differences = {} if goal is None else {"rollouts": found.pop("differences")}
    if goal is None or not goal.threshold:  # solved runs end, and say little of how they would
        differences["return"] = own.final_returns - reference.final_returns
        gained = statistics.paired_difference(differences["return"], draw("gained"))
        found["return_gained"] = as_json(gained)
    if len(seeds) > 1:
        found["tests"] = {
            name: judged(values, seeds, planned, factor) for name, values in differences.items()
        }
    return found


def _rollouts(goal: Goal, own: Runs, reference: Runs, budget: int, draw: Draw) -> JSON:
    """Return what the rollouts until the goal say, and what each seed saved."""
    times, reached = zip(*(goal.times(runs, budget) for runs in (own, reference)), strict=True)
    mine, theirs = (statistics.spent(*run, budget) for run in zip(times, reached, strict=True))
    return {
        "goal": dataclasses.asdict(goal),
        "differences": theirs - mine,
        "rollouts_saved": as_json(statistics.paired_difference(theirs - mine, draw("saved"))),
        "not_reached": {
            "own": int((~reached[0]).sum()),
            "reference": int((~reached[1]).sum()),
        },
        "log_rank_p": statistics.log_rank(times[0], reached[0], times[1], reached[1]),
    }


def judged(
    differences: Float[np.ndarray, "n"],
    seeds: Int[np.ndarray, "n"],
    planned: Collection[int],
    factor: int = 1,
) -> JSON:
    """Return the p value of a strategy's differences from the reference, and what it is made of.

    Where the seeds were fixed beforehand and all of them have run, Wilcoxon's signed-rank test is
    used on them, once. The evidence of `robo_al.compare.sequential` may be looked at at any time,
    with seeds that are added later. Each has half of the error that is allowed. Runs that go on
    with a larger budget give the same seeds other differences, which is another look: with p values
    that double each time, all looks together err at most twice as often as the first one.
    """
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    anytime = sequential.p_value(sequential.evidence(wins, losses))
    fixed = None
    if planned and set(planned) <= set(seeds.tolist()):
        fixed = statistics.signed_rank(differences[np.isin(seeds, list(planned))])
    p_value = 2 * min(anytime, 1.0 if fixed is None else fixed) if planned else anytime
    return {
        "wins": wins,
        "losses": losses,
        "anytime_p": anytime,
        "planned_p": fixed,
        "factor": factor,
        "p": min(1.0, factor * p_value),
    }


def least_p(seeds: int, planned: int) -> float:
    """Return the smallest p value that so many seeds can have, which is where all go one way.

    Args:
        seeds: that have run.
        planned: how many were fixed before the first run; 0 where that is not known.
    """
    anytime = 1 / sequential.evidence(seeds, 0)
    if not planned:
        return anytime
    return 2 * min(anytime, 2.0 ** (1 - min(seeds, planned)))
