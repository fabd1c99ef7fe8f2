"""A full-rank covariance and its brute force, for all tests of acquisition."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from robo_al.models.feature_map import FeatureMap
from robo_al.testing import FakeModel, fake_task
from robo_al.types import ImaginedRollouts


class SmoothModel(FakeModel):
    """Two outputs with squared exponential covariances of unlike length and noise."""

    lengths = (1.0, 2.5)
    scales = (30.0, 4.0)

    def covariance(self, first, second):
        inputs = FeatureMap.of(self.task)
        a, b = inputs.features(*first), inputs.features(*second)
        squared = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") ** 2
        pairs = zip(self.lengths, self.scales, strict=True)
        return torch.stack([s * torch.exp(-0.5 * squared / length**2) for length, s in pairs])


class BruteForce:
    """Information of whole sets, from numpy's slogdet of one matrix of all their steps."""

    def __init__(self, model: FakeModel) -> None:
        self.model = model

    def log_determinants(self, rollouts: Sequence[tuple[ImaginedRollouts, int, int]]) -> np.ndarray:
        """Return log det(I + K_d) [D] of all steps of rollouts (imagined, e, n) together."""
        observations, actions = [], []
        for imagined, e, n in rollouts:
            keep = imagined.mask[e, n].bool()
            observations.append(imagined.inputs[0][e, n][keep])
            actions.append(imagined.inputs[1][e, n][keep])
        if not rollouts:
            return np.zeros(2)
        steps = torch.cat(observations), torch.cat(actions)
        matrices = self.model.covariance(steps, steps).numpy()
        signs, values = np.linalg.slogdet(np.eye(matrices.shape[-1]) + matrices)
        assert (signs == 1).all()
        return values

    def information(
        self, imagined: ImaginedRollouts, picks: Sequence[int], pending: ImaginedRollouts | None
    ) -> float:
        """Return what a set tells beyond `pending`, in nats, averaged over members."""
        values = []
        for e in range(len(imagined.members)):
            others = [] if pending is None else [(pending, e, n) for n in range(len(pending))]
            chosen = [(imagined, e, n) for n in picks]
            both, known = self.log_determinants(others + chosen), self.log_determinants(others)
            values.append(0.5 * (both - known).sum())
        return float(np.mean(values))


@pytest.fixture
def smooth() -> SmoothModel:
    return SmoothModel(fake_task())


@pytest.fixture
def brute(smooth: SmoothModel) -> BruteForce:
    return BruteForce(smooth)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)
