import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from scipy.linalg.lapack import dpstrf
from scipy.stats import chisquare

from robo_al.acquisition import select
from robo_al.acquisition.joint import JointInformation
from robo_al.acquisition.random import Random
from robo_al.acquisition.returns import GreedyReturn
from robo_al.acquisition.select import GreedyJoint, Stochastic, TopK
from robo_al.acquisition.uncertainty import Information
from robo_al.errors import ConfigError, ModelError, PluginError, UserError
from robo_al.testing import FakeModel, fake_task, pool_of, random_imagined
from robo_al.types import BatchBudget


class Given:
    """Scores as given."""

    def __init__(self, scores):
        self.scores = torch.tensor(scores)

    def __call__(self, pool, rng):
        return self.scores


class Counting:
    """Joint information that counts how many gains are asked for."""

    def __init__(self):
        self.inner, self.asked = JointInformation(), 0

    def __call__(self, pool, rng):
        return self.inner(pool, rng)

    def joint(self, pool):
        self._joint = self.inner.joint(pool)
        return self

    def gains(self, indices):
        self.asked += len(indices)
        return self._joint.gains(indices)

    def add(self, index):
        self._joint.add(index)


def plain_greedy(acquisition, imagined, model, pending, k):
    """Evaluate everything before every pick."""
    joint, picks, gains = acquisition.joint(pool_of(imagined, model, pending)), [], []
    for _ in range(k):
        values = [
            -math.inf if n in picks else float(joint.gains([n])[0]) for n in range(len(imagined))
        ]
        picks.append(int(np.argmax(values)))
        gains.append(max(values))
        joint.add(picks[-1])
    return picks, gains


def copies(imagined, sources):
    """Return candidates that are copies of others."""
    return dataclasses.replace(
        imagined,
        observations=imagined.observations[:, sources],
        actions=imagined.actions[:, sources],
        rewards=imagined.rewards[:, sources],
        members=imagined.members[:, sources],
        horizons=imagined.horizons[sources],
        mask=imagined.mask[:, sources],
        finite=imagined.finite[sources],
    )


@pytest.mark.parametrize("seed", range(3))
def test_single_steps_are_picked_in_the_order_of_pivoted_cholesky(smooth, seed):
    rng = np.random.default_rng(seed)
    imagined = random_imagined(rng, members=1, candidates=30, steps=1)
    smooth.lengths, smooth.scales = (1.0,), (30.0,)
    steps = tuple(value[0, :, 0] for value in imagined.inputs)
    matrix = smooth.covariance(steps, steps)[0].numpy() + np.eye(30)
    _, pivots, rank, _ = dpstrf(matrix, tol=-1.0)
    assert rank == 30
    selection = GreedyJoint()(JointInformation(), pool_of(imagined, smooth), 30, rng)
    assert list(selection.indices) == (pivots - 1).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_greedy_reaches_its_guarantee(smooth, brute, seed):
    rng = np.random.default_rng(seed)
    imagined = random_imagined(rng, members=2, candidates=8, steps=3)
    pending = random_imagined(rng, members=2, candidates=1, steps=3)
    selection = GreedyJoint()(JointInformation(), pool_of(imagined, smooth, pending), 3, rng)
    reached = brute.information(imagined, selection.indices, pending)
    assert np.isclose(reached, sum(selection.gains), rtol=1e-9)
    best = max(
        brute.information(imagined, batch, pending) for batch in itertools.combinations(range(8), 3)
    )
    assert best * (1 + 1e-9) >= reached >= (1 - 1 / math.e) * best


@pytest.mark.parametrize("seed", range(2))
def test_lazy_picks_are_those_of_evaluating_everything_and_cost_less(smooth, seed, monkeypatch):
    monkeypatch.setattr(select, "FIRST_LOOK", 4)  # fewer than there are candidates
    rng = np.random.default_rng(seed)
    imagined = random_imagined(rng, members=2, candidates=80, steps=3)
    pending = random_imagined(rng, members=1, candidates=2, steps=2)
    lazy, plain = Counting(), Counting()
    selection = GreedyJoint()(lazy, pool_of(imagined, smooth, pending), 6, rng)
    picks, gains = plain_greedy(plain, imagined, smooth, pending, 6)
    assert list(selection.indices) == picks
    np.testing.assert_allclose(selection.gains, gains, rtol=1e-9)
    assert lazy.asked < plain.asked / 2


def test_a_copy_waits_for_everything_that_tells_more(smooth, rng):
    imagined = copies(random_imagined(rng, members=1, candidates=4, steps=4), [0, 0, 1, 2, 3, 0])
    selection = GreedyJoint()(JointInformation(), pool_of(imagined, smooth), 6, rng)
    assert len({0, 1, 5} & set(selection.indices[:4])) == 1
    assert sorted(selection.indices) == list(range(6))


def test_ties_go_to_the_lower_index(smooth, rng):
    originals = random_imagined(rng, members=1, candidates=2, steps=4)
    imagined = copies(originals, [1, 0, 1, 0])
    scores = JointInformation()(pool_of(originals, smooth), rng)
    first = 0 if scores[1] > scores[0] else 1
    for selector in (GreedyJoint(), TopK()):
        selection = selector(JointInformation(), pool_of(imagined, smooth), 1, rng)
        assert selection.indices == (first,)
    selection = TopK()(Given([1.0, 3.0, 3.0, 0.0]), pool_of(imagined, smooth), 3, rng)
    assert selection.indices == (1, 2, 0)


def test_top_k_takes_the_highest_scores_in_order(rng, smooth):
    imagined = random_imagined(rng, candidates=7)
    selection = TopK()(GreedyReturn(), pool_of(imagined, smooth), 4, rng)
    returns = imagined.returns.mean(0).numpy()
    assert list(selection.indices) == np.argsort(-returns)[:4].tolist()
    np.testing.assert_allclose(selection.scores, returns)
    assert selection.gains == tuple(selection.scores[n] for n in selection.indices)


@pytest.mark.parametrize("selector", [TopK(), GreedyJoint()])
def test_scores_are_each_candidates_own_and_picks_are_distinct(selector, smooth, rng):
    imagined = random_imagined(rng, candidates=6)
    selection = selector(JointInformation(), pool_of(imagined, smooth), 6, rng)
    assert sorted(selection.indices) == list(range(6))
    expected = JointInformation()(pool_of(imagined, smooth), rng)
    np.testing.assert_allclose(selection.scores, expected, rtol=1e-12)
    assert list(selection.gains) == sorted(selection.gains, reverse=True)


@pytest.mark.parametrize("selector", [TopK(), GreedyJoint()])
def test_what_is_not_finite_is_never_picked(selector, smooth, rng):
    imagined = random_imagined(rng, candidates=5)
    imagined = dataclasses.replace(imagined, finite=torch.tensor([True, False, True, False, True]))
    selection = selector(JointInformation(), pool_of(imagined, smooth), 3, rng)
    assert sorted(selection.indices) == [0, 2, 4]
    with pytest.raises(UserError, match="4 candidates are to be selected, and 3 of 5"):
        selector(JointInformation(), pool_of(imagined, smooth), 4, rng)
    with pytest.raises(UserError, match="0 candidates"):
        selector(JointInformation(), pool_of(imagined, smooth), 0, rng)


def test_greedy_joint_refuses_scores_of_single_candidates(smooth, rng):
    for acquisition in (Random(), Information(), GreedyReturn()):
        name = type(acquisition).__name__
        with pytest.raises(ConfigError, match=f"{name}.*use the selector top_k"):
            GreedyJoint()(acquisition, pool_of(random_imagined(rng), smooth), 1, rng)


def test_scores_that_break_the_contract_are_refused(rng):
    imagined, model = random_imagined(rng, candidates=3), FakeModel(fake_task())
    with pytest.raises(PluginError, match=r"Given: scores of shape \(2,\) for 3"):
        TopK()(Given([1.0, 2.0]), pool_of(imagined, model), 1, rng)
    with pytest.raises(ModelError, match="candidate 1 is nan"):
        TopK()(Given([1.0, math.nan, 2.0]), pool_of(imagined, model), 1, rng)


# ---------------------------------------------------------------- stochastic


def draws(temperature, scores, k, times):
    """Return how often each pair of picks was drawn."""
    rng = np.random.default_rng(0)
    imagined, model = random_imagined(rng, candidates=len(scores)), FakeModel(fake_task())
    pool, given, selector = pool_of(imagined, model), Given(scores), Stochastic(temperature)
    counts = {}
    for _ in range(times):
        picks = selector(given, pool, k, rng).indices
        counts[picks] = counts.get(picks, 0) + 1
    return counts


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_stochastic_draws_without_replacement_by_powers_of_the_scores(temperature):
    scores = [1.0, 2.0, 4.0]
    weights = np.array(scores) ** (1 / temperature)
    counts, times = draws(temperature, scores, 2, 1000), 1000
    pairs = list(itertools.permutations(range(3), 2))
    expected = [
        weights[a] / weights.sum() * weights[b] / (weights.sum() - weights[a]) * times
        for a, b in pairs
    ]
    assert chisquare([counts.get(pair, 0) for pair in pairs], expected).pvalue > 0.01


def test_stochastic_is_top_k_when_cold_and_never_picks_nothing():
    assert draws(1e-3, [1.0, 2.0, 4.0], 2, 50) == {(2, 1): 50}
    assert set(draws(1.0, [0.0, 0.0, 3.0], 1, 50)) == {(2,)}


def test_stochastic_refuses_scores_without_logarithm_and_no_temperature(rng):
    imagined, model = random_imagined(rng, candidates=2), FakeModel(fake_task())
    with pytest.raises(UserError, match="needs scores above 0, and Given gives none"):
        Stochastic()(Given([-1.0, -2.0]), pool_of(imagined, model), 1, rng)
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match="temperature"):
            Stochastic(temperature)


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize("selector", [TopK(), GreedyJoint(), Stochastic()])
def test_every_selector_keeps_within_its_limits(selector, smooth):
    rng = np.random.default_rng(3)
    imagined = random_imagined(rng, candidates=12)
    seconds, risks = rng.uniform(1, 3, 12), rng.uniform(0, 0.2, 12)
    limits = BatchBudget(seconds, 6.0, risks, 0.3)
    selection = selector.within(limits)(JointInformation(), pool_of(imagined, smooth), 12, rng)
    picks = list(selection.indices)
    assert picks and seconds[picks].sum() <= 6.0 and risks[picks].sum() <= 0.3
    unlimited = selector(JointInformation(), pool_of(imagined, smooth), 12, rng)
    assert len(unlimited.indices) == 12


def test_unit_prices_change_nothing(smooth, rng):
    imagined = random_imagined(rng, candidates=10)
    plain = GreedyJoint()(JointInformation(), pool_of(imagined, smooth), 4, rng)
    limits = BatchBudget(np.ones(10), 4.0)
    assert (
        GreedyJoint().within(limits)(JointInformation(), pool_of(imagined, smooth), 4, rng) == plain
    )
