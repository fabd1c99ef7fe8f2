"""Is the mean return at the threshold or below it? Decided return by return, as soon as may be.

A return's range is not known of most tasks, so that what bets on bounded values cannot be used
(`robo_al.compare.sequential`). In its place stands the t test that holds at every look.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from scipy.special import stdtr

LEVEL = 0.05
"""How often a mean that is exactly at the threshold is said to be above it, and below it."""

Verdict: TypeAlias = Literal["reached", "below", "undecided"]


class Decision(NamedTuple):
    """What is known of a mean return, and how surely."""

    verdict: Verdict
    p_value: float
    """Against "the mean is below", or of `below` against "the mean is above"; it holds at any time.
    Of `undecided` the smaller one."""


def decide(returns: Sequence[float], threshold: float) -> Decision:
    """Return what returns say so far; it may be asked after every one of them, and acted upon."""
    distances = np.asarray(returns, float) - threshold
    above, below = 1 / evidence_above(distances), 1 / evidence_above(-distances)
    if above <= LEVEL:
        return Decision("reached", above)
    return Decision("below" if below <= LEVEL else "undecided", min(1.0, above, below))


def evidence_above(distances: np.ndarray) -> float:
    """Return an e-value against "the mean distance is 0 or below".

    The Bayes factor of n Gaussian values x of unknown variance, scale by the right Haar measure,
    their mean in standard deviations 0 or half-normal of scale 1 (Lai 1976; Perez-Ortiz, Lardy, de
    Heide & Gruenwald 2024, "E-statistics, group invariance and anytime-valid testing"; Wang &
    Ramdas 2025, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown
    variance"). With r = sum x / sqrt(n sum x^2), h = n / (1 + n) and k = 1 - h r^2, it is

        2 (1 + n)^(-1/2) k^(-n/2) T_n(r sqrt(n h / k)),

    T_n being the distribution function of Student's t with n degrees of freedom. It is a martingale
    where the mean is 0, and grows with r. To take the same off every value lowers r at every n, so
    that where the mean is below 0 it reaches 20 even less often than in 5 % of all runs.

    What is assumed: independent values from one Gaussian. Where rare returns are much worse than
    all others, and were not seen, it is too sure; nothing else is possible where it is not known
    how bad a return can be.
    """
    n, squares = len(distances), float(distances @ distances)
    if squares == 0.0:
        return 1.0
    r = float(distances.sum()) / np.sqrt(n * squares)
    h = n / (1 + n)
    k = 1 - h * r**2
    logarithm = np.log(2 * stdtr(n, r * np.sqrt(n * h / k))) - (np.log1p(n) + n * np.log(k)) / 2
    return float(np.exp(np.clip(logarithm, -700.0, 700.0)))
