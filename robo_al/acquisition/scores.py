"""What every acquisition function does with its scores."""

import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.types import ImaginedRollouts


def only_finite(scores: Float[Tensor, "N"], imagined: ImaginedRollouts) -> Float[Tensor, "N"]:
    """Return the scores in float64, minus infinity where imagination was not finite."""
    return torch.where(imagined.finite, scores.to(torch.float64), -torch.inf)
