"""Sequential statistics: what may be looked at after every outcome, as often as one likes.

A test at a fixed number of outcomes errs more often than it says where somebody adds outcomes until
it shows something. What is here errs no more, whatever the rule by which one stops. It is the
capital of a bettor who begins with 1, bets on outcomes before they are seen, and cannot gain on
average where there is no difference: that it ever reaches 1 / alpha has a chance of alpha at most
(Ville 1939; Ramdas, Gruenwald, Vovk & Shafer 2023, "Game-theoretic statistics and safe
anytime-valid inference").

Axes: **n** outcomes, in the order in which they came.
"""

import numpy as np
from jaxtyping import Float, Real
from scipy.special import betaln

CONFIDENCE = 0.95
"""How often a confidence sequence holds the true mean at all times."""
_GRID = 1000
"""Means that a confidence sequence looks at: its limits are true to a thousandth of the range."""
_MOST = 0.5
"""The share of what could be lost that is bet at most, c of Waudby-Smith and Ramdas."""


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


def confidence_sequence(
    values: Real[np.ndarray, "n"], low: float, high: float, confidence: float = CONFIDENCE
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Return limits of the mean after each outcome, all of which hold together.

    Hedged capital (Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by
    betting", section 4.1): for each mean m that could be, half of the capital is bet on larger
    values and half on smaller ones,

        K+(m) = prod (1 + min(lambda_t, c / m) (x_t - m)),
        K-(m) = prod (1 - min(lambda_t, c / (1 - m)) (x_t - m)),

    and m is left where max(K+, K-) / 2 is below 1 / alpha. The bets are those of their equation
    (26), lambda_t = sqrt(2 log(2 / alpha) / (v_(t-1) t log(1 + t))), where v is the variance seen
    before, (1/4 + sum (x_i - mean_i)^2) / (t + 1) with mean_i = (1/2 + sum x) / (i + 1).

    For paired outcomes of two arms these are differences between -1 and 1; for a success or a
    progress, values between 0 and 1, of which the limits can be held against a threshold.

    Args:
        values: independent, all of the same mean; it need not be known of which distribution.
        low: what no value can be below.
        high: what no value can be above.
        confidence: with which the mean lies within all limits.

    Returns:
        Low and high limits, which only come closer.
    """
    assert low < high and np.all((low <= values) & (values <= high)), "outcomes within their range"
    x = (np.asarray(values, float) - low) / (high - low)
    n, alpha = len(x), 1 - confidence
    times = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(x)) / (times + 1)
    variances = (0.25 + np.cumsum((x - means) ** 2)) / (times + 1)
    before = np.concatenate([[0.25], variances])[:n]
    bets = np.sqrt(2 * np.log(2 / alpha) / (before * times * np.log(1 + times)))
    m = np.linspace(0, 1, _GRID + 1)
    with np.errstate(divide="ignore"):
        up = np.minimum(bets[:, None], _MOST / m) * (x[:, None] - m)
        down = np.minimum(bets[:, None], _MOST / (1 - m)) * (x[:, None] - m)
    capital = np.maximum(np.log1p(up).cumsum(axis=0), np.log1p(-down).cumsum(axis=0))
    left = np.maximum.accumulate(capital, axis=0) < np.log(2 / alpha)
    found = left.any(axis=1)  # never empty but by chance, with a probability below alpha
    first = np.where(found, left.argmax(axis=1), 0) - 1
    last = np.where(found, _GRID - left[:, ::-1].argmax(axis=1), _GRID) + 1
    ends = np.clip([first, last], 0, _GRID) / _GRID  # a point of the grid beyond what is left
    return low + ends[0] * (high - low), low + ends[1] * (high - low)
