"""The shared parts, and what holds for every acquisition function that scores one by one."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from robo_al.acquisition import scores as module
from robo_al.acquisition.disagreement import JensenRenyi
from robo_al.acquisition.epig import ExpectedPredictiveInformation
from robo_al.acquisition.returns import (
    ExpectedImprovement,
    GreedyReturn,
    Thompson,
    UpperConfidenceBound,
)
from robo_al.acquisition.scores import (
    after_pending,
    chunks,
    number_between,
    only_eligible,
    step_by_step,
)
from robo_al.acquisition.uncertainty import Information, Variance
from robo_al.errors import ConfigError
from robo_al.testing import FakeModel, fake_task, pool_of, random_imagined
from robo_al.types import ImaginedRollouts

UNCONDITIONAL = (
    *(Variance(aggregation) for aggregation in ("sum", "mean", "max", "quantile")),
    Information(),
    JensenRenyi(),
    GreedyReturn(),
    UpperConfidenceBound(),
    ExpectedImprovement(),
    Thompson(),
)
EVERY = (*UNCONDITIONAL, ExpectedPredictiveInformation())


def named(acquisition):
    return type(acquisition).__name__ + getattr(acquisition, "aggregation", "")


def changed(imagined, by_candidate, by_first_axis):
    """Return the rollouts with one function of fields [E,N,...], another of those [N,...]."""
    fields = {f.name: getattr(imagined, f.name) for f in dataclasses.fields(imagined)}
    return ImaginedRollouts(
        **{
            name: by_first_axis(value) if name in ("horizons", "finite") else by_candidate(value)
            for name, value in fields.items()
        }
    )


def taken(imagined, index):
    return changed(imagined, lambda value: value[:, index], lambda value: value[index])


def one_start(imagined):
    observations = imagined.observations.clone()
    observations[:, :, 0] = observations[0, 0, 0].clone()
    return dataclasses.replace(imagined, observations=observations)


def scored(acquisition, imagined, model, pending=None):
    return acquisition(pool_of(imagined, model, pending), np.random.default_rng(5))


@pytest.fixture
def imagined(rng):
    return one_start(random_imagined(rng, candidates=8))


@pytest.fixture
def model():
    return FakeModel(fake_task())


# ---------------------------------------------------------------- every acquisition function


@pytest.mark.parametrize("acquisition", EVERY, ids=named)
def test_the_order_of_candidates_does_not_matter(acquisition, imagined, model):
    order = [4, 2, 7, 0, 5, 1, 6, 3]
    plain = scored(acquisition, imagined, model)
    other = scored(acquisition, taken(imagined, order), model)
    torch.testing.assert_close(other, plain[order], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("acquisition", EVERY, ids=named)
def test_what_comes_after_the_horizon_never_counts(acquisition, imagined, model):
    observations, actions, rewards = (
        value.clone() for value in (imagined.observations, imagined.actions, imagined.rewards)
    )
    short = imagined.mask[0, :, -1] == 0
    assert short.any() and not short.all()
    observations[:, short, -1] = 1e3
    actions[:, short, -1], rewards[:, short, -1] = -1e3, 1e3
    padded = dataclasses.replace(
        imagined, observations=observations, actions=actions, rewards=rewards
    )
    plain, other = (scored(acquisition, each, model) for each in (imagined, padded))
    torch.testing.assert_close(other, plain, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("acquisition", EVERY, ids=named)
def test_what_is_not_finite_is_never_best_and_disturbs_no_other(acquisition, imagined, model):
    observations, rewards = imagined.observations.clone(), imagined.rewards.clone()
    observations[1, 2, 3], rewards[1, 2] = torch.nan, torch.nan
    finite = torch.arange(8) != 2
    broken = dataclasses.replace(
        imagined, observations=observations, rewards=rewards, finite=finite
    )
    found = scored(acquisition, broken, model)
    assert found.dtype == torch.float64
    assert torch.isneginf(found).nonzero().flatten().tolist() == [2]
    alone = scored(acquisition, taken(imagined, finite), model)
    shift = 1 if isinstance(acquisition, Thompson) else 0  # its scores count down from N
    torch.testing.assert_close(found[finite], alone + shift, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("acquisition", UNCONDITIONAL, ids=named)
def test_what_is_pending_already_comes_last(acquisition, imagined, model):
    best = int(scored(acquisition, imagined, model).argmax())
    again = scored(acquisition, imagined, model, taken(imagined, [best]))
    assert torch.isfinite(again).all()
    assert int(again.argmin()) == best


@pytest.mark.parametrize("acquisition", EVERY, ids=named)
def test_chunks_change_no_score(acquisition, imagined, model, monkeypatch):
    whole = scored(acquisition, imagined, model)
    monkeypatch.setattr(module, "STEPS", 3 * 4 * 3)  # three candidates at a time
    parts = scored(acquisition, imagined, model)
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-14)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("acquisition", EVERY, ids=named)
def test_a_gpu_finds_what_the_cpu_finds(acquisition, imagined, model):
    def moved(value):
        return value.cuda()

    pending = taken(imagined, [1, 2])
    there = scored(
        acquisition,
        changed(imagined, moved, moved),
        FakeModel(fake_task(), device="cuda"),
        changed(pending, moved, moved),
    )
    assert there.is_cuda
    here = scored(acquisition, imagined, model, pending)
    torch.testing.assert_close(there.cpu(), here, rtol=1e-9, atol=1e-11)


# ---------------------------------------------------------------- the shared parts


def test_even_nan_scores_of_what_is_not_finite_become_minus_infinity(rng):
    imagined = random_imagined(rng, candidates=3)
    imagined = dataclasses.replace(imagined, finite=torch.tensor([True, False, True]))
    scores = only_eligible(torch.tensor([1.5, torch.nan, -2.0]), pool_of(imagined))
    assert scores.dtype == torch.float64
    assert scores.tolist() == [1.5, -torch.inf, -2.0]


def test_repeats_keep_their_order_below_all_others(rng):
    imagined = random_imagined(rng, candidates=6)
    imagined = dataclasses.replace(imagined, finite=torch.arange(6) != 5)
    scores = torch.tensor([5.0, 9.0, -3.0, 7.0, 1.0, torch.nan])
    found = after_pending(scores, pool_of(imagined, pending=taken(imagined, [1, 3, 5])))
    assert found[[0, 2, 4]].tolist() == [5.0, -3.0, 1.0]
    assert torch.argsort(found, descending=True).tolist() == [0, 4, 2, 1, 3, 5]
    assert torch.isfinite(found[:5]).all() and found[5] == -torch.inf


def test_scores_stay_where_nothing_or_everything_is_pending(rng):
    imagined = random_imagined(rng, candidates=3)
    scores = torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)
    other = random_imagined(rng, candidates=2)
    for pending in (None, other, imagined):
        assert torch.equal(after_pending(scores, pool_of(imagined, pending=pending)), scores)


@pytest.mark.parametrize(
    ("change", "repeats"),
    [
        (lambda o, a: (o, a), True),
        (lambda o, a: (o, a * (1 + 1e-9)), True),
        (lambda o, a: (o, a + 1e-3 * (torch.arange(4) == 2)[:, None]), False),
        (lambda o, a: (o + 1e-3, a), False),
    ],
)
def test_a_repeat_is_the_same_start_and_the_same_actions(rng, change, repeats):
    imagined = random_imagined(rng, candidates=2, steps=4)
    observations, actions = change(imagined.observations[:, :1], imagined.actions[:, :1])
    pending = dataclasses.replace(taken(imagined, [0]), observations=observations, actions=actions)
    scores = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert bool(after_pending(scores, pool_of(imagined, pending=pending))[0] < 0) == repeats


def test_the_beginning_of_a_pending_rollout_is_a_repeat_and_its_continuation_is_not(rng):
    imagined = random_imagined(rng, candidates=2, steps=4)
    shorter = dataclasses.replace(
        imagined,
        observations=imagined.observations[:, :, :4],
        actions=imagined.actions[:, :, :3],
        rewards=imagined.rewards[:, :, :3],
        horizons=imagined.horizons.clamp_max(3),
        mask=imagined.mask[:, :, :3],
    )
    scores = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert after_pending(scores, pool_of(shorter, pending=taken(imagined, [0])))[0] < 0
    assert torch.equal(
        after_pending(scores, pool_of(imagined, pending=taken(shorter, [0]))), scores
    )


def test_steps_are_visited_once_each_and_padding_is_zero(rng, monkeypatch):
    imagined = random_imagined(rng, members=2, candidates=7, steps=5)
    monkeypatch.setattr(module, "STEPS", 25)
    seen = [index for part in chunks(imagined) for index in range(7)[part]]
    assert seen == list(range(7)) and len(chunks(imagined)) == 4
    values = step_by_step(imagined, lambda o, a: o.sum(-1) + a[..., 0])
    expected = imagined.inputs[0].sum(-1) + imagined.actions[..., 0]
    assert torch.equal(values, expected * imagined.mask)
    assert (values[imagined.mask == 0] == 0).all()


def test_numbers_are_checked():
    assert number_between("ucb", "kappa", 2, 0.0, math.inf) == 2.0
    for value in ("1", True, None, -0.1, math.inf, math.nan):
        with pytest.raises(ConfigError, match="ucb: kappa is .* of at least 0"):
            number_between("ucb", "kappa", value, 0.0, math.inf)
    with pytest.raises(ConfigError, match="quantile is 1.5; it must be a finite number from 0 to"):
        number_between("variance", "quantile", 1.5, 0.0, 1.0)
