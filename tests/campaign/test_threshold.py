"""A threshold is decided as often wrongly as is said, and soon where the difference is plain."""

import numpy as np
import pytest
from scipy import integrate, stats

from robo_al.campaign.threshold import decide, evidence_above


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_evidence_is_the_bayes_factor_of_its_two_integrals(n):
    x = np.random.default_rng(n).normal(0.7, 1.0, n)

    def likelihood(u, effect):  # u = 1 / deviation; its right Haar measure is du / u
        return u ** (n - 1) * np.exp(-0.5 * np.sum((u * x - effect) ** 2))

    def prior(effect):
        return 2 * stats.norm.pdf(effect)

    above, _ = integrate.dblquad(lambda u, d: prior(d) * likelihood(u, d), 0, 8, 0, 60)
    equal, _ = integrate.quad(likelihood, 0, 60, args=(0.0,))
    assert evidence_above(x) == pytest.approx(above / equal, rel=1e-4)


@pytest.mark.parametrize("mean", [0.0, -0.2])
def test_at_the_threshold_and_below_it_is_seldom_said_to_be_reached(mean):
    rng, said = np.random.default_rng(0), []
    for series in rng.normal(mean, 1.0, (300, 20)):
        verdicts = (decide(series[:n], 0.0).verdict for n in range(1, 21))
        said.append(next((verdict for verdict in verdicts if verdict != "undecided"), "undecided"))
    assert said.count("reached") <= 0.05 * 300


def test_it_is_decided_soon_where_the_difference_is_plain_whatever_the_unit():
    near = [1.2, 0.9, 1.1, 1.0, 0.95, 1.15]
    assert decide(near, 0.5).verdict == "reached" and decide(near, 1.5).verdict == "below"
    assert decide(near, 1.05).verdict == "undecided" and decide([], 1.0).verdict == "undecided"
    scaled = decide([1000 * x for x in near], 500.0)
    assert decide(near, 0.5).p_value == pytest.approx(scaled.p_value)


def test_equal_returns_at_the_threshold_say_nothing():
    assert decide([2.0] * 9, 2.0) == ("undecided", 1.0)
