import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import norm

from robo_al.acquisition.returns import (
    ExpectedImprovement,
    GreedyReturn,
    Thompson,
    UpperConfidenceBound,
)
from robo_al.acquisition.select import TopK
from robo_al.errors import ConfigError
from robo_al.testing import FakeModel, fake_task, pool_of, random_imagined


def with_returns(rng, returns, starts=None, members=None):
    """Return rollouts of one step with these returns [E,N], all from one start or from several."""
    returns = torch.as_tensor(returns, dtype=torch.float64)
    imagined = random_imagined(rng, *returns.shape, steps=1)
    observations = imagined.observations.clone()
    start = torch.zeros(returns.shape[1]) if starts is None else torch.tensor(starts)
    observations[:, :, 0] = start[:, None].double()
    return dataclasses.replace(
        imagined,
        observations=observations,
        rewards=returns[..., None],
        members=imagined.members if members is None else torch.tensor(members),
    )


@pytest.fixture
def model():
    return FakeModel(fake_task())


def test_greedy_is_the_mean_imagined_return_of_valid_steps(rng, model):
    imagined = random_imagined(rng, members=2, candidates=5, ends=True)
    imagined = dataclasses.replace(imagined, finite=torch.arange(5) != 2)
    scores = GreedyReturn()(pool_of(imagined, model), rng).numpy()
    for n in (0, 1, 3, 4):
        lengths = imagined.mask[:, n].sum(-1).long()
        expected = np.mean([imagined.rewards[e, n, : lengths[e]].sum() for e in range(2)])
        assert np.isclose(scores[n], expected, rtol=1e-12)
    assert scores[2] == -np.inf


@pytest.mark.parametrize("kappa", [0.0, 1.0, 2.5])
def test_the_upper_bound_is_so_many_deviations_above_the_mean(rng, model, kappa):
    imagined = random_imagined(rng, members=3, ends=True)
    scores = UpperConfidenceBound(kappa)(pool_of(imagined, model), rng)
    returns = imagined.returns.numpy()
    np.testing.assert_allclose(scores, returns.mean(0) + kappa * returns.std(0), rtol=1e-12)


def test_of_equal_means_the_upper_bound_takes_what_is_less_known(rng, model):
    imagined = with_returns(rng, [[1.0, 0.0, -4.0], [1.0, 2.0, 6.0]])
    scores = UpperConfidenceBound()(pool_of(imagined, model), rng)
    assert scores.tolist() == [1.0, 2.0, 6.0]


def test_improvement_is_that_of_direct_loops(rng, model):
    starts = [0.0, 1.0, 0.0, 1.0, 1.0]
    imagined = with_returns(rng, rng.normal(size=(4, 5)), starts)
    pending = with_returns(rng, 0.3 + rng.normal(size=(4, 2)), [1.0, 7.0])
    scores = ExpectedImprovement()(pool_of(imagined, model, pending), rng)
    for n, start in enumerate(starts):
        known = [imagined.returns[:, i].mean() for i in range(5) if starts[i] == start]
        if start == 1.0:
            known.append(pending.returns[:, 0].mean())
        gains = [max(float(value - max(known)), 0.0) for value in imagined.returns[:, n]]
        assert np.isclose(scores[n], np.mean(gains), rtol=1e-12)


def test_improvement_of_many_gaussian_members_is_the_closed_form(rng, model):
    means, deviations = np.array([0.0, -0.5, -2.0, -1.0]), np.array([0.3, 1.0, 2.0, 0.05])
    returns = means + deviations * rng.normal(size=(200_000, 4))
    scores = ExpectedImprovement()(pool_of(with_returns(rng, returns), model), rng).numpy()
    z = (means - means.max()) / deviations
    expected = deviations * (z * norm.cdf(z) + norm.pdf(z))
    np.testing.assert_allclose(scores, expected, atol=0.01)


def test_a_pending_rollout_raises_the_incumbent(rng, model):
    imagined = with_returns(rng, rng.normal(size=(3, 4)))
    pending = with_returns(rng, np.full((3, 1), 1.0 + float(imagined.returns.max())))
    before = ExpectedImprovement()(pool_of(imagined, model), rng)
    assert before.max() > 0
    assert (ExpectedImprovement()(pool_of(imagined, model, pending), rng) == 0).all()
    lost = dataclasses.replace(pending, finite=torch.tensor([False]))
    assert torch.equal(ExpectedImprovement()(pool_of(imagined, model, lost), rng), before)


@pytest.mark.parametrize(
    ("acquisition", "name"),
    [(UpperConfidenceBound(), "ucb"), (ExpectedImprovement(), "expected_improvement")],
)
def test_a_spread_takes_several_members(rng, model, acquisition, name):
    acquisition.require(model, 2)
    with pytest.raises(ConfigError, match=f"{name} needs .*set `imagination_members: 4`"):
        acquisition.require(model, 1)
    with pytest.raises(ConfigError, match=f"{name} needs .*FakeModel has one"):
        acquisition.require(FakeModel(fake_task(), members=1), 4)
    with pytest.raises(ConfigError, match="set `imagination_members: 4`"):
        acquisition(pool_of(random_imagined(rng, members=1), model), rng)


@pytest.mark.parametrize("kappa", [-1.0, float("nan"), float("inf")])
def test_kappa_is_checked(kappa):
    with pytest.raises(ConfigError, match="ucb: kappa is"):
        UpperConfidenceBound(kappa)


def test_thompson_picks_a_candidate_as_often_as_a_member_holds_it_best(rng, model):
    returns = np.array([[3.0, 1.0, 0.0, 2.0], [0.0, 5.0, 1.0, 2.0], [0.0, 9.0, 1.0, 2.0]])
    imagined = with_returns(rng, returns)
    first = [int(Thompson()(pool_of(imagined, model), rng).argmax()) for _ in range(500)]
    shares = np.bincount(first, minlength=4) / len(first)
    np.testing.assert_allclose(shares, [1 / 3, 2 / 3, 0, 0], atol=0.1)  # 5 deviations


def test_a_batch_of_thompson_is_a_draw_for_each_pick(rng, model):
    """Every pick is the best one left in some member, and batches are as likely as by hand."""
    returns = np.array([[4.0, 3.0, 1.0, 0.0], [0.0, 1.0, 3.0, 4.0]])
    imagined = with_returns(rng, returns)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(500):
        selection = TopK()(Thompson(), pool_of(imagined, model), 2, rng)
        counts[selection.indices] = counts.get(selection.indices, 0) + 1
    assert set(counts) == {(0, 1), (0, 3), (3, 0), (3, 2)}
    assert max(abs(count / 500 - 0.25) for count in counts.values()) < 0.1


def test_thompson_ranks_everything_once_and_only_the_generator_decides(rng, model):
    imagined = random_imagined(rng, members=3, candidates=30)
    scores = [Thompson()(pool_of(imagined, model), np.random.default_rng(s)) for s in (1, 1, 2)]
    assert sorted(scores[0].tolist()) == list(range(1, 31))
    assert torch.equal(scores[0], scores[1]) and not torch.equal(scores[0], scores[2])


def test_thompson_compares_only_what_was_played_in_the_same_member(rng, model):
    """Each candidate in its own member: an optimistic member does not take the whole batch."""
    imagined = with_returns(rng, [[100.0, 99.0, 2.0, 1.0]], members=[[0, 0, 1, 1]])
    first = [int(Thompson()(pool_of(imagined, model), rng).argmax()) for _ in range(500)]
    shares = np.bincount(first, minlength=4) / len(first)
    np.testing.assert_allclose(shares, [0.5, 0, 0.5, 0], atol=0.12)


def test_thompson_in_the_posterior_mean_is_greedy(rng, model):
    imagined = with_returns(rng, rng.normal(size=(1, 6)), members=[[-1] * 6])
    scores = Thompson()(pool_of(imagined, model), rng)
    greedy = GreedyReturn()(pool_of(imagined, model), rng)
    assert torch.equal(scores.argsort(), greedy.argsort())
