"""E networks that predict a mean and a variance, all of them in one batched tensor.

The probabilistic networks of PETS (Chua et al. 2018, "Deep reinforcement learning in a handful of
trials using probabilistic dynamics models"): swish layers, a Gaussian's mean and log variance,
the latter softly bounded from both sides by bounds that are learned. Weights are a flat mapping
of tensors whose first axis is E, so a layer is one `baddbmm`. Nothing here needs autograd:
`training` has the gradient.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import silu, softplus

FLOAT = torch.float32
BLOCK = 256
"""Rows that a CPU takes at a time, at least: activations then stay in its cache."""
Weights: TypeAlias = Mapping[str, Tensor]
Layers: TypeAlias = Sequence[tuple[Tensor, Tensor]]
"""Weights [E,I,O] and biases [E,1,O], from the first layer to the last."""


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


def layers_of(weights: Weights) -> Layers:
    """Return all layers."""
    layers: list[tuple[Tensor, Tensor]] = []
    while f"weight_{len(layers)}" in weights:
        layers.append((weights[f"weight_{len(layers)}"], weights[f"bias_{len(layers)}"]))
    return layers


def mean_layers(weights: Weights) -> Layers:
    """Return all layers, the last without the half that makes log variances."""
    *hidden, (weight, bias) = layers_of(weights)
    outputs = weight.shape[-1] // 2
    return [*hidden, (weight[..., :outputs], bias[..., :outputs])]


@torch.no_grad()
def forward(layers: Layers, x: Float[Tensor, "E B I"]) -> Float[Tensor, "E B D"]:
    """Return what comes out of the last layer."""
    # of about the same size: a product of very few rows is rounded otherwise than one of many
    blocks = [x] if x.is_cuda else torch.tensor_split(x, max(1, x.shape[1] // BLOCK), dim=1)
    outputs = [_forward(layers, block) for block in blocks]
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)


def _forward(layers: Layers, x: Float[Tensor, "E b I"]) -> Float[Tensor, "E b D"]:
    (weight, bias), *others = layers
    x = torch.baddbmm(bias, x, weight)
    for weight, bias in others:
        x = torch.baddbmm(bias, silu(x, inplace=True), weight)
    return x


def activations(weights: Weights, x: Float[Tensor, "E B I"]) -> Float[Tensor, "E B H"]:
    """Return the last hidden layer."""
    return silu(forward(layers_of(weights)[:-1], x), inplace=True)


def moments(
    weights: Weights, x: Float[Tensor, "E B I"]
) -> tuple[Float[Tensor, "E B D"], Float[Tensor, "E B D"]]:
    """Return mean and log variance."""
    mean, log_variance = forward(layers_of(weights), x).chunk(2, dim=-1)
    high, low = weights["max_log_variance"], weights["min_log_variance"]
    log_variance = high - softplus(high - log_variance)
    return mean, low + softplus(log_variance - low)


def negative_log_likelihood(
    mean: Float[Tensor, "E B D"], log_variance: Float[Tensor, "E B D"], y: Float[Tensor, "E B D"]
) -> Float[Tensor, "E B"]:
    """Return 1/2 (squared error / variance + log variance), the mean over outputs."""
    return 0.5 * ((y - mean) ** 2 * torch.exp(-log_variance) + log_variance).mean(-1)
