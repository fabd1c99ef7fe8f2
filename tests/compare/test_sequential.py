"""Looked at after every outcome, a difference that is not there is claimed in 5 of 100 cases."""

import numpy as np
import pytest
from scipy import integrate

from robo_al.compare import sequential
from robo_al.compare.sequential import confidence_sequence, evidence, p_value


def table(n: int) -> np.ndarray:
    """Return the evidence [n + 1, n + 1] after so many wins and losses."""
    return np.array([[evidence(wins, losses) for losses in range(n + 1)] for wins in range(n + 1)])


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (3, 0), (0, 4), (5, 2), (12, 9)])
def test_evidence_is_the_capital_of_the_spread_bets(wins: int, losses: int) -> None:
    spread, _ = integrate.quad(lambda bet: (1 + bet) ** wins * (1 - bet) ** losses / 2, -1, 1)
    all_in = (2.0**wins * (losses == 0) + 2.0**losses * (wins == 0)) / 2
    assert evidence(wins, losses) == pytest.approx((spread + all_in) / 2)


def test_nothing_can_be_won_on_average() -> None:
    found = table(12)
    for wins in range(12):
        for losses in range(12):
            after = (found[wins + 1, losses] + found[wins, losses + 1]) / 2
            assert after == pytest.approx(found[wins, losses])


def test_of_ten_thousand_equal_pairs_few_are_told_apart_however_often_one_looks() -> None:
    rng, n = np.random.default_rng(0), 100
    wins = np.cumsum(rng.random((10_000, n)) < 0.5, axis=1)
    looks = table(n)[wins, np.arange(1, n + 1) - wins]
    told_apart = (looks.max(axis=1) >= 20).mean()
    assert 0.02 < told_apart <= 0.05


def test_a_difference_is_found_about_as_soon_as_by_a_test_at_a_number_fixed_before() -> None:
    assert p_value(evidence(6, 0)) < 0.05 < p_value(evidence(5, 0))
    rng = np.random.default_rng(1)
    wins = np.cumsum(rng.random((2000, 40)) < 0.9, axis=1)
    looks = table(40)[wins, np.arange(1, 41) - wins]
    found = (np.maximum.accumulate(looks, axis=1) >= 20).mean(axis=0)
    assert found[14] > 0.65 and found[29] > 0.97


def test_much_evidence_is_a_number() -> None:
    assert np.isfinite(evidence(5000, 0))
    assert 0 < p_value(evidence(5000, 0)) < 1e-300
    assert p_value(evidence(3, 4)) == 1


@pytest.mark.parametrize("mean", [0.5, 0.05])
def test_the_mean_lies_within_all_limits_at_once(mean: float) -> None:
    rng, n, missed = np.random.default_rng(2), 40, 0
    for _ in range(40):
        low, high = confidence_sequence((rng.random(n) < mean).astype(float), 0, 1)
        assert (np.diff(low) >= 0).all() and (np.diff(high) <= 0).all()
        missed += not ((low <= mean) & (mean <= high)).all()
    assert missed <= 4  # of 40, of which 2 are allowed in the mean


def test_the_limits_close_in_on_the_mean() -> None:
    rng = np.random.default_rng(3)
    low, high = confidence_sequence(rng.uniform(0.2, 0.4, 400), -1, 1)
    assert low[2] < -0.5  # three outcomes say little
    assert 0.2 < low[-1] < 0.3 < high[-1] < 0.4


def test_no_limit_leaves_the_range() -> None:
    low, high = confidence_sequence(np.ones(50), -1, 1)
    assert high[-1] == 1 and low[-1] > 0.7


def test_the_capital_against_no_difference_of_pairs_is_the_evidence() -> None:
    outcomes = np.random.default_rng(4).choice([1, 0, -1], 60, p=[0.5, 0.3, 0.2])
    found = sequential.capital(outcomes, 0.0, -1, 1)
    wins, losses = (np.cumsum(outcomes == sign) for sign in (1, -1))
    assert found == pytest.approx([evidence(*both) for both in zip(wins, losses, strict=True)])


@pytest.mark.parametrize("mean", [0.2, 0.77])
def test_a_limit_passes_a_mean_exactly_when_the_capital_against_it_is_enough(mean: float) -> None:
    outcomes = (np.random.default_rng(5).random(200) < 0.5).astype(float)
    found = np.maximum.accumulate(sequential.capital(outcomes, mean, 0, 1)) >= 20
    low, high = confidence_sequence(outcomes, 0, 1, at=[mean])
    assert 0 < found.argmax() < 100
    assert (((low >= mean) | (high <= mean)) == found).all()


def test_of_equal_policies_few_are_told_apart_by_scores_however_often_one_looks() -> None:
    rng, told_apart = np.random.default_rng(6), 0
    for _ in range(200):
        scores = rng.random((2, 60)) < rng.random(60)  # of paired starts, some of them hard
        found = sequential.capital(scores[0].astype(float) - scores[1], 0.0, -1, 1)
        told_apart += bool(found.max() >= 20)
    assert 1 <= told_apart <= 19  # 10 are allowed in the mean: more than 19 have a chance of 1/300


def test_outcomes_that_are_all_the_same_for_long_leave_no_number_that_is_none() -> None:
    assert np.isfinite(sequential.capital(np.ones(3000), 0.0, -1, 1)).all()
    low, high = confidence_sequence(np.ones(800), 0, 1)
    assert low[-1] > 0.99
    assert high[-1] == 1


def test_without_outcomes_there_are_no_limits() -> None:
    low, high = confidence_sequence(np.empty(0), 0, 1)
    assert len(low) == len(high) == 0
