"""SB3's gradient steps on a CPU: the same steps, of fewer and of fused operations.

Products of matrices, which nothing here makes faster, are a third to two thirds of one. Of the
rest, most is batch normalisation, Adam, and gradients of weights of critics that nobody uses.
"""

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch
from sb3_contrib.common.torch_layers import BatchRenorm1d
from torch import Tensor, nn
from torch.nn import functional


class FusedBatchRenorm(BatchRenorm1d):
    """The library's batch renormalisation, by torch's kernel wherever both are the same.

    They are the same in evaluation, and in training until `warmup_steps`: the library divides by
    the unbiased variance v and torch by the biased one, v (n - 1) / n, so that torch is given an
    epsilon and a scale that make up for it. Both keep averages of the unbiased one.
    """

    ra_mean: Tensor
    ra_var: Tensor
    steps: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows [B,F] normalised; training moves the running averages."""
        scale: Tensor = self.scale
        epsilon = self.eps
        if self.training:
            if len(x) == 1 or self.steps > self.warmup_steps:
                return super().forward(x)
            biased = (len(x) - 1) / len(x)
            scale = scale * math.sqrt(biased)
            epsilon = epsilon * biased
            self.steps += 1
        return functional.batch_norm(
            x,
            self.ra_mean,
            self.ra_var,
            scale,
            self.bias,
            training=self.training,
            momentum=self.momentum,
            eps=epsilon,
        )


def hasten(algorithm: Any) -> None:
    """Let a new SB3 algorithm take its gradient steps by the operations of this module."""
    policy = algorithm.policy
    for module in policy.modules():
        if isinstance(module, BatchRenorm1d):
            module.__class__ = FusedBatchRenorm  # it has no state of its own
        for optimizer in vars(module).values():
            if isinstance(optimizer, torch.optim.Adam):
                for group in optimizer.param_groups:
                    group["fused"] = True
    if hasattr(policy, "critic"):
        policy.critic.register_forward_pre_hook(_without_unused_gradients)


def _without_unused_gradients(critic: nn.Module, arguments: tuple[Tensor, Tensor]) -> None:
    """Leave out the gradient of the critic's weights where that of the actions is asked for."""
    _, actions = arguments
    critic.requires_grad_(not actions.requires_grad)


def dense(layers: Iterable[nn.Module]) -> nn.Sequential:
    """Return layers as they act: each normalisation is part of the linear layer that follows.

    While a policy acts, its running averages stand still, and a normalisation is s x + t. Then
    W (s x + t) + b = (W s) x + (W t + b).
    """
    made: list[nn.Module] = []
    before: FusedBatchRenorm | None = None
    for layer in layers:
        if isinstance(layer, FusedBatchRenorm):
            before = layer
        elif before is not None:
            made.append(_folded(before, layer))
            before = None
        else:
            made.append(layer)
    return nn.Sequential(*made)


@torch.no_grad()
def _folded(normalisation: FusedBatchRenorm, linear: nn.Module) -> nn.Linear:
    assert isinstance(linear, nn.Linear), "normalisations stand before linear layers"
    scale = normalisation.scale * (normalisation.ra_var + normalisation.eps).rsqrt()
    shift = normalisation.bias - scale * normalisation.ra_mean
    folded = copy.deepcopy(linear)
    folded.bias.add_(linear.weight @ shift)
    folded.weight.mul_(scale)
    return folded
