"""The Gaussian process's kernel and posterior, as plain tensor algebra on scaled inputs."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.errors import ModelError

OUTLIER = 6.0
"""Leave-one-out residuals beyond this many standard deviations are no sample of the process."""

SMALLEST_RESIDUAL = 0.1
"""In standard deviations of the output: smaller surprises are never outliers."""


def kernel(a: Tensor, b: Tensor, hyper: Mapping[str, Tensor]) -> Tensor:
    """Return k(a, b) as [D, ..., a, b] for scaled inputs [..., a, I] and [..., b, I]."""
    lead = (-1, *[1] * (a.ndim - 2))
    length = hyper["length_scale"].reshape(*lead, 1, a.shape[-1])
    p, q = a / length, b / length
    squared = (p**2).sum(-1)[..., :, None] + (q**2).sum(-1)[..., None, :] - 2 * p @ q.mT
    smooth = torch.exp(-0.5 * squared.clamp_min(0))
    linear = hyper["linear"].reshape(*lead, 1, a.shape[-1])
    result: Tensor = hyper["output_scale"].reshape(*lead, 1, 1) * smooth + (a * linear) @ b.mT
    return result


def condition(
    x: Float[Tensor, "n I"],
    y: Float[Tensor, "D n"],
    noise: Float[Tensor, "D n"],
    points: Float[Tensor, "m I"],
    hyper: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Condition on the data through m points: the data themselves, or inducing points.

    `gather` [D,m,n] maps residuals of the data to weights on the points, and `root` [D,m,m] is a
    root of what covariances subtract: cov(a, b) = k(a, b) - (root k(Z, a))' (root k(Z, b)). The
    product of the roots would lose as many digits again as either has lost.
    """
    own = kernel(points, points, hyper)
    if len(points) == len(x):
        root = _inverse(_cholesky(own + torch.diag_embed(noise)))
        gather = root.mT @ root
    else:
        # With K_ZZ = L L' and B = I + A A', A = L^-1 K_Zx N^-1/2, the weights are
        # L^-T B^-1 A N^-1/2, and covariances subtract L^-T (I - B^-1) L^-1.
        whiten = _inverse(_cholesky(own))
        deviation = noise.sqrt()[:, None]
        seen = whiten @ kernel(points, x, hyper) / deviation
        strength, direction = torch.linalg.eigh(seen @ seen.mT)
        strength = strength.clamp_min(0)[..., None]
        turned = direction.mT @ whiten
        root = (strength / (1 + strength)).sqrt() * turned
        gather = turned.mT @ (direction.mT @ seen / (1 + strength)) / deviation
    mean_weight = (gather @ y[..., None])[..., 0]
    return {"points": points, "gather": gather, "root": root, "mean_weight": mean_weight}


def outlier_noise(
    x: Float[Tensor, "n I"],
    y: Float[Tensor, "D n"],
    points: Float[Tensor, "m I"],
    hyper: Mapping[str, Tensor],
) -> Float[Tensor, "D n"]:
    """Return the extra noise variance of steps that no smooth function explains, 0 for the others.

    A contact or an end stop is a jump in the dynamics; to pass through it, a smooth process would
    take short length scales and forget all else that it knows. A step is an outlier of an output
    where its leave-one-out residual (Rasmussen & Williams 2006, section 5.4.2) is beyond
    `OUTLIER` standard deviations, none of them smaller than a tenth of the output's own; its
    squared residual is then its noise.
    """
    noise = hyper["noise"].clamp_min(SMALLEST_RESIDUAL**2)[:, None].expand_as(y)
    fit = condition(x, y, noise, points, hyper)
    if len(points) == len(x):
        variance = 1 / fit["root"].square().sum(-2)
        residual = fit["mean_weight"] * variance
    else:  # inducing points: so many steps that leaving one out makes no difference
        cross = kernel(x, points, hyper)
        residual = y - (cross @ fit["mean_weight"][..., None])[..., 0]
        prior = hyper["output_scale"][:, None] + hyper["linear"] @ (x**2).T
        explained = (cross @ fit["root"].mT).square().sum(-1)
        variance = noise + (prior - explained).clamp_min(0)
    beyond = residual.abs() > OUTLIER * variance.sqrt()
    return torch.where(beyond, residual**2, 0.0)


def _cholesky(matrix: Tensor) -> Tensor:
    """Factor a positive definite matrix, with as little jitter as it takes."""
    scale = matrix.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    factor: Tensor
    for jitter in (1e-10, 1e-8, 1e-6, 1e-4):
        factor, failed = torch.linalg.cholesky_ex(matrix + jitter * scale * identity)
        if not bool(failed.any()):
            return factor
    raise ModelError("Gaussian process: the kernel matrix is not positive definite")


def _inverse(factor: Float[Tensor, "D m m"]) -> Float[Tensor, "D m m"]:
    """Return the inverse of a lower triangular matrix."""
    identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    inverse: Tensor = torch.linalg.solve_triangular(factor, identity, upper=False)
    return inverse


def spread(x: Float[Tensor, "n I"], most: int) -> Tensor:
    """Return indices of at most `most` inputs that cover the rest: pivoted Cholesky.

    The kernel is a unit squared exponential on the standardised inputs, so that the choice does
    not depend on hyper-parameters that are still to be fitted.
    """
    if len(x) <= most:
        return torch.arange(len(x), device=x.device)
    variance = torch.ones(len(x), dtype=x.dtype, device=x.device)
    rows = torch.zeros(most, len(x), dtype=x.dtype, device=x.device)
    chosen = []
    for i in range(most):
        pivot = int(variance.argmax())
        chosen.append(pivot)
        kernel = torch.exp(-0.5 * ((x - x[pivot]) ** 2).sum(-1) / x.shape[-1])
        row = kernel - rows[:i].T @ rows[:i, pivot]
        rows[i] = row / variance[pivot].clamp_min(1e-12).sqrt()
        variance = (variance - rows[i] ** 2).clamp_min(0)
        variance[pivot] = -1.0
    return torch.tensor(sorted(chosen), device=x.device)


def planning_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold the posterior into what one matrix product per step needs.

    With lifted inputs (x, x^2, 1), the exponent of the squared exponential and the argument of
    the random features are linear: `similarity` [D, 2I+1, m] and `frequency` [D, 2I+1, F].
    Row 0 of the weights is the mean, row 1 + e posterior function e.
    """
    inverse = state["length_scale"] ** -2  # [D, I]
    points = state["points"]
    similarity = torch.cat(
        [
            (points * inverse[:, None]).mT,
            (-0.5 * inverse[:, :, None]).expand(-1, -1, len(points)),
            -0.5 * (points**2 @ inverse.T).T[:, None],
        ],
        dim=1,
    )
    frequency = torch.cat(
        [
            state["frequency"].mT,
            torch.zeros_like(state["frequency"].mT),
            state["phase"][:, None],
        ],
        dim=1,
    )
    mean = state["mean_weight"][:, None]
    slope = state["linear"][:, None] * (mean @ points)
    scale = state["output_scale"][:, None, None]
    weight = torch.cat([torch.zeros_like(state["weight"][:, :1]), state["weight"]], dim=1)
    plan = {
        "similarity": similarity,
        "frequency": frequency,
        "point_weight": scale * torch.cat([mean, state["point_weight"]], dim=1),
        "slope": torch.cat([slope, state["slope"]], dim=1),
        "weight": weight,
        "x_mean": state["x_mean"],
        "x_scale": state["x_scale"],
        "y_mean": state["y_mean"],
        "y_scale": state["y_scale"],
    }
    return {key: value.to(torch.float32).contiguous() for key, value in plan.items()}
