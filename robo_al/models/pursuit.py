"""Which few of many columns say what a target is: orthogonal matching pursuit, judged held out.

Y. C. Pati, R. Rezaiifar & P. S. Krishnaprasad 1993, "Orthogonal matching pursuit". A column is
added as long as the sum predicts folds better that had no part in its weights.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

MOST_TERMS = 6
"""Columns that are chosen, at most."""
TRIED = 8
"""Columns most like what is left over, of which the best on held-out folds is taken."""
WORTH = 0.9
"""A further column has to bring the held-out squared error below this share."""
SAME = 1e-3
"""Share of a column that the others do not explain, below which it says nothing new."""
EXACT = 1e-8
"""Share of the variance below which nothing is left to explain."""
RIDGE = 1e-10
"""Of least squares, in variances of a column: columns may be nearly the same."""


def pursue(
    columns: Float[Tensor, "B P"],
    target: Float[Tensor, "B"],
    folds: Int[Tensor, "B"],
    enough: float,
) -> tuple[Sequence[int], Float[Tensor, "K"], Float[Tensor, ""]]:
    """Return the columns that were chosen, their weights, and what is added to their sum.

    Args:
        columns: to choose from, the plainest first.
        target: what they are to say.
        folds: which fold each row is in.
        enough: share of the variance that held-out errors may have; else none are chosen.
    """
    center, scale = columns.mean(0), columns.std(0, correction=0)
    varies = scale > 1e-9 * columns.abs().amax(0).clamp_min(1e-30)
    scaled = torch.where(varies, (columns - center) / torch.where(varies, scale, 1.0), 0.0)
    mean, height = target.mean(), target.std(correction=0).clamp_min(1e-30)
    target = (target - mean) / height
    left = target
    error = _held_out_error(scaled[:, []], target, folds)
    chosen: list[int] = []
    unexplained = scaled.clone()
    while len(chosen) < MOST_TERMS and error > EXACT:
        length = unexplained.norm(dim=0)
        new = length > SAME * len(target) ** 0.5
        alike = torch.where(new, (unexplained.T @ left).abs() / length.clamp_min(1e-30), 0.0)
        tried = torch.sort(alike, descending=True, stable=True).indices[:TRIED].tolist()
        errors = [_held_out_error(scaled[:, [*chosen, i]], target, folds) for i in tried]
        best = min(errors)
        if not best < WORTH * error:
            break
        # of those that are the same but for rounding, the plainest
        chosen.append(min(i for i, e in zip(tried, errors, strict=True) if e <= best + EXACT))
        error = best
        direction = unexplained[:, chosen[-1]] / length[chosen[-1]]
        unexplained = unexplained - direction[:, None] * (direction @ unexplained)
        left = left - direction * (direction @ left)
    if error > enough:
        chosen = []
    weights = _weights(scaled[:, chosen], target) * height
    weights, level = weights[:-1] / scale[chosen], weights[-1] + mean
    return chosen, weights, level - weights @ center[chosen]


def _weights(columns: Float[Tensor, "B K"], target: Float[Tensor, "B"]) -> Float[Tensor, "K1"]:
    """Return least squares' weights of the columns, and the bias."""
    design = torch.cat([columns, torch.ones_like(target)[:, None]], dim=1)
    gram = design.T @ design
    gram.diagonal().add_(RIDGE * len(target))
    weights: Tensor = torch.linalg.solve(gram, design.T @ target)
    return weights


def _held_out_error(
    columns: Float[Tensor, "B K"], target: Float[Tensor, "B"], folds: Int[Tensor, "B"]
) -> float:
    """Return the mean squared error on each fold of weights that were fitted to the others."""
    errors = torch.empty_like(target)
    for fold in torch.unique(folds).tolist():
        out = folds == fold
        weights = _weights(columns[~out], target[~out])
        errors[out] = target[out] - columns[out] @ weights[:-1] - weights[-1]
    return float(errors.square().mean())
