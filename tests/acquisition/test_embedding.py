import dataclasses

import numpy as np
import pytest
import torch

from robo_al.acquisition.embedding import CHUNK, CovarianceEmbedding, FeatureEmbedding, embed
from robo_al.models.ensemble import Ensemble
from robo_al.models.gp import GaussianProcess
from robo_al.protocols import SupportsFeatures
from robo_al.testing import FakeModel, fake_task, pool_of, random_imagined, random_transitions


class OnlyCovariance:
    """A model that hides its features."""

    def __init__(self, model):
        self.covariance = model.covariance


@pytest.fixture(scope="module")
def ensemble():
    rng = np.random.default_rng(5)
    model = Ensemble(fake_task(), members=3, hidden=16, layers=2, max_steps=60)
    model.fit(random_transitions(rng), rng)
    return model


def kernel(model, imagined, pending=None):
    """Return K [R,R] from one covariance matrix of all steps, averaged pair by pair."""
    sets = [imagined] if pending is None else [imagined, pending]
    members, total = len(imagined.members), 0.0
    for e in range(members):
        steps = [
            [
                value[e % len(value), n][rollouts.mask[e % len(value), n].bool()]
                for value in rollouts.inputs
            ]
            for rollouts in sets
            for n in range(len(rollouts))
        ]
        inputs = tuple(torch.cat(values) for values in zip(*steps, strict=True))
        matrix = model.covariance(inputs, inputs).mean(0).numpy()
        ends = np.cumsum([0] + [len(actions) for _, actions in steps])
        pairs = [slice(a, b) for a, b in zip(ends[:-1], ends[1:], strict=True)]
        total = total + np.array([[matrix[a, b].mean() for b in pairs] for a in pairs])
    return total / members


def assert_is(embedding, expected, rtol=1e-10):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(embedding.norms, np.diag(expected), rtol=rtol, atol=rtol * scale)
    rows = torch.stack([embedding.cross(index) for index in range(len(expected))])
    np.testing.assert_allclose(rows, expected, rtol=rtol, atol=rtol * scale)


@pytest.mark.parametrize("pending_members", [None, 1, 2])
def test_is_the_mean_covariance_of_all_pairs_of_steps(smooth, rng, pending_members):
    imagined = random_imagined(rng, members=2, candidates=6, steps=5, ends=True)
    pending = pending_members and random_imagined(rng, pending_members, candidates=3, steps=4)
    assert_is(
        embed(smooth, pool_of(imagined, smooth, pending), 5), kernel(smooth, imagined, pending)
    )


def test_a_gaussian_process_is_embedded(rng):
    model = GaussianProcess(fake_task(), samples=2, fit_steps=5)
    model.fit(random_transitions(rng, rollouts=2), rng)
    imagined = random_imagined(rng, members=2, candidates=5, ends=True)
    assert_is(embed(model, pool_of(imagined, model), 4), kernel(model, imagined), rtol=1e-6)


@pytest.mark.parametrize("with_pending", [False, True])
def test_features_and_covariances_embed_alike(ensemble, rng, with_pending):
    imagined = random_imagined(rng, members=2, candidates=7, ends=True)
    pending = (
        random_imagined(rng, members=1, candidates=2, steps=6, ends=True) if with_pending else None
    )
    assert isinstance(ensemble, SupportsFeatures)
    by_features = embed(ensemble, pool_of(imagined, ensemble, pending), 3)
    hidden = embed(
        OnlyCovariance(ensemble), pool_of(imagined, OnlyCovariance(ensemble), pending), 3
    )
    assert isinstance(by_features, FeatureEmbedding) and isinstance(hidden, CovarianceEmbedding)
    scale = float(hidden.norms.max())
    np.testing.assert_allclose(by_features.norms, hidden.norms, atol=1e-9 * scale)
    for index in range(len(hidden.norms)):
        np.testing.assert_allclose(by_features.cross(index), hidden.cross(index), atol=1e-9 * scale)


def test_chunks_change_nothing(smooth, ensemble, rng, monkeypatch):
    imagined = random_imagined(rng, members=1, candidates=CHUNK + 6)
    monkeypatch.setattr("robo_al.acquisition.embedding.FEATURE_CHUNK", 16)
    assert_is(embed(smooth, pool_of(imagined, smooth), 4), kernel(smooth, imagined))
    assert_is(
        embed(ensemble, pool_of(imagined, ensemble), 4), kernel(ensemble, imagined), rtol=1e-9
    )


def test_fewer_steps_are_those_evenly_spaced(smooth, rng):
    imagined = random_imagined(rng, members=1, candidates=4, steps=5)
    lengths = imagined.mask[0].sum(-1).long().tolist()
    for m in (1, 2):
        ends = [[0] if m == 1 else [0, length - 1] for length in lengths]
        observations = torch.stack(
            [imagined.observations[:, n, end] for n, end in enumerate(ends)], 1
        )
        short = dataclasses.replace(
            imagined,
            observations=torch.cat([observations, observations[:, :, :1]], 2),
            actions=torch.stack([imagined.actions[:, n, end] for n, end in enumerate(ends)], 1),
            rewards=imagined.rewards[:, :, :m],
            mask=torch.ones(1, 4, m, dtype=torch.float64),
        )
        assert_is(embed(smooth, pool_of(imagined, smooth), m), kernel(smooth, short))


def test_what_is_recorded_comes_closer_to_the_origin(rng):
    model, imagined = FakeModel(fake_task()), random_imagined(rng, candidates=5)
    before = embed(model, pool_of(imagined, model), 4).norms
    model.fit(random_transitions(rng), rng)
    after = embed(model, pool_of(imagined, model), 4).norms
    assert (0 < after).all() and (after < before).all()


def test_what_is_not_finite_disturbs_no_other(smooth, ensemble, rng):
    imagined = random_imagined(rng, members=2, candidates=6, ends=True)
    observations = imagined.observations.clone()
    observations[0, 2, 1] = torch.inf
    broken = dataclasses.replace(imagined, observations=observations)
    keep = [0, 1, 3, 4, 5]
    for model in (smooth, ensemble):
        plain, other = (
            embed(model, pool_of(rollouts, model), 4) for rollouts in (imagined, broken)
        )
        assert not torch.isfinite(other.norms[2])
        np.testing.assert_allclose(other.norms[keep], plain.norms[keep], rtol=1e-12)
        np.testing.assert_allclose(other.cross(0)[keep], plain.cross(0)[keep], rtol=1e-9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("hide", [False, True])
def test_a_gpu_embeds_alike(ensemble, rng, hide):
    model = Ensemble(fake_task(), "cuda", members=3, hidden=16, layers=2)
    model.load_state_dict(ensemble.state_dict())
    imagined = random_imagined(rng)
    models = [OnlyCovariance(m) if hide else m for m in (ensemble, model)]
    cpu, gpu = (embed(m, pool_of(imagined, m), 4) for m in models)
    np.testing.assert_allclose(gpu.norms.cpu(), cpu.norms, rtol=1e-8)
    np.testing.assert_allclose(gpu.cross(1).cpu(), cpu.cross(1), rtol=1e-6, atol=1e-8)
