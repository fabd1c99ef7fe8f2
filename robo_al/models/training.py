"""Training of all networks at once, by a gradient that is written out.

Parameters are views of one flat tensor, so that AdamW is one operation, and a step writes into
tensors that are made once: without autograd's and the allocator's share of the time, and as a CUDA
graph wants it. The loss is the negative log likelihood, every term weighted by its variance to
the power of beta (no gradient through the weight): otherwise what is hard to predict is taken for
noise and never learned (Seitzer et al. 2022, "On the pitfalls of heteroscedastic uncertainty
estimation"). With error e = mean - y, log variance v and n rows and outputs,

    dL/dmean = exp((beta - 1) v) e / n,    dL/dv = exp(beta v) (1 - exp(-v) e^2) / 2n.
"""

import math
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import softplus

from robo_al.errors import ModelError
from robo_al.models.graphs import Replayed
from robo_al.models.networks import FLOAT, Weights, forward, layers_of, mean_layers

BETA = 0.5
"""Between likelihood (0) and squared error (1): the value of Seitzer et al."""
BOUNDS = 0.01
"""Weight, in the loss, of how far the bounds of the log variance are apart (PETS)."""
ALIGNED = 32
"""Tensors begin at multiples of so many numbers, for the sake of GPUs' matrix products."""


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
    beta: float = BETA
    """The power of its variance by which an error is weighted; 1 makes it the squared error."""


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
        Weights, and `held_out_error` (mean squared) and `steps` taken.

    Raises:
        ModelError: the weights or the error are not finite.
    """
    batch = min(training.batch_size, len(x))
    learner = Learner(weights, batch, training)
    step = Replayed(lambda rows: learner.step(x[rows], y[rows]), x.device)
    judged, own = _front(held_out)
    judged_x, judged_y = x[judged], y[judged]
    learned, allowed = _front(~held_out)
    counts = allowed.sum(-1).cpu()[:, None, None]
    best = {key: value.clone() for key, value in weights.items()}
    best_error = torch.full((len(own),), math.inf, dtype=FLOAT, device=x.device)
    every, waited, steps = max(10, math.ceil(len(x) / batch)), 0, 0
    while steps < training.max_steps and waited < training.patience:
        chunk = min(every, training.max_steps - steps)
        drawn = torch.randint(2**62, (len(own), chunk, batch), generator=draw) % counts
        rows = learned.gather(-1, drawn.flatten(1).to(x.device)).reshape(drawn.shape)
        with tensor_cores(x.device):
            for i in range(chunk):
                step(rows[:, i])
        steps += chunk
        error = (forward(mean_layers(learner.weights), judged_x) - judged_y).square().mean(-1)
        errors = (error * own).sum(-1) / own.sum(-1)
        better = errors < best_error
        best_error = torch.where(better, errors, best_error)
        for key, value in learner.weights.items():
            best[key] = torch.where(better[:, None, None], value, best[key])
        waited = 0 if bool(better.any()) else waited + 1
    finite = [torch.isfinite(value).all() for value in (best_error, *best.values())]
    if not bool(torch.stack(finite).all()):
        raise ModelError("training diverged; lower the learning_rate")
    return best, {"held_out_error": float(best_error.mean()), "steps": float(steps)}


def _front(chosen: Bool[Tensor, "E B"]) -> tuple[Int[Tensor, "E b"], Bool[Tensor, "E b"]]:
    """Return each network's chosen rows, and which of them are: others may have more."""
    most = int(chosen.sum(-1).max())
    rows = chosen.int().argsort(dim=-1, descending=True, stable=True)[:, :most]
    return rows, chosen.gather(-1, rows)


class Learner:
    """Networks, their gradient, and whatever else a step writes to.

    Args:
        weights: to start from; not changed.
        batch: rows of a step.
        training: how.
    """

    def __init__(self, weights: Weights, batch: int, training: Training) -> None:
        ends = _ends(weights)
        first = weights["bias_0"]
        flat = torch.zeros(ends[-1], dtype=first.dtype, device=first.device)
        flat.grad = torch.zeros_like(flat)
        self.weights, self.gradient = _views(flat, weights), _views(flat.grad, weights)
        for key, value in weights.items():
            self.weights[key].copy_(value)
        self._beta = training.beta
        self._layers, self._gradients = layers_of(self.weights), layers_of(self.gradient)
        self._before, self._after, self._slope = (
            [flat.new_empty(len(first), batch, bias.shape[-1]) for _, bias in self._layers]
            for _ in range(3)
        )
        self._optimizer = torch.optim.AdamW(
            [flat],
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,
            capturable=flat.is_cuda,
        )

    @torch.no_grad()
    def step(self, x: Float[Tensor, "E b I"], y: Float[Tensor, "E b D"]) -> None:
        """Take one gradient step."""
        self.differentiate(x, y)
        self._optimizer.step()

    def differentiate(self, x: Float[Tensor, "E b I"], y: Float[Tensor, "E b D"]) -> None:
        """Put the gradient of the loss, the sum over networks, into `gradient`."""
        aten, inputs = torch.ops.aten, [x, *self._after]
        for i, (weight, bias) in enumerate(self._layers):
            if i:
                aten.silu.out(self._before[i - 1], out=inputs[i])
            torch.baddbmm(bias, inputs[i], weight, out=self._before[i])
        self._differentiate_loss(y)
        for i in reversed(range(len(self._layers))):
            slope, (weight, bias) = self._slope[i], self._gradients[i]
            torch.sum(slope, 1, keepdim=True, out=bias)
            torch.bmm(inputs[i].mT, slope, out=weight)
            if i:
                below, before = self._slope[i - 1], self._before[i - 1]
                torch.bmm(slope, self._layers[i][0].mT, out=below)
                aten.silu_backward.grad_input(below, before, grad_input=below)

    def _differentiate_loss(self, y: Float[Tensor, "E b D"]) -> None:
        """Put the gradient of the loss by the networks' outputs into the last slope."""
        high, low = self.weights["max_log_variance"], self.weights["min_log_variance"]
        mean, unbounded = self._before[-1].chunk(2, dim=-1)
        to_high = high - unbounded
        to_low = high - softplus(to_high) - low
        log_variance = low + softplus(to_low)
        error, precision = mean - y, torch.exp(-log_variance)
        weight = torch.exp(self._beta * log_variance) / (y.shape[1] * y.shape[2])
        by_mean = error * precision * weight
        by_log_variance = 0.5 * (weight - error * by_mean)
        above_low = by_log_variance * torch.sigmoid(to_low)
        within = above_low * torch.sigmoid(to_high)
        torch.cat([by_mean, within], dim=-1, out=self._slope[-1])
        apart = BOUNDS / y.shape[2]
        self.gradient["max_log_variance"].copy_((above_low - within).sum(1, keepdim=True) + apart)
        self.gradient["min_log_variance"].copy_(
            (by_log_variance - above_low).sum(1, keepdim=True) - apart
        )


def tensor_cores(device: torch.device) -> AbstractContextManager[None]:
    """Let a GPU multiply float32 matrices in TF32 for the time being: ten bits of the fraction."""
    return _USING_TENSOR_CORES if device.type == "cuda" else nullcontext()


class _TensorCores:
    """TF32 from the first thread that enters until the last one leaves: it is the process's."""

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, "none"

    def __enter__(self) -> None:
        products = torch.backends.cuda.matmul
        with self._lock:
            if not self._inside:
                self._before, products.fp32_precision = products.fp32_precision, "tf32"
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                torch.backends.cuda.matmul.fp32_precision = self._before


_USING_TENSOR_CORES = _TensorCores()


def _ends(weights: Weights) -> list[int]:
    """Return where each tensor, filled up to `ALIGNED`, ends in a flat one."""
    ends = [0]
    for value in weights.values():
        ends.append(ends[-1] + -(-value.numel() // ALIGNED) * ALIGNED)
    return ends[1:]


def _views(flat: Float[Tensor, "all"], weights: Weights) -> dict[str, Tensor]:
    """Return views of a flat tensor in the shapes of these weights."""
    starts = [0, *_ends(weights)]
    return {
        key: flat[start : start + value.numel()].view(value.shape)
        for start, (key, value) in zip(starts, weights.items(), strict=False)
    }
