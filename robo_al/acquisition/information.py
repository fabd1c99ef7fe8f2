"""What a trajectory tells about the dynamics, from how its steps inform one another."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.errors import ConfigError, ModelError
from robo_al.protocols import Model, SupportsCovariance

JITTER = (0.0, 1e-13, 1e-11, 1e-9)
"""Shares of the largest variance that are added to all, the smallest that is enough."""


def require_covariance(model: Model, who: str) -> SupportsCovariance:
    """Return the model, which knows joint covariances.

    Args:
        model: any.
        who: what needs the covariance, for the message.

    Raises:
        ConfigError: the model has no `covariance`.
    """
    if not isinstance(model, SupportsCovariance):
        raise ConfigError(
            f"{who} needs a model that knows how two steps inform one another (a method "
            f"`covariance`), and {type(model).__name__} has none; use the model gp or ensemble"
        )
    return model


def rollout_information(
    model: Model, observations: Float[np.ndarray, "T O"], actions: Float[np.ndarray, "T A"]
) -> float | None:
    """Return what observing one trajectory tells about the dynamics, given all recorded data.

    sum_d 1/2 log det(I + K_d), K_d [T,T] the posterior covariance between its steps in units of
    the noise variance.

    Args:
        model: fitted.
        observations: before each step.
        actions: what was sent.

    Returns:
        Nats, or None for a model without a covariance.
    """
    if not isinstance(model, SupportsCovariance):
        return None
    steps = torch.as_tensor(observations), torch.as_tensor(actions)
    blocks = model.covariance(steps, steps).to(torch.float64)
    return 0.5 * float(log_determinant(noisy_cholesky(blocks)).sum())


def noisy_cholesky(covariance: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch m m"]:
    """Return the Cholesky factor of I + covariance: of what is observed, with its noise.

    Where rollouts run far from the data a covariance is larger by more digits than numbers have:
    what is missing to a positive definite one is then rounding, and is added (`JITTER`).

    Raises:
        ModelError: the covariance is not finite or not positive semi-definite.
    """
    if not covariance.shape[-1]:
        return covariance  # nothing is observed, and of nothing there is no largest variance
    identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    observed = identity + (covariance + covariance.mT) / 2
    largest = observed.diagonal(dim1=-2, dim2=-1).amax(-1)[..., None, None]
    factor: Tensor
    for jitter in JITTER:
        factor, failed = torch.linalg.cholesky_ex(observed + jitter * largest * identity)
        if not bool(failed.any()) and bool(torch.isfinite(factor).all()):
            return factor
    raise ModelError(
        "the model's covariance between steps is not finite or not positive semi-definite"
    )


def log_determinant(factor: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch"]:
    """Return the log determinant of the matrix with this Cholesky factor."""
    return 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
