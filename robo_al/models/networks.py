"""E networks that predict a mean and a variance, all of them in one batched tensor.

The probabilistic networks of PETS (Chua et al. 2018, "Deep reinforcement learning in a handful of
trials using probabilistic dynamics models"): swish layers, a Gaussian's mean and log variance,
the latter softly bounded from both sides by bounds that are learned. Weights are a flat mapping
of tensors whose first axis is E, so a layer is one `baddbmm`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import silu, softplus

from robo_al.errors import ModelError

FLOAT = torch.float32
BETA = 0.5
"""Between likelihood (0) and squared error (1) while training: the value of Seitzer et al."""
Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Training:
    """How networks are trained."""

    max_steps: int
    """Gradient steps at most."""
    batch_size: int
    """Rows of one gradient step, for each network its own."""
    learning_rate: float
    weight_decay: float
    patience: int = 15
    """Evaluations on held-out rows without a better network, after which training stops."""


def new_weights(members: int, widths: tuple[int, ...], draw: torch.Generator) -> dict[str, Tensor]:
    """Return random weights of networks with layers of these widths (inputs, ..., outputs).

    Args:
        members: E.
        widths: the last is 2 D, for means and log variances.
        draw: on the CPU.
    """
    weights = {}
    for layer, (fan_in, fan_out) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        normal = torch.randn(members, fan_in, fan_out, generator=draw, dtype=FLOAT)
        weights[f"weight_{layer}"] = normal.clamp(-2, 2) / (2 * math.sqrt(fan_in))
        weights[f"bias_{layer}"] = torch.zeros(members, 1, fan_out, dtype=FLOAT)
    outputs = (members, 1, widths[-1] // 2)
    weights["max_log_variance"] = torch.full(outputs, 0.5, dtype=FLOAT)
    weights["min_log_variance"] = torch.full(outputs, -10.0, dtype=FLOAT)
    return weights


def activations(weights: Weights, x: Float[Tensor, "E B I"]) -> Float[Tensor, "E B H"]:
    """Return the last hidden layer."""
    for layer in range(_last(weights)):
        x = torch.baddbmm(weights[f"bias_{layer}"], x, weights[f"weight_{layer}"])
        x = silu(x, inplace=not x.requires_grad)  # without gradients, nothing needs what it was
    return x


def moments(
    weights: Weights, x: Float[Tensor, "E B I"]
) -> tuple[Float[Tensor, "E B D"], Float[Tensor, "E B D"]]:
    """Return mean and log variance."""
    last = _last(weights)
    out = torch.baddbmm(weights[f"bias_{last}"], activations(weights, x), weights[f"weight_{last}"])
    mean, log_variance = out.chunk(2, dim=-1)
    high, low = weights["max_log_variance"], weights["min_log_variance"]
    log_variance = high - softplus(high - log_variance)
    return mean, low + softplus(log_variance - low)


def negative_log_likelihood(
    weights: Weights, x: Float[Tensor, "E B I"], y: Float[Tensor, "E B D"], beta: float = 0.0
) -> Float[Tensor, "E B"]:
    """Return 1/2 (squared error / variance + log variance), the mean over outputs.

    With `beta`, every term is weighted by its variance to the power of beta (no gradient through
    the weight): otherwise what is hard to predict is taken for noise and never learned (Seitzer
    et al. 2022, "On the pitfalls of heteroscedastic uncertainty estimation").
    """
    mean, log_variance = moments(weights, x)
    terms = 0.5 * ((y - mean) ** 2 * torch.exp(-log_variance) + log_variance)
    return (terms * torch.exp(beta * log_variance.detach())).mean(-1)


def train(
    weights: Weights,
    x: Float[Tensor, "B I"],
    y: Float[Tensor, "B D"],
    held_out: Bool[Tensor, "E B"],
    training: Training,
    draw: torch.Generator,
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Train all networks by AdamW; each keeps the weights that were best on its held-out rows.

    They are judged by their squared error (as in MBPO; Janner et al. 2019), because a few rows
    that surprise would decide a likelihood.

    Args:
        weights: to start from; not changed.
        x: standardised inputs.
        y: standardised targets.
        held_out: rows by which a network is judged and from which it does not learn.
        training: how.
        draw: on the CPU; decides which rows each gradient step sees.

    Returns:
        Weights, and `loss` (negative log likelihood of the rows that were learned from, per row
        and output), `held_out_error` (mean squared) and `steps` taken.

    Raises:
        ModelError: the loss is not finite.
    """
    members = len(held_out)
    current = {key: value.clone().requires_grad_() for key, value in weights.items()}
    best = {key: value.clone() for key, value in weights.items()}
    best_error = torch.full((members,), math.inf, dtype=FLOAT, device=x.device)
    optimizer = torch.optim.AdamW(
        current.values(),
        lr=training.learning_rate,
        weight_decay=training.weight_decay,
        fused=True,
    )
    everything = x.expand(members, -1, -1)
    most = int(held_out.sum(-1).max())
    judged = held_out.int().argsort(dim=-1, descending=True, stable=True)[:, :most]
    own = held_out.gather(-1, judged)  # False where another network holds out more
    chances = (~held_out).to("cpu", FLOAT)
    batch = min(training.batch_size, len(x))
    every, waited, step = max(10, math.ceil(len(x) / batch)), 0, 0
    while step < training.max_steps and waited < training.patience:
        step += 1
        rows = torch.multinomial(chances, batch, replacement=True, generator=draw).to(x.device)
        loss = negative_log_likelihood(current, x[rows], y[rows], BETA).mean(-1).sum()
        bounds = (current["max_log_variance"] - current["min_log_variance"]).mean((1, 2)).sum()
        optimizer.zero_grad()
        (loss + 0.01 * bounds).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % every == 0 or step == training.max_steps:
            with torch.no_grad():
                error = (y[judged] - moments(current, x[judged])[0]).square().mean(-1)
            errors = (error * own).sum(-1) / own.sum(-1)
            better = errors < best_error
            best_error = torch.where(better, errors, best_error)
            for key, value in current.items():
                best[key][better] = value.detach()[better]
            waited = 0 if bool(better.any()) else waited + 1
    losses = negative_log_likelihood(best, everything, y.expand(members, -1, -1))
    seen = float(losses[~held_out].mean())
    if not (math.isfinite(seen) and bool(torch.isfinite(best_error).all())):
        raise ModelError("ensemble: training diverged; lower the model's learning_rate")
    details = {"loss": seen, "held_out_error": float(best_error.mean()), "steps": float(step)}
    return best, details


def _last(weights: Weights) -> int:
    """Return the number of the last layer."""
    last = 0
    while f"weight_{last + 1}" in weights:
        last += 1
    return last
