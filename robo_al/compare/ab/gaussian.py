"""A mean of values of which no range is known: a t test, and limits, that hold at every look.

What bets on bounded values (`robo_al.compare.sequential`) cannot be used there. What is assumed in
its place: independent values from one Gaussian. `robo_al.campaign.threshold` has the evidence for
either side, the mean of which is used here (Wang & Ramdas 2025, "Anytime-valid t-tests and
confidence sequences for Gaussian means with unknown variance").

Axes: **n** values, in the order in which they came.
"""

import numpy as np
from jaxtyping import Float

from robo_al.campaign.threshold import evidence_above
from robo_al.compare.sequential import LEVEL

_HALVINGS = 60
"""Of the stretch in which a limit is: enough for every digit of a floating-point number."""


def capital(values: Float[np.ndarray, "n"], mean: float) -> Float[np.ndarray, "n"]:
    """Return the e-value after each of the values against "the mean is this"."""
    return np.array([_evidence(values[: n + 1], mean) for n in range(len(values))])


def confidence_sequence(
    values: Float[np.ndarray, "n"],
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Return limits of the mean after each value, all of which hold together.

    They are infinite after the first few values, whatever those are.
    """
    limits = [_limits(values[: n + 1]) for n in range(len(values))]
    lows, highs = np.array(limits).reshape(-1, 2).T
    return np.maximum.accumulate(lows), np.minimum.accumulate(highs)


def _evidence(values: Float[np.ndarray, "n"], mean: float) -> float:
    if values.min() == values.max():
        return 1.0  # values that are all the same are from no Gaussian: they decide nothing
    return (evidence_above(values - mean) + evidence_above(mean - values)) / 2


def _limits(values: Float[np.ndarray, "n"]) -> tuple[float, float]:
    """Return between which means the e-value is below 1 / alpha; it grows away from theirs."""
    if values.min() == values.max():
        return -np.inf, np.inf
    centre, spread = float(values.mean()), float(values.std())
    found = []
    for side in (-1.0, 1.0):
        inside, outside = 0.0, spread
        while _evidence(values, centre + side * outside) < 1 / LEVEL:
            inside, outside = outside, 2 * outside
            if outside > 1e6 * spread:
                return -np.inf, np.inf
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            if _evidence(values, centre + side * middle) < 1 / LEVEL:
                inside = middle
            else:
                outside = middle
        found.append(centre + side * outside)
    return found[0], found[1]
