import dataclasses

import numpy as np
import pytest
import torch

from robo_al.acquisition.epig import ExpectedPredictiveInformation
from robo_al.acquisition.joint import JointInformation
from robo_al.acquisition.target import optimal_trajectories
from robo_al.errors import ConfigError, UserError
from robo_al.models.gp import GaussianProcess
from robo_al.models.true_dynamics import TrueDynamics
from robo_al.testing import FakeModel, fake_task, pool_of, random_imagined, random_transitions
from robo_al.types import Transitions


@pytest.fixture(params=[False, True], ids=["to_the_horizon", "ending"])
def imagined(rng, request):
    return random_imagined(rng, members=2, candidates=5, steps=3, ends=request.param)


def valid_steps(imagined, e, n):
    keep = imagined.mask[e, n].bool()
    return tuple(value[e, n][keep] for value in imagined.inputs)


def joined(parts):
    return tuple(torch.cat(values) for values in zip(*parts, strict=True))


def target_steps(imagined):
    return joined(
        [valid_steps(imagined, *pair) for pair in optimal_trajectories(pool_of(imagined), 8)]
    )


def by_conditioning(model, imagined, pending):
    """Return scores from variances of y* before and after y: one matrix of everything, by numpy.

    Each target is a row of its own, with noise of its own, also where it is a candidate's step.
    """
    targets, scores = target_steps(imagined), np.zeros(len(imagined))
    members = len(imagined.members)
    for e in range(members):
        for n in range(len(imagined)):
            x = valid_steps(imagined, e, n)
            parts = [x, targets]
            if pending is not None:
                parts += [valid_steps(pending, e, p) for p in range(len(pending))]
            everything = joined(parts)
            covariances = model.covariance(everything, everything).numpy()
            a, b = len(x[0]), len(x[0]) + len(targets[0])
            for k in covariances:
                noisy = k + np.eye(len(k))
                known = noisy[:b, :b] - k[:b, b:] @ np.linalg.solve(noisy[b:, b:], k[b:, :b])
                for i in range(a):
                    informed = known - np.outer(known[:, i], known[i]) / known[i, i]
                    for j in range(a, b):
                        nats = 0.5 * np.log(known[j, j] / informed[j, j])
                        scores[n] += nats / (b - a) / members
    return scores


@pytest.mark.parametrize("with_pending", [False, True])
def test_scores_are_those_of_explicit_conditioning(rng, imagined, smooth, with_pending):
    pending = (
        random_imagined(rng, members=2, candidates=2, steps=4, ends=True) if with_pending else None
    )
    scores = ExpectedPredictiveInformation()(pool_of(imagined, smooth, pending), rng)
    expected = by_conditioning(smooth, imagined, pending)
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_agrees_with_a_gaussian_process_that_has_seen_data(rng, imagined):
    model = GaussianProcess(fake_task(), samples=2, fit_steps=5)
    model.fit(random_transitions(rng), rng)
    pending = random_imagined(rng, members=2, candidates=1, steps=2)
    scores = ExpectedPredictiveInformation()(pool_of(imagined, model, pending), rng)
    np.testing.assert_allclose(
        scores, by_conditioning(model, imagined, pending), rtol=1e-5
    )  # variances below the noise: rounding


def test_is_what_a_model_really_learns_about_the_targets_from_a_step(rng, imagined):
    """Fit a model with one more step, and look at its predictions of the targets."""
    data = random_transitions(rng, rollouts=2)
    model, informed = FakeModel(fake_task()), FakeModel(fake_task())
    model.fit(data, rng)
    one = dataclasses.replace(imagined, mask=(torch.arange(3) < 1).double().expand(2, 5, -1))
    scores = ExpectedPredictiveInformation()(pool_of(one, model), rng).numpy()
    targets = target_steps(one)

    def variance(of):
        prediction = of.predict(*targets)
        return ((prediction.epistemic + prediction.aleatoric) / prediction.aleatoric).numpy()

    for n in range(5):
        gains = []
        for e in range(2):
            informed.fit(with_steps(data, *valid_steps(one, e, n)), rng)
            gains.append(0.5 * np.log(variance(model) / variance(informed)).sum(-1).mean())
        assert np.isclose(scores[n], np.mean(gains), rtol=1e-10)


def with_steps(data, observations, actions):
    """Return the transitions and further ones at these steps; what they observed is arbitrary."""
    more = len(observations)
    return Transitions(
        np.concatenate([data.observations, observations.numpy()]),
        np.concatenate([data.actions, actions.numpy()]),
        np.concatenate([data.next_observations, observations.numpy()]),
        np.zeros(len(data) + more),
        np.concatenate([data.rollouts, np.full(more, 99)]),
        np.zeros(len(data) + more, dtype=bool),
    )


def test_pending_rollouts_count_like_recorded_ones(rng):
    imagined = random_imagined(rng, members=1, candidates=5, steps=3)
    pending = random_imagined(rng, members=1, candidates=1, steps=4)
    data = random_transitions(rng, rollouts=1)
    model, knowing = FakeModel(fake_task()), FakeModel(fake_task())
    model.fit(data, rng)
    knowing.fit(with_steps(data, *valid_steps(pending, 0, 0)), rng)
    acquisition = ExpectedPredictiveInformation()
    scores = acquisition(pool_of(imagined, model, pending), rng)
    np.testing.assert_allclose(scores, acquisition(pool_of(imagined, knowing), rng), rtol=1e-9)
    lost = dataclasses.replace(pending, finite=torch.tensor([False]))
    plain = acquisition(pool_of(imagined, model), rng)
    np.testing.assert_allclose(acquisition(pool_of(imagined, model, lost), rng), plain, rtol=1e-12)
    assert (scores < plain).all()


def test_data_at_the_very_steps_lower_the_score(rng):
    imagined = random_imagined(rng, members=1, candidates=4, steps=1)
    data = random_transitions(rng, rollouts=1)
    model = FakeModel(fake_task())
    model.fit(data, rng)
    before = ExpectedPredictiveInformation()(pool_of(imagined, model), rng)
    for n in range(4):
        model.fit(with_steps(data, *valid_steps(imagined, 0, n)), rng)
        after = ExpectedPredictiveInformation()(pool_of(imagined, model), rng)
        assert 0 < after[n] < before[n]


def test_one_step_tells_less_about_one_target_than_about_everything(rng, smooth):
    imagined = random_imagined(rng, members=2, candidates=5, steps=1)
    scores = ExpectedPredictiveInformation()(pool_of(imagined, smooth), rng)
    everything = JointInformation()(pool_of(imagined, smooth), rng)
    assert ((scores > 0) & (scores < everything)).all()


def test_pending_in_one_member_serves_candidates_in_several(rng, imagined, smooth):
    one = random_imagined(rng, members=1, candidates=2, steps=2)
    fields = ("observations", "actions", "rewards", "members", "mask")
    two = dataclasses.replace(
        one, **{f: getattr(one, f).expand(2, *getattr(one, f).shape[1:]) for f in fields}
    )
    scores = [
        ExpectedPredictiveInformation()(pool_of(imagined, smooth, p), rng) for p in (one, two)
    ]
    np.testing.assert_allclose(*scores, rtol=1e-12)


def test_what_it_needs_is_checked(imagined, smooth, rng):
    with pytest.raises(ConfigError, match="epig: samples is 0"):
        ExpectedPredictiveInformation(samples=0)
    with pytest.raises(ConfigError, match="epig: steps is 0"):
        ExpectedPredictiveInformation(steps=0)
    ExpectedPredictiveInformation().require(smooth, 1)
    with pytest.raises(ConfigError, match="epig needs.*TrueDynamics has none"):
        ExpectedPredictiveInformation().require(TrueDynamics(fake_task()), 1)
    lost = dataclasses.replace(imagined, finite=torch.zeros(5, dtype=torch.bool))
    with pytest.raises(UserError, match="no candidate is finite"):
        ExpectedPredictiveInformation()(pool_of(lost, smooth), rng)
