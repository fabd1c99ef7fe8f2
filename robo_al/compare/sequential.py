"""Sequential statistics: what may be looked at after every outcome, as often as one likes.

A test at a fixed number of outcomes errs more often than it says where somebody adds outcomes until
it shows something. What is here errs no more, whatever the rule by which one stops. It is the
capital of a bettor who begins with 1, bets on outcomes before they are seen, and cannot gain on
average where there is no difference: that it ever reaches 1 / alpha has a chance of alpha at most
(Ville 1939; Ramdas, Gruenwald, Vovk & Shafer 2023, "Game-theoretic statistics and safe
anytime-valid inference").

Axes: **n** outcomes, in the order in which they came.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Real
from scipy.special import betaln

LEVEL = 0.05
"""How often a test that is looked at at all times may claim a difference that is not there, and a
confidence sequence may leave the true mean."""
_GRID = 1000
"""Means that a confidence sequence looks at: its limits are true to a thousandth of the range."""
_NODES = 64
"""Shares of the capital that are bet, beside -1 and 1: even spread, exactly up to 127 outcomes."""
_PLENTY = 1e300
"""A capital that is counted no further: what is larger is soon no floating-point number."""


def evidence(wins: int, losses: int) -> float:
    """Return an e-value against "wins are as likely as losses": the capital after betting on each.

    Of pairs of which one is better, ties left out: McNemar's discordant pairs, or seeds of two
    strategies. A bettor who bets the share theta on wins has (1 + theta)^wins (1 - theta)^losses.
    Nobody knows the best theta, so the capital is spread beforehand (a mixture, Robbins 1970,
    "Statistical methods related to the law of the iterated logarithm"): one half evenly over -1 to
    1, which makes 2^n B(wins + 1, losses + 1) of it, n being wins + losses; the other half equally
    on -1 and 1, which lose everything unless all go one way. It does not depend on the order.

    Returns:
        The capital, 1 at first. With a probability of 95 % it never reaches 20 where wins and
        losses are equally likely.
    """
    n = wins + losses
    even = n * np.log(2) + betaln(wins + 1, losses + 1)
    won, lost = (n * np.log(2) if beaten == 0 else -np.inf for beaten in (losses, wins))
    logarithm = np.logaddexp(even, np.logaddexp(won, lost) - np.log(2)) - np.log(2)
    return float(np.exp(min(logarithm, 700.0)))  # what is larger is no floating-point number


def p_value(capital: float) -> float:
    """Return the p value that holds at any time: 1 / capital, at most 1."""
    return min(1.0, 1.0 / capital) if capital > 0 else 1.0


def capital(
    values: Real[np.ndarray, "n"], mean: float, low: float, high: float
) -> Float[np.ndarray, "n"]:
    """Return the capital after each outcome of who bets against "the mean is this"; see below.

    Of the differences 1, 0 and -1 of pairs, and a mean of 0, it is `evidence`.

    Args:
        values: outcomes of one mean, or differences of paired ones.
        mean: what is bet against; within the range, and not its end.
        low: what no value can be below.
        high: what no value can be above.
    """
    return _capital(_scaled(values, low, high), _scaled(np.array([mean]), low, high))[:, 0]


def confidence_sequence(
    values: Real[np.ndarray, "n"], low: float, high: float, at: Sequence[float] = ()
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Return limits of the mean after each outcome, all of which hold together.

    Hedged capital with bets spread over a grid (Waudby-Smith & Ramdas 2024, "Estimating means of
    bounded random variables by betting", hgKelly). Against each mean m that could be, of outcomes x
    between 0 and 1, half of the capital is bet on larger outcomes and half on smaller ones,

        K(m) = sum_j w_j (prod (1 - s_j + s_j x_t / m) + prod (1 - s_j + s_j (1 - x_t) / (1 - m))),

    where the shares s_j and their weights are those of `evidence`: half of all evenly over 0 to 1,
    half on 1. A mean is left out for good once K(m) has reached 1 / alpha. K is convex in m, so
    what is left is an interval.

    For paired outcomes of two arms these are differences between -1 and 1; for a success or a
    progress, values between 0 and 1, of which the limits can be held against a threshold.

    Args:
        values: independent, all of the same mean; it need not be known of which distribution.
        low: what no value can be below.
        high: what no value can be above.
        at: means that are looked at too, such as a threshold: a limit is at or beyond one of them
            exactly where `capital` against it has reached 1 / alpha.

    Returns:
        Low and high limits, which only come closer. A mean that is a limit has been left out,
        unless it is the end of the range.
    """
    looked_at = _scaled(np.array(at, float), low, high)
    grid = np.union1d(np.arange(1, _GRID) / _GRID, looked_at)
    reached = np.maximum.accumulate(_capital(_scaled(values, low, high), grid), axis=0)
    left = reached < 1 / LEVEL
    # Where all means are left out, by chance and seldomer than alpha, the limits before it stay.
    left = left[: max(1, int(left.any(axis=1).sum()))]
    ends = np.concatenate([[0.0], grid, [1.0]])
    lows = ends[left.argmax(axis=1)]
    highs = ends[len(ends) - 1 - left[:, ::-1].argmax(axis=1)]
    last = np.minimum(np.arange(len(values)), len(left) - 1)  # from then on the limits stay
    lows, highs = lows[last], highs[last]
    return low + lows * (high - low), low + highs * (high - low)


def _scaled(values: Real[np.ndarray, "n"], low: float, high: float) -> Float[np.ndarray, "n"]:
    """Return values of a range as values from 0 to 1."""
    assert low < high and np.all((low <= values) & (values <= high)), "values within their range"
    return (np.asarray(values, float) - low) / (high - low)


def _capital(x: Float[np.ndarray, "n"], means: Float[np.ndarray, "M"]) -> Float[np.ndarray, "n M"]:
    """Return the capital against each mean after each outcome, both between 0 and 1."""
    nodes, spread = np.polynomial.legendre.leggauss(_NODES)
    shares = np.append(nodes[nodes > 0], 1.0)
    weights = np.append(spread[nodes > 0] / 4, 0.25)  # all of them for either side: 1/2
    larger, smaller = np.ones((2, len(means), len(shares)))
    on_larger, on_smaller = shares / means[:, None], shares / (1 - means[:, None])
    found = np.empty((len(x), len(means)))
    for row, outcome in zip(found, x, strict=True):
        larger *= 1 - shares + on_larger * outcome
        smaller *= 1 - shares + on_smaller * (1 - outcome)
        np.minimum(larger, _PLENTY, out=larger)
        np.minimum(smaller, _PLENTY, out=smaller)
        row[:] = (larger + smaller) @ weights
    return found
