"""The baseline `furthest`: the start that is farthest from all that were shown or are chosen."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.acquisition.scores import first_gains
from robo_al.protocols import CandidatePool, Policy
from robo_al.types import Transitions


class Furthest:
    """Scores starts by their distance to the nearest recorded, pending or chosen one.

    Distances are Euclidean, of observations in units of their standard deviation over the pool.
    """

    def __init__(self) -> None:
        self._shown: Float[np.ndarray, "R O"] = np.zeros((0, 0))

    def observe(self, transitions: Transitions, policy: Policy) -> None:
        """Note where the recorded rollouts started."""
        _, first = np.unique(transitions.rollouts, return_index=True)
        self._shown = transitions.observations[first]

    def __call__(self, pool: CandidatePool, rng: np.random.Generator) -> Float[Tensor, "N"]:
        """Return the distances [N]."""
        return first_gains(self.joint(pool), pool)

    def joint(self, pool: CandidatePool) -> "_Nearest":
        """Return the gain over what is recorded and pending, with nothing added yet."""
        starts = pool.imagined.observations[0, :, 0].double()
        known = torch.as_tensor(self._shown, device=starts.device).reshape(-1, starts.shape[-1])
        if pool.pending is not None:
            known = torch.cat([known, pool.pending.observations[0, :, 0].double()])
        return _Nearest(starts, known)


class _Nearest:
    """Distances to the nearest of a growing set."""

    def __init__(self, starts: Float[Tensor, "N O"], known: Float[Tensor, "R O"]) -> None:
        spread = starts.std(0, correction=0)
        spread = torch.where(spread > 1e-9 * starts.abs().amax(0), spread, torch.inf)
        self._starts = starts / spread
        self._known = known / spread

    def gains(self, indices: Sequence[int]) -> Float[Tensor, "n"]:
        """Return the distance of each of n candidates."""
        if not len(self._known):
            return torch.ones(len(indices), dtype=torch.float64)
        return torch.cdist(self._starts[list(indices)], self._known).amin(-1)

    def add(self, index: int) -> None:
        """Add candidate `index` to the set."""
        self._known = torch.cat([self._known, self._starts[index : index + 1]])
