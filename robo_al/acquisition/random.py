"""`random`: the baseline that a strategy must beat, and often does not."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.acquisition.scores import only_finite
from robo_al.protocols import Model
from robo_al.types import ImaginedRollouts


class Random:
    """Scores candidates uniformly at random in [0, 1), whatever was imagined."""

    def __call__(
        self,
        imagined: ImaginedRollouts,
        model: Model,
        pending: ImaginedRollouts | None,
        rng: np.random.Generator,
    ) -> Float[Tensor, "N"]:
        """Return scores [N] drawn from `rng`."""
        scores = torch.as_tensor(rng.random(len(imagined)), device=imagined.finite.device)
        return only_finite(scores, imagined)
