"""The statistics of a comparison: pure functions of arrays.

Few runs, often skewed, some of which never solve their task. So: interquartile means with
bootstrap intervals and probabilities of improvement (Agarwal et al. 2021, "Deep reinforcement
learning at the edge of the statistical precipice"), survival analysis for rollouts until solved
(Klein & Moeschberger 2003, "Survival analysis", chapters 4 and 7), and differences paired by seed.

Axes: **n**, **m** runs, in the order of their seeds where they are paired; **P** points of a curve.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Real, Shaped
from scipy import stats

CONFIDENCE = 0.95
"""How often an interval holds the true value."""
RESAMPLES = 2000
"""How often the bootstrap draws the runs anew."""
FEWEST = 3
"""Runs of a group without which there is no interval: two say next to nothing of their spread."""
FEW = 6
"""Runs of a group below which all resamples together may miss the true value too often."""

Groups: TypeAlias = Sequence[Shaped[np.ndarray, "_ ..."]]
"""Runs of each group, [n_g, ...]."""


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % confidence interval."""

    value: float | None
    """None: there were no runs, or what was asked for was not reached."""
    low: float | None
    high: float | None
    """None: too few runs to say, or not reached."""


# ---------------------------------------------------------------- means and their intervals


def interquartile_mean(values: Real[np.ndarray, "n"]) -> float:
    """Return the mean of the middle half: floor(n/4) values are cut off at either end."""
    return float(_interquartile_mean(values))


def _interquartile_mean(values: Real[np.ndarray, "n *rest"]) -> Any:
    """Return the interquartile mean along the first axis."""
    n = len(values)
    assert n > 0, "the mean of no runs"
    return np.sort(values, axis=0)[n // 4 : n - n // 4].mean(axis=0)


def stratified_bootstrap(
    groups: Groups, statistic: Callable[[Groups], float], rng: np.random.Generator
) -> Interval:
    """Return a statistic of groups of runs, and its bootstrap interval.

    Runs are drawn anew, with replacement, within each group: see `_limits`.

    Args:
        groups: [n_g, ...] each, for example a task's runs. What belongs together (pairs by seed)
            goes along further axes and stays together.
        statistic: of groups of the same shapes.
        rng: draws the runs.

    Returns:
        Without limits where a group has fewer than three runs; without a value too where it has
        none.
    """
    sizes = [len(group) for group in groups]
    value = float(statistic(groups)) if min(sizes) > 0 else None
    if value is None or min(sizes) < FEWEST:
        return Interval(value, None, None)
    resampled = [
        statistic([group[rng.integers(len(group), size=len(group))] for group in groups])
        for _ in range(RESAMPLES)
    ]
    low, high = _limits(np.array(resampled), value, sizes)
    return Interval(value, float(low), float(high))


def bootstrap_curve(
    curves: Real[np.ndarray, "n P"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P"], Float[np.ndarray, "P"]]:
    """Return the interquartile mean over runs at each point, and its band.

    Whole runs are drawn anew. The band is pointwise: each point alone lies in it with 95 %
    confidence, the whole curve with less.

    Returns:
        Value, low and high; the latter two are NaN where there are fewer than three runs.
    """
    n = len(curves)
    value = _interquartile_mean(curves)
    if n < FEWEST:
        return value, value + np.nan, value + np.nan
    draws = rng.integers(n, size=(n, RESAMPLES))
    low, high = _limits(_interquartile_mean(curves[draws]), value, [n])
    return value, low, high


def _limits(
    resampled: Float[np.ndarray, "_ *rest"], value: Any, sizes: Sequence[int]
) -> tuple[Any, Any]:
    """Return the limits of an interval, from what resamples along the first axis gave.

    Between the levels Phi(-+ sqrt(n / (n - 1)) t), n the smallest group's size, t Student's
    quantile: the expanded percentile interval (Hesterberg 2015, "What teachers should know about
    the bootstrap"). Plain percentiles are too narrow for few runs; for many the two agree.

    No resample lies outside the runs themselves, and n runs lie all on one side of their median
    with a probability of 2^(1 - n): of 3 runs such an interval holds the true value in 75 % of
    cases. So with fewer than `FEW` runs it reaches at least as far as Student's, t standard errors
    of the resamples, expanded alike. Simulated, intervals of 3, 4 and 5 normal runs then hold their
    mean in 95 % of cases; those of skewed ones (exponential) in 88 to 90 %.
    """
    n = min(sizes)
    t = stats.t.ppf((1 + CONFIDENCE) / 2, sum(sizes) - len(sizes))
    expanded = np.sqrt(n / (n - 1))
    low, high = np.quantile(resampled, stats.norm.cdf(expanded * np.array([-t, t])), axis=0)
    if n < FEW:
        reach = t * expanded * np.std(resampled, axis=0)
        low, high = np.minimum(low, value - reach), np.maximum(high, value + reach)
    return low, high


# ---------------------------------------------------------------- better than another


def probability_of_improvement(x: Real[np.ndarray, "n"], y: Real[np.ndarray, "m"]) -> float:
    """Return P(X > Y) + P(X = Y) / 2, over all pairs: Mann and Whitney's U / (n m)."""
    assert len(x) > 0 and len(y) > 0, "a comparison without runs"
    return float((np.sign(x[:, None] - y) / 2 + 0.5).mean())


def improvement_interval(
    x: Real[np.ndarray, "n"],
    y: Real[np.ndarray, "m"],
    rng: np.random.Generator,
    paired: bool = True,
) -> Interval:
    """Return the probability of improvement of x over y, and its bootstrap interval.

    Where all of x lie above all of y, every resample says 1 and the bootstrap is sure. But what is
    known is that n pairs of runs all went one way, which allows for probabilities down to Clopper
    and Pearson's exact limit (alpha / 2)^(1 / n): no lower limit is above it, nor an upper one
    below its mirror image. So fewer than 6 runs never exclude 1/2.

    Args:
        x: higher is better.
        y: as x.
        rng: draws the runs.
        paired: x_i and y_i share a seed (n = m) and are drawn together.
    """
    assert len(x) == len(y) or not paired, "runs paired by seed come in equal numbers"
    groups = [np.stack([x, y], axis=-1)] if paired else [x, y]
    interval = stratified_bootstrap(
        groups, lambda g: probability_of_improvement(*(g[0].T if paired else g)), rng
    )
    if interval.low is None or interval.high is None:
        return interval
    limit = ((1 - CONFIDENCE) / 2) ** (1 / min(len(x), len(y)))
    low, high = min(interval.low, limit), max(interval.high, 1 - limit)
    return Interval(interval.value, max(low, 0.0), min(high, 1.0))


# ---------------------------------------------------------------- rollouts until solved


def median_with_censoring(times: Real[np.ndarray, "n"], solved: Bool[np.ndarray, "n"]) -> Interval:
    """Return the median of rollouts until solved, where some runs never were.

    Kaplan and Meier's estimate S of the share not yet solved; the median is the first time at
    which S <= 1/2, its limits the same of S's lower and upper log-log limits (Brookmeyer & Crowley
    1982, "A confidence interval for the median survival time").

    Args:
        times: rollouts until solved, or until the run ended unsolved.
        solved: which it was.

    Returns:
        None for each of the three that is not reached: with few runs `high` often is not, and
        with less than half of them solved the median neither.
    """
    if len(times) == 0:
        return Interval(None, None, None)
    share = stats.ecdf(stats.CensoredData.right_censored(times, ~solved)).sf
    with warnings.catch_warnings():
        # S = 0 or no run solved: there the limits are undefined, NaN, which is never <= 1/2.
        warnings.simplefilter("ignore", RuntimeWarning)
        band = share.confidence_interval(CONFIDENCE, method="log-log")
    return Interval(*(_first_half(curve) for curve in (share, band.low, band.high)))


def _first_half(share: Any) -> float | None:
    """Return the first time at which a step function is at or below 1/2, if it is."""
    reached = share.quantiles[share.probabilities <= 0.5 + 1e-9]
    return float(reached[0]) if len(reached) else None


def log_rank(
    times_a: Real[np.ndarray, "n"],
    solved_a: Bool[np.ndarray, "n"],
    times_b: Real[np.ndarray, "m"],
    solved_b: Bool[np.ndarray, "m"],
) -> float:
    """Return the log-rank test's p value, two-sided: are a and b solved equally fast?

    It takes the runs for independent, which is cautious where they are paired and paired seeds
    go alike. 1 where the data cannot tell: no run solved, or all at once.
    """
    a = stats.CensoredData.right_censored(times_a, ~solved_a)
    b = stats.CensoredData.right_censored(times_b, ~solved_b)
    with np.errstate(invalid="ignore"):
        p_value = float(stats.logrank(a, b).pvalue)
    return 1.0 if np.isnan(p_value) else p_value


def spent(
    times: Real[np.ndarray, "n"], reached: Bool[np.ndarray, "n"], budget: int
) -> Float[np.ndarray, "n"]:
    """Return rollouts until a goal was reached; one more than the budget where it was not.

    That is the least that such a run can have needed, and more than any that got there: their mean
    is a restricted mean survival time (Royston & Parmar 2013). Where one run of a seed did not get
    there, a larger budget would show the same difference or a larger one, in the same direction;
    where both did not, the seed counts as 0 and might show either.

    Args:
        times: rollouts until the goal.
        reached: which runs got there; the times of the others are not looked at.
        budget: rollouts that each run had.
    """
    return np.where(reached, times, budget + 1.0)


def paired_difference(differences: Real[np.ndarray, "n"], rng: np.random.Generator) -> Interval:
    """Return the mean of the differences that n seeds show, and its interval.

    Args:
        differences: one for each seed.
        rng: draws the seeds.
    """
    return stratified_bootstrap([differences], lambda groups: float(groups[0].mean()), rng)


def signed_rank(differences: Real[np.ndarray, "n"]) -> float:
    """Return the p value of Wilcoxon's signed-rank test on the differences that n seeds show.

    Two-sided and exact, ties included: from all 2^n signs of the ranks. Seeds without a difference
    say nothing and are left out; fewer than 6 others cannot give a p value below 0.05. It holds for
    one look at a number of seeds that was fixed beforehand: see `robo_al.compare.sequential`.
    """
    seen = differences[differences != 0]
    doubled_ranks = np.rint(2 * stats.rankdata(np.abs(seen))).astype(int)
    chance = np.zeros(doubled_ranks.sum() + 1)  # of each sum of the ranks whose sign is positive
    chance[0] = 1.0
    for rank in doubled_ranks:
        chance[rank:] += chance[:-rank].copy()
        chance /= 2
    positive = doubled_ranks[seen > 0].sum()
    return float(min(1.0, 2 * chance[: positive + 1].sum(), 2 * chance[positive:].sum()))


# ---------------------------------------------------------------- curves and scores


def area_under_curve(
    rollouts: Real[np.ndarray, "P"], returns: Real[np.ndarray, "P"], budget: int
) -> float:
    """Return the mean return from the first evaluation up to the budget.

    An evaluation holds until the next one, the last one up to the budget: so does that of a run
    that ended once solved. Evaluations beyond the budget do not count.

    Args:
        rollouts: before each evaluation, rising.
        returns: what was evaluated.
        budget: rollouts.
    """
    assert len(rollouts) > 0, "a curve without evaluations"
    held = np.diff(np.append(rollouts, budget).clip(max=budget))
    return float(np.average(returns, weights=held)) if held.any() else float(returns[0])


def performance_profile(
    scores: Real[np.ndarray, "n"], thresholds: Real[np.ndarray, "t"]
) -> Float[np.ndarray, "t"]:
    """Return the share of runs whose score is at or above each threshold."""
    assert len(scores) > 0, "the profile of no runs"
    return np.asarray((scores[:, None] >= thresholds).mean(axis=0))


def rollouts_to_reach(
    rollouts: Real[np.ndarray, "P"], returns: Real[np.ndarray, "P"], level: float
) -> float | None:
    """Return the rollouts before the first evaluation at or above a level, if there is one."""
    reached = rollouts[returns >= level]
    return float(reached[0]) if len(reached) else None
