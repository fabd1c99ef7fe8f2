"""`k_center`, `lcmd`, `kmeans++`: rollouts that are far from one another and from what is known.

They look at distances between embeddings (`robo_al.acquisition.embedding`) and at no scores. The
first centres are the origin, where everything is known, and the pending rollouts; each pick is a
further centre. With D^2(i) the squared distance of candidate i to its nearest centre, the next pick
is

- `k_center`: the one with the largest D^2 (Gonzalez 1985, "Clustering to minimize the maximum
  intercluster distance"; as selection Sener & Savarese 2018, "Active learning for convolutional
  neural networks: a core-set approach"): the farthest distance of any candidate to a centre is at
  most twice that of the best batch;
- `lcmd`: of the centre whose candidates have the largest sum of D^2, the candidate with the largest
  D^2 (Holzmueller et al. 2023, "A framework and benchmark for deep batch active learning for
  regression"): many candidates count for more than one that lies apart;
- `kmeans++`: drawn with probability ~ D^2 (Arthur & Vassilvitskii 2007, "k-means++: the advantages
  of careful seeding"; as selection Ash et al. 2020, "Deep batch active learning by diverse,
  uncertain gradient lower bounds", there on gradients).
"""

import copy
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.acquisition.embedding import Embedding, embed, positions
from robo_al.acquisition.information import require_covariance
from robo_al.acquisition.joint import at_least_one
from robo_al.acquisition.scores import first_gains
from robo_al.acquisition.select import GreedySelector, NewGain, checked_scores
from robo_al.config.ranges import Width
from robo_al.protocols import Acquisition, CandidatePool, JointGain, Model, SupportsCovariance
from robo_al.types import ImaginedRollouts


class Unscored(GreedySelector):
    """A selector with a gain of its own in place of an acquisition function's.

    Args:
        steps: m, how many steps at most represent a rollout, evenly spaced.

    Raises:
        ConfigError: steps below 1.
    """

    without_scores = True
    name: ClassVar[str]
    """As a strategy names it."""

    def __init__(self, steps: Width = 10) -> None:
        self.steps = at_least_one(self.name, "steps", steps)

    def require(self, model: Model, members: int) -> None:
        """Refuse a model without a covariance.

        Raises:
            ConfigError: it has none.
        """
        require_covariance(model, self.name)

    def _first(self, model: SupportsCovariance, pool: CandidatePool) -> JointGain:
        """Return the gain over what is pending; `add` replaces what it holds, as it is copied."""
        raise NotImplementedError

    def _start(
        self, acquisition: Acquisition | None, pool: CandidatePool, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "N"], NewGain]:
        start = self._first(require_covariance(pool.model, self.name), pool)
        scores = checked_scores(self, first_gains(start, pool), pool)
        return scores, lambda _: copy.copy(start)  # made once for all prices


class KCenter(Unscored):
    """Picks one candidate after another, each the one farthest from its nearest centre."""

    name = "k_center"

    def _first(self, model: SupportsCovariance, pool: CandidatePool) -> JointGain:
        return NearestCentre(embed(model, pool, self.steps), pool.pending)


class LargestClusterMaxDist(Unscored):
    """Picks one candidate after another, each the farthest of the largest cluster."""

    name = "lcmd"
    diminishing = False

    def _first(self, model: SupportsCovariance, pool: CandidatePool) -> JointGain:
        return LargestCluster(embed(model, pool, self.steps), pool.pending)


class KMeansPlusPlus(KCenter):
    """Draws one candidate after another, with probability ~ squared distance (per second)."""

    name = "kmeans++"

    def _pick(
        self,
        gain: JointGain,
        bounds: Float[np.ndarray, "N"],
        k: int,
        price: Float[np.ndarray, "N"] | None,
        rng: np.random.Generator,
    ) -> tuple[list[int], list[float]]:
        picks: list[int] = []
        gains: list[float] = []
        free = np.isfinite(bounds)
        while len(picks) < k:
            free &= self._affordable(picks)
            left = np.flatnonzero(free)
            if len(left) == 0:
                break
            distances = gain.gains(left.tolist()).to("cpu", torch.float64).numpy()
            weights = distances if price is None else distances / price[left]
            if not weights.any():  # all that is left repeats a centre
                weights = np.ones(len(left))
            drawn = int(rng.choice(len(left), p=weights / weights.sum()))
            picks.append(int(left[drawn]))
            gains.append(float(distances[drawn]))
            free[picks[-1]] = False
            if len(picks) < k:
                gain.add(picks[-1])
        return picks, gains


class NearestCentre:
    """The squared distance of each candidate to the nearest of a growing set of centres.

    Args:
        embedding: of the candidates, and of pending rollouts after them.
        pending: rollouts that are centres from the start, beside the origin.
    """

    def __init__(self, embedding: Embedding, pending: ImaginedRollouts | None) -> None:
        self._embedding = embedding
        self._nearest = embedding.norms.clamp_min(0)
        self._owner = torch.zeros_like(embedding.norms, dtype=torch.long)
        self._centres = 1
        if pending is not None:
            first = len(embedding.norms) - len(pending)
            for index in torch.nonzero(pending.finite)[:, 0].tolist():
                self.add(first + index)

    def gains(self, indices: Sequence[int]) -> Float[Tensor, "n"]:
        """Return the squared distances of n candidates to their nearest centres."""
        return self._nearest[positions(indices, self._nearest)]

    def add(self, index: int) -> None:
        """Make candidate `index` a centre; of two that are as near, the older keeps a candidate."""
        norms = self._embedding.norms
        # rounding errors could make the distance of a repeat negative
        distances = (norms + norms[index] - 2 * self._embedding.cross(index)).clamp_min(0)
        nearer = distances < self._nearest
        self._nearest = torch.where(nearer, distances, self._nearest)
        self._owner = torch.where(nearer, self._centres, self._owner)
        self._centres += 1


class LargestCluster(NearestCentre):
    """The squared distances within the largest cluster, and 0 outside it."""

    def gains(self, indices: Sequence[int]) -> Float[Tensor, "n"]:
        """Return the squared distances of those of n candidates that lie in the largest cluster.

        The largest is the one with the largest sum of squared distances of these n: of the
        candidates that may still be picked.
        """
        index = positions(indices, self._owner)
        distances, owner = self._nearest[index], self._owner[index]
        sums = distances.new_zeros(self._centres).index_add(0, owner, distances)
        return torch.where(owner == sums.argmax(), distances, 0)
