"""What one input of an ensemble of networks tells about another: the last layer's posterior.

A Laplace approximation of the last layer (Daxberger et al. 2021, "Laplace redux"). The last hidden
activations of *all* members and a 1 are projected at random to F features phi, which keeps the
members' mean kernel (Holzmueller et al. 2023, "A framework and benchmark for deep batch active
learning for regression"), scaled so that phi' phi is 1 on average over the data. With the noise
variance s_d^2 in units of the variance of output d, the posterior of the weights gives

    Sigma_d = (I + Phi' Phi / s_d^2)^-1,    cov_d(a, b) = phi_a' Sigma_d phi_b / s_d^2.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from robo_al.models.networks import Weights, activations, layers_of

NOISE_FLOOR = 1e-6
"""Smallest noise variance of a standardised output."""
KNOWN = 1e12
"""Noise variance, as far as information goes, of an output of which nothing is left to learn."""
FOLDS = 5
"""Groups of rollouts of which each member holds out one."""


class LastLayer:
    """The features and the posterior of an ensemble that was trained.

    Args:
        state: weights of all members, `noise`, `projection` and `precision_factor`.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = dict(state)

    @classmethod
    def of(
        cls,
        weights: Weights,
        x: Float[Tensor, "B I"],
        noise: Float[Tensor, "D"],
        rank: int,
        draw: torch.Generator,
    ) -> "LastLayer":
        """Return the posterior after the data; draws a projection to F features.

        Args:
            weights: of all members.
            x: standardised inputs of the data.
            noise: variance of each output that stays, in variances of the output.
            rank: F.
            draw: on the CPU.
        """
        hidden = _hidden(weights, x)
        shape = (hidden.shape[-1], rank)
        projection = torch.randn(shape, generator=draw, dtype=torch.float64).to(hidden.device)
        scale = (hidden @ projection).square().sum(-1).mean().sqrt()
        projection /= torch.where(scale > 0, scale, rank**0.5)  # of no data the mean is NaN
        phi = hidden @ projection
        identity = torch.eye(rank, dtype=torch.float64, device=hidden.device)
        factor = torch.linalg.cholesky(identity + phi.T @ phi / noise[:, None, None])
        posterior = {"noise": noise, "projection": projection, "precision_factor": factor}
        return cls({**weights, **posterior})

    def features(self, x: Float[Tensor, "*batch I"]) -> Float[Tensor, "*batch F"]:
        """Return phi of standardised inputs (float64)."""
        phi = _hidden(self.state, x.reshape(-1, x.shape[-1])) @ self.state["projection"]
        return phi.reshape(*x.shape[:-1], -1)

    def posterior(self) -> Float[Tensor, "D F F"]:
        """Return Sigma_d / s_d^2, by which features make a covariance in noise variances."""
        covariance: Tensor = torch.cholesky_inverse(self.state["precision_factor"])
        return covariance / self.state["noise"][:, None, None]

    @torch.no_grad()
    def whitened(self, x: Float[Tensor, "*batch a I"]) -> Float[Tensor, "D *batch F a"]:
        """Return Sigma_d^1/2' phi / s_d, by which a covariance is a product."""
        phi = self.features(x)
        flat = phi.reshape(-1, phi.shape[-1]).T / self.state["noise"].sqrt()[:, None, None]
        factor = self.state["precision_factor"]
        rows: Tensor = torch.linalg.solve_triangular(factor, flat, upper=False)
        return rows.mT.reshape(len(rows), *phi.shape).mT


def _hidden(weights: Weights, x: Float[Tensor, "B I"]) -> Float[Tensor, "B H"]:
    """Return all members' last activations and a 1, in float64: covariances need it."""
    layers = {
        f"{kind}_{layer}": value.double()
        for layer, pair in enumerate(layers_of(weights))
        for kind, value in zip(("weight", "bias"), pair, strict=True)
    }
    members = len(layers["bias_0"])
    hidden = activations(layers, x.double().expand(members, -1, -1))
    flat = hidden.movedim(0, 1).flatten(1)
    return torch.cat([flat, torch.ones_like(flat[:, :1])], dim=1)


def held_out_by(rollouts: Int[Tensor, "B"], members: int) -> Bool[Tensor, "E B"]:
    """Return what each member holds out: one fold of the rollouts, or the end of the only one."""
    found, index = torch.unique(rollouts, return_inverse=True)
    size = len(rollouts)
    if len(found) == 1:
        row = torch.arange(size, device=rollouts.device)
        return (row >= size - max(1, size // FOLDS)).expand(members, -1)
    folds = min(FOLDS, len(found))
    own = torch.arange(members, device=rollouts.device)[:, None] % folds
    held_out: Tensor = index % folds == own
    return held_out
