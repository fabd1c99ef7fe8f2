"""An acquisition function whose picks are plain."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from robo_al.protocols import CandidatePool

if TYPE_CHECKING:
    import torch


class FakeAcquisition:
    """Scores by the exponential of the mean imagined return; a set is worth the sum of its scores.

    So every score is above 0, as every selector allows.
    """

    def __call__(self, pool: CandidatePool, rng: np.random.Generator) -> "torch.Tensor":
        """Return scores [N]."""
        assert isinstance(rng, np.random.Generator)
        return pool.imagined.returns.mean(0).exp()

    def joint(self, pool: CandidatePool) -> "FakeGain":
        """Return the gain with nothing added yet."""
        return FakeGain(pool.imagined.returns.mean(0).exp().tolist())


class FakeGain:
    """Each candidate adds its own score, once."""

    def __init__(self, scores: Sequence[float]) -> None:
        self._scores = scores
        self.added: list[int] = []
        """What was added, in order."""

    def gains(self, indices: Sequence[int]) -> "torch.Tensor":
        """Return the scores of n candidates."""
        import torch

        values = [self._scores[index] for index in indices]
        return torch.tensor(values, dtype=torch.float32)

    def add(self, index: int) -> None:
        """Remember it."""
        assert index not in self.added
        self.added.append(index)
