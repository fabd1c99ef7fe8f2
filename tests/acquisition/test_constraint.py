import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from robo_al.acquisition.constraint import ChanceConstraint, breaks, clopper_pearson
from robo_al.errors import ConfigError
from robo_al.models.imagination import imagine
from robo_al.testing import FakeModel, FakePolicy, fake_task, random_imagined, random_transitions
from robo_al.types import Context


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_bound_is_that_of_scipy(confidence):
    failures = np.arange(21)
    bounds = clopper_pearson(failures, 20, confidence)
    for count, bound in zip(failures.tolist(), bounds, strict=True):
        test = binomtest(count, 20, alternative="less")
        assert bound == pytest.approx(test.proportion_ci(confidence, "exact").high, abs=1e-12)
    assert (np.diff(bounds) > 0).all() and bounds[-1] == 1.0


def test_the_bound_covers_the_truth_as_often_as_it_says(rng):
    truth, draws = 0.1, 40
    bounds = clopper_pearson(rng.binomial(draws, truth, 20_000), draws, 0.95)
    assert (bounds >= truth).mean() >= 0.95


def test_a_rollout_breaks_the_constraint_where_any_of_its_own_steps_does(rng):
    imagined = random_imagined(rng, members=1, candidates=4, steps=3)  # lengths 3 2 3 2
    observations = torch.zeros_like(imagined.observations)
    observations[0, 0, 2, 0] = 1.5  # after its second step
    observations[0, 1, 3, 0] = 1.5  # after its end
    observations[0, 2, 0, 0] = 1.5  # where it starts, before its first step
    finite = torch.tensor([True, True, True, False])
    imagined = dataclasses.replace(imagined, observations=observations, finite=finite)
    assert breaks(imagined, fake_task()).tolist() == [[True, False, False, True]]


@pytest.fixture
def stage(rng):
    """Candidates that push a cart towards 1 m, none, some or all of the way, as a model sees it."""
    task = fake_task()
    model = FakeModel(task, members=20)
    model.fit(random_transitions(rng, rollouts=4, steps=5), rng)
    candidates = FakePolicy(task, streamed=False).propose(
        3, [Context(np.array([x, 0.0, 0.0]), 0) for x in (0.0, 0.97, 2.0)], 5, model, rng
    )
    return model, task, partial(imagine, candidates, model, task)


def test_risks_by_members_are_shares_of_them(stage, rng):
    model, task, play = stage
    risks = ChanceConstraint(delta=0.5).risks(play, model, task, rng)
    expected = breaks(play(range(20)), task).double().mean(0)
    assert torch.equal(risks, expected)
    assert risks[0] == 0 and 0 < risks[1] < 1 and risks[2] == 1


def test_monte_carlo_adds_noise_and_a_bound(stage, rng):
    model, task, play = stage
    constraint = ChanceConstraint(delta=0.5, draws=200, confidence=0.95)
    risks = constraint.risks(play, model, task, np.random.default_rng(1))
    again = constraint.risks(play, model, task, np.random.default_rng(1))
    assert torch.equal(risks, again)
    counts = breaks(play([d % 20 for d in range(200)], np.random.default_rng(1)), task).sum(0)
    expected = [binomtest(int(c), 200, alternative="less").proportion_ci(0.95).high for c in counts]
    np.testing.assert_allclose(risks, expected, rtol=1e-9)
    assert 1 - 0.05 ** (1 / 200) <= risks[0] < 0.1 < risks[1] and risks[2] == 1
    quiet, noisy = play([3]), play([3], np.random.default_rng(2))
    moved = (noisy.observations - quiet.observations)[0]
    assert (moved[:, 1:, :2] != 0).all() and (moved[..., 2] == 0).all()  # the goal stays
    assert moved[:, 1, 0].abs().max() < 6 * model.noise**0.5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"delta": 0.0}, "delta is 0.0"),
        ({"delta": 1.0}, "delta is 1.0"),
        ({"delta": 0.1, "total": 1.5}, "total is 1.5"),
        ({"delta": 0.1, "draws": 0}, "draws is 0"),
        ({"delta": 0.05, "draws": 10}, "even a candidate that never fails has a bound of 0.259"),
    ],
)
def test_what_cannot_be_kept_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        ChanceConstraint(**wrong)


def test_a_task_without_a_constraint_is_refused():
    with pytest.raises(ConfigError, match="does not say where it must not go"):
        ChanceConstraint(0.1).require(dataclasses.replace(fake_task(), constraint=None))
