"""Against rliable, scipy, published survival data, brute force, and coverage by simulation."""

import itertools

import numpy as np
import pytest
from numpy.random import RandomState
from rliable import library, metrics
from scipy import stats

from robo_al.compare import statistics
from robo_al.compare.statistics import (
    Interval,
    area_under_curve,
    bootstrap_curve,
    improvement_interval,
    interquartile_mean,
    log_rank,
    median_with_censoring,
    paired_difference,
    performance_profile,
    probability_of_improvement,
    rollouts_to_reach,
    signed_rank,
    spent,
    stratified_bootstrap,
)

# Weeks in remission under 6-mercaptopurine and under placebo (Freireich et al. 1963, as in Klein &
# Moeschberger 2003, table 1.1).
DRUG = np.array([10, 7, 32, 23, 22, 6, 16, 34, 32, 25, 11, 20, 19, 6, 17, 35, 6, 13, 9, 6, 10])
DRUG_CENSORED = (2, 7, 8, 9, 10, 11, 12, 14, 15, 18, 19, 20)
RELAPSED = np.isin(np.arange(21), DRUG_CENSORED, invert=True)
PLACEBO = np.array([1, 22, 3, 12, 8, 17, 2, 11, 8, 12, 2, 5, 4, 15, 8, 23, 5, 11, 4, 1, 8])
ALL = np.ones(21, bool)

# Weeks in remission with and without maintenance (acute myelogenous leukemia; Miller 1981).
MAINTAINED = np.array([9, 13, 13, 18, 23, 28, 31, 34, 45, 48, 161])
MAINTAINED_RELAPSED = np.array([1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0], bool)
BARE = np.array([5, 5, 8, 8, 12, 16, 23, 27, 30, 33, 43, 45])
BARE_RELAPSED = np.array([1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1], bool)


@pytest.fixture
def rng():
    np.random.seed(3)  # rliable draws from NumPy's own generator, whatever it is given
    return np.random.default_rng(3)


def holds(interval, truth):
    assert interval.low is not None and interval.high is not None
    return interval.low <= truth <= interval.high


seeded_rliable = pytest.mark.filterwarnings("ignore:random_state is deprecated:FutureWarning")
"""rliable can be seeded only in a way that arch, which it draws with, warns of."""


# ---------------------------------------------------------------- interquartile mean, bootstrap


@pytest.mark.parametrize("n", range(1, 14))
def test_interquartile_mean_is_that_of_rliable(n, rng):
    values = rng.normal(size=n)
    assert interquartile_mean(values) == pytest.approx(metrics.aggregate_iqm(values[:, None]))


def test_a_wild_quarter_at_either_end_does_not_move_the_interquartile_mean():
    assert interquartile_mean(np.array([-1000, 1, 2, 3, 4, 5, 6, 9000])) == 3.5
    assert interquartile_mean(np.array([9, 1, 5, 5])) == 5


@seeded_rliable
def test_the_bootstrap_is_that_of_rliable_with_many_runs(rng):
    scores = rng.gamma(2, size=(200, 3)) + [0, 1, 4]
    _, reference = library.get_interval_estimates(
        {"a": scores},
        lambda x: np.array([metrics.aggregate_iqm(x)]),
        reps=2000,
        random_state=RandomState(0),
    )
    ours = stratified_bootstrap(
        list(scores.T), lambda groups: interquartile_mean(np.concatenate(groups)), rng
    )
    assert ours.value == pytest.approx(metrics.aggregate_iqm(scores))
    assert [ours.low, ours.high] == pytest.approx(reference["a"][:, 0], abs=0.015)


@seeded_rliable
def test_with_few_runs_the_interval_is_around_that_of_rliable(rng):
    scores = rng.normal(size=(10, 1))
    _, reference = library.get_interval_estimates(
        {"a": scores},
        lambda x: np.array([metrics.aggregate_iqm(x)]),
        reps=2000,
        random_state=RandomState(0),
    )
    ours = stratified_bootstrap([scores[:, 0]], lambda g: interquartile_mean(g[0]), rng)
    assert ours.low < reference["a"][0, 0] < reference["a"][1, 0] < ours.high


def test_runs_are_drawn_within_their_group(rng):
    groups = [np.zeros(5), np.full(7, 10.0)]
    found = stratified_bootstrap(groups, lambda g: float(g[0].mean() + g[1].mean()), rng)
    assert found == Interval(10.0, 10.0, 10.0)


def test_what_belongs_together_is_drawn_together(rng):
    x = rng.normal(size=8)
    pairs = np.stack([x + 1, x], axis=-1)
    interval = stratified_bootstrap([pairs], lambda g: (g[0][:, 0] - g[0][:, 1]).mean(), rng)
    assert (interval.low, interval.high) == pytest.approx((1, 1))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((0,), Interval(None, None, None)), ((2,), Interval(1.0, None, None))]
    + [((4, 1), Interval(1.0, None, None)), ((4, 0), Interval(None, None, None))],
)
def test_too_few_runs_have_no_interval(sizes, expected, rng):
    groups = [np.ones(n) for n in sizes]
    assert stratified_bootstrap(groups, lambda g: float(g[0].mean()), rng) == expected


@pytest.mark.parametrize("n", [4, 5, 10, 20])
@pytest.mark.parametrize("distribution", [stats.norm(), stats.lognorm(1), stats.t(3)])
def test_nineteen_of_twenty_bands_hold_the_true_interquartile_mean(n, distribution, rng):
    middle = np.linspace(0.25, 0.75, 10001)
    truth = distribution.ppf((middle[1:] + middle[:-1]) / 2).mean()
    experiments = distribution.rvs(size=(n, 400), random_state=rng)
    _, low, high = bootstrap_curve(experiments, rng)
    assert 0.91 < np.mean((low <= truth) & (truth <= high)) < 0.995


def test_a_curve_is_the_interquartile_mean_at_each_point(rng):
    curves = rng.integers(0, 9, size=(7, 4))
    value, low, high = bootstrap_curve(curves, rng)
    assert value.tolist() == [interquartile_mean(point) for point in curves.T]
    assert (low < value).all() and (value < high).all()
    assert (low >= curves.min(axis=0)).all() and (high <= curves.max(axis=0)).all()


def test_a_curve_of_one_run_has_no_band(rng):
    value, low, high = bootstrap_curve(np.array([[1.0, 2.0]]), rng)
    assert value.tolist() == [1, 2] and np.isnan([low, high]).all()


# ---------------------------------------------------------------- probability of improvement


def test_the_probability_of_improvement_counts_pairs(rng):
    x, y = rng.integers(0, 5, size=9), rng.integers(0, 5, size=6)
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in x for b in y]
    assert probability_of_improvement(x, y) == pytest.approx(np.mean(pairs))
    assert probability_of_improvement(x, y) + probability_of_improvement(y, x) == pytest.approx(1)
    assert probability_of_improvement(x, y) == pytest.approx(
        metrics.probability_of_improvement(x[:, None], y[:, None])
    )


@seeded_rliable
def test_independent_runs_give_the_interval_of_rliable(rng):
    x, y = rng.normal(0.3, size=80), rng.normal(size=60)
    _, reference = library.get_interval_estimates(
        {"a": [x[:, None], y[:, None]]},
        lambda x, y: np.array([metrics.probability_of_improvement(x, y)]),
        reps=300,
        random_state=RandomState(0),
    )
    ours = improvement_interval(x, y, rng, paired=False)
    assert [ours.low, ours.high] == pytest.approx(reference["a"][:, 0], abs=0.03)


def test_pairing_narrows_the_interval_where_seeds_go_alike(rng):
    luck = rng.normal(size=20)
    x, y = luck + 0.2 + 0.1 * rng.normal(size=20), luck + 0.1 * rng.normal(size=20)
    paired = improvement_interval(x, y, rng)
    independent = improvement_interval(x, y, rng, paired=False)
    assert paired.value == independent.value
    assert paired.high - paired.low < 0.7 * (independent.high - independent.low)


@pytest.mark.parametrize("n", [3, 5, 6, 10])
def test_an_improvement_in_all_runs_is_not_certain(n, rng):
    x, y = np.arange(n) + 100.0, np.arange(n) + 0.0
    limit = stats.binomtest(n, n).proportion_ci(method="exact").low
    assert (found := improvement_interval(x, y, rng)).value == found.high == 1
    assert found.low == pytest.approx(limit)
    assert (found := improvement_interval(y, x, rng)).value == found.low == 0
    assert found.high == pytest.approx(1 - limit)
    assert (limit > 0.5) == (n >= 6)


def test_one_run_has_no_interval(rng):
    assert improvement_interval(np.array([1.0]), np.array([0.0]), rng) == Interval(1.0, None, None)
    assert improvement_interval(np.empty(0), np.empty(0), rng) == Interval(None, None, None)


def test_nineteen_of_twenty_intervals_hold_the_true_probability(rng, monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 400)
    truth = stats.norm.cdf(0.5 / np.sqrt(2))  # runs of different seeds are independent
    hits = []
    for _ in range(120):
        x, y = rng.multivariate_normal([0.5, 0], [[1, 0.5], [0.5, 1]], size=10).T
        hits.append(holds(improvement_interval(x, y, rng), truth))
    assert 0.91 < np.mean(hits) < 0.995


# ---------------------------------------------------------------- medians with censoring


@pytest.mark.parametrize(
    ("times", "solved", "expected"),
    [
        (DRUG, RELAPSED, Interval(23.0, 13.0, None)),
        (PLACEBO, ALL, Interval(8.0, 4.0, 11.0)),
        (MAINTAINED, MAINTAINED_RELAPSED, Interval(31.0, 13.0, None)),
        (BARE, BARE_RELAPSED, Interval(23.0, 5.0, 33.0)),
    ],
)
def test_published_medians(times, solved, expected):
    # Medians: Freireich's 23 and 8, Miller's 31 and 23. Limits: log-log, as SAS's PROC LIFETEST
    # and lifelines give them.
    assert median_with_censoring(times, solved) == expected


def redistributed_median(times, solved):
    """Efron (1967): a censored run's weight goes to all later runs in equal parts."""
    order = np.lexsort([~solved, times])
    times, solved = times[order], solved[order]
    weights = np.full(len(times), 1 / len(times))
    for i in np.flatnonzero(~solved):
        later = len(times) - i - 1
        weights[i + 1 :] += weights[i] / later if later else 0
        weights[i] = 0
    reached = times[np.cumsum(weights) >= 0.5 - 1e-9]
    return reached[0] if len(reached) else None


def test_medians_are_those_of_weights_handed_on(rng):
    found = set()
    for _ in range(200):
        n = rng.integers(2, 12)
        times, solved = rng.integers(1, 9, n), rng.random(n) < 0.6
        median = median_with_censoring(times, solved)
        assert median.value == redistributed_median(times, solved)
        assert median.low is None or median.value is None or median.low <= median.value
        assert median.high is None or median.value <= median.high
        found.add(median.value is None)
    assert found == {True, False}


def test_what_is_not_reached_is_none():
    times = np.array([4.0, 6, 9, 20, 20, 20, 20])
    assert median_with_censoring(times, times < 20) == Interval(None, 4.0, None)
    assert median_with_censoring(times, times > 20) == Interval(None, None, None)
    assert median_with_censoring(times[:0], times[:0] > 0) == Interval(None, None, None)
    assert median_with_censoring(np.array([3]), np.array([True])) == Interval(3.0, None, None)


def test_five_runs_cannot_bound_the_median_from_above():
    # Even between the first and the last of 5 it lies in 30 of 32 cases only, less than 95 %.
    found = median_with_censoring(np.arange(1, 6), np.ones(5, bool))
    assert found == Interval(3.0, 1.0, None)
    assert median_with_censoring(np.arange(1, 11), np.ones(10, bool)).high is not None


@pytest.mark.parametrize("budget", [np.inf, 12, 7.5])
def test_nineteen_of_twenty_intervals_hold_the_true_median(budget, rng):
    hits = []
    for _ in range(300):
        times = rng.exponential(6 / np.log(2), size=10)
        found = median_with_censoring(np.minimum(times, min(budget, 1e6)), times <= budget)
        hits.append((found.low or 0) <= 6 <= (found.high or np.inf))
    assert 0.91 < np.mean(hits) < 0.995


# ---------------------------------------------------------------- log-rank


def test_published_log_rank_tests():
    drug = log_rank(DRUG, RELAPSED, PLACEBO, ALL)
    assert stats.chi2.isf(drug, 1) == pytest.approx(16.79, abs=0.005)
    maintenance = log_rank(MAINTAINED, MAINTAINED_RELAPSED, BARE, BARE_RELAPSED)
    assert maintenance == pytest.approx(0.0653, abs=5e-5)


def test_log_rank_looks_at_the_order_only():
    p_value = log_rank(DRUG, RELAPSED, PLACEBO, ALL)
    assert log_rank(PLACEBO, ALL, DRUG, RELAPSED) == pytest.approx(p_value)
    assert log_rank(DRUG**2, RELAPSED, PLACEBO**2, ALL) == pytest.approx(p_value)


def test_log_rank_is_one_where_the_data_cannot_tell():
    times, none, every = np.full(5, 7), np.zeros(5, bool), np.ones(5, bool)
    assert log_rank(times, none, times, none) == 1
    assert log_rank(times, every, times, every) == 1


# ---------------------------------------------------------------- differences paired by seed


def test_a_run_that_did_not_get_there_needed_more_than_the_budget():
    times, reached = np.array([3, 5, 99, 10]), np.array([True, True, False, True])
    assert spent(times, reached, 10).tolist() == [3, 5, 11, 10]


def test_a_saving_shared_by_all_seeds_is_found_however_seeds_differ(rng):
    b = rng.integers(10, 100, size=8)
    assert paired_difference(b - (b - 3), rng) == Interval(3.0, 3.0, 3.0)
    assert signed_rank(b - (b - 3)) == 2 / 2**8


def test_nineteen_of_twenty_intervals_hold_the_true_saving(rng, monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 400)
    budget, chance_a, chance_b = 20, 0.2, 0.12
    truth = sum((1 - chance_b) ** k - (1 - chance_a) ** k for k in range(budget + 1))
    hits = []
    for _ in range(150):
        a, b = (
            spent(times, times <= budget, budget)
            for times in (rng.geometric(chance, size=10) for chance in (chance_a, chance_b))
        )
        hits.append(holds(paired_difference(b - a, rng), truth))
    assert 0.91 < np.mean(hits) < 0.995


@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize("distribution", [stats.norm(), stats.uniform()])
def test_intervals_of_few_seeds_hold_the_true_mean(n, distribution, rng, monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 100)
    truth = distribution.mean()
    hits = [
        holds(paired_difference(distribution.rvs(size=n, random_state=rng), rng), truth)
        for _ in range(100)
    ]
    assert np.mean(hits) > 0.87


def test_two_seeds_have_no_interval(rng):
    assert paired_difference(np.array([1.0, 2.0]), rng) == Interval(1.5, None, None)


def signed_rank_by_enumeration(saved):
    saved = saved[saved != 0]
    ranks = stats.rankdata(np.abs(saved))
    observed = abs((np.sign(saved) * ranks).sum())
    signs = itertools.product([-1, 1], repeat=len(saved))
    return np.mean([abs(np.dot(sign, ranks)) >= observed for sign in signs])


@pytest.mark.parametrize("n", [1, 2, 5, 6, 10])
def test_the_signed_rank_test_is_exact_with_ties_and_zeros(n, rng):
    for _ in range(5):
        saved = rng.integers(-6, 7, size=n)
        assert signed_rank(saved) == pytest.approx(signed_rank_by_enumeration(saved))


def test_the_signed_rank_test_is_that_of_scipy_for_many_seeds(rng):
    saved = rng.normal(0.3, size=40)
    assert signed_rank(saved) == pytest.approx(stats.wilcoxon(saved, method="exact").pvalue)


def test_no_difference_and_too_few_seeds_are_not_significant():
    assert signed_rank(np.zeros(5)) == 1
    assert signed_rank(np.full(5, 50)) == 2 / 2**5


# ---------------------------------------------------------------- curves and scores


def test_the_area_is_the_mean_return_over_the_budget(rng):
    rollouts = np.array([1, 2, 4, 7])
    returns = rng.normal(size=4)
    held = [returns[rollouts <= rollout][-1] for rollout in range(1, 12)]
    assert area_under_curve(rollouts, returns, 12) == pytest.approx(np.mean(held))


def test_a_run_that_ended_early_keeps_its_last_return():
    assert area_under_curve(np.array([0, 4]), np.array([0, 10]), 20) == 8
    assert area_under_curve(np.array([0, 4, 12]), np.array([0, 10, 10]), 20) == 8


def test_evaluations_beyond_the_budget_do_not_count():
    assert area_under_curve(np.array([0, 5, 11]), np.array([0.0, 1.0, 99.0]), 10) == 0.5
    assert area_under_curve(np.array([10]), np.array([3.0]), 10) == 3


def test_the_profile_is_that_of_rliable_and_counts_a_score_at_the_threshold(rng):
    scores, thresholds = rng.normal(size=30), np.linspace(-2, 2, 9)
    reference, _ = library.create_performance_profile({"a": scores[:, None]}, thresholds, reps=2)
    assert performance_profile(scores, thresholds) == pytest.approx(reference["a"])
    assert performance_profile(np.array([1, 2, 3, 4]), np.array([0, 2, 5])).tolist() == [1, 0.75, 0]


def test_a_level_is_reached_at_the_first_evaluation_at_or_above_it():
    rollouts, returns = np.array([2, 4, 6, 8]), np.array([-9.0, -5.0, -7.0, -1.0])
    assert rollouts_to_reach(rollouts, returns, -5.0) == 4
    assert rollouts_to_reach(rollouts, returns, -4.0) == 8
    assert rollouts_to_reach(rollouts, returns, 0.0) is None
