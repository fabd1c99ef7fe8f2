"""Means of values of an unknown range: limits that agree with the test, and few false claims."""

import numpy as np

from robo_al.compare.ab import gaussian
from robo_al.compare.sequential import LEVEL


def test_equal_policies_are_seldom_told_apart_by_whoever_looks_after_every_pair() -> None:
    rng, told_apart = np.random.default_rng(0), 0
    for _ in range(100):
        found = gaussian.capital(rng.normal(0, 40, 30), 0.0)
        told_apart += bool(found.max() >= 1 / LEVEL)
    assert told_apart <= 12  # 5 are allowed in the mean: more than 12 have a chance of 1/500


def test_a_limit_passes_a_mean_exactly_when_the_capital_against_it_is_enough() -> None:
    values = np.random.default_rng(1).normal(1, 1, 40)
    found = np.maximum.accumulate(gaussian.capital(values, 0.1)) >= 1 / LEVEL
    low, high = gaussian.confidence_sequence(values)
    assert ((low >= 0.1) == found).all()
    assert 4 < found.argmax() < 39
    assert np.isinf(low[:4]).all()
    assert low[-1] < 1 < high[-1]


def test_values_that_are_all_the_same_decide_nothing() -> None:
    assert (gaussian.capital(np.ones(20), 0.0) == 1).all()
    low, high = gaussian.confidence_sequence(np.ones(20))
    assert np.isinf([low, high]).all()
    assert len(gaussian.confidence_sequence(np.empty(0))[0]) == 0
