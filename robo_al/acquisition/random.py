"""`random`: the baseline that a strategy must beat, and often does not."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.acquisition.scores import only_eligible
from robo_al.protocols import CandidatePool


class Random:
    """Scores candidates uniformly at random in [0, 1), whatever was imagined."""

    def __call__(self, pool: CandidatePool, rng: np.random.Generator) -> Float[Tensor, "N"]:
        """Return scores [N] drawn from `rng`."""
        scores = torch.as_tensor(rng.random(len(pool)), device=pool.eligible.device)
        return only_eligible(scores, pool)
