"""`greedy_return`: run what promises the highest return, and learn on the way."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from robo_al.acquisition.scores import only_finite
from robo_al.protocols import Model
from robo_al.types import ImaginedRollouts


class GreedyReturn:
    """Scores a candidate by its imagined return, the mean over the E members."""

    def __call__(
        self,
        imagined: ImaginedRollouts,
        model: Model,
        pending: ImaginedRollouts | None,
        rng: np.random.Generator,
    ) -> Float[Tensor, "N"]:
        """Return scores [N], in the unit of the reward."""
        return only_finite(imagined.returns.mean(0), imagined)
