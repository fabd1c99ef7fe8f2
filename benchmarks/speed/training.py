"""Training of an ensemble, beside mbrl-lib's and beside the peak of matrix products.

Five members of four layers of 200, on HalfCheetah's sizes; each member holds out a fifth of 10,240
rows and is judged by it about once an epoch, as mbrl-lib's is. Seconds are of one gradient step,
everything that training does divided by the steps; operations are of the products alone, forward
and backward, those for judging not counted.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from measure import PEAK, Result, device, fraction_of_peak, multiplications
from models import peak

from robo_al.models.networks import new_weights
from robo_al.models.training import Training, train

MEMBERS, INPUTS, OUTPUTS, HIDDEN, LAYERS = 5, 23, 18, 200, 4
WIDTHS = (INPUTS, *[HIDDEN] * LAYERS, 2 * OUTPUTS)
OURS, MBRL = "robo-al", "mbrl-lib ModelTrainer"
PREDICTED = {256: "1.5", 1024: "1.2"}
"""Times mbrl-lib on a CPU: the same products; what differs is around them."""


def data(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs [B,I] and targets [B,D] of a smooth function with noise."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(rows, INPUTS, generator=draw)
    y = torch.sin(x @ torch.randn(INPUTS, OUTPUTS, generator=draw) / 5)
    return x, y + 0.1 * torch.randn(rows, OUTPUTS, generator=draw)


def ours(x: torch.Tensor, y: torch.Tensor, batch: int, steps: int, place: str) -> None:
    """Train for so many gradient steps."""
    draw = torch.Generator().manual_seed(0)
    start = {key: value.to(place) for key, value in new_weights(MEMBERS, WIDTHS, draw).items()}
    folds = torch.arange(len(x)) % 5
    held_out = (folds == torch.arange(MEMBERS)[:, None]).to(place)
    settings = Training(steps, batch, 1e-3, 1e-4, patience=steps)
    train(start, x.to(place), y.to(place), held_out, settings, draw)


def theirs(x: torch.Tensor, y: torch.Tensor, batch: int, epochs: int, place: str) -> None:
    """Train for so many epochs of four fifths of the rows.

    Raises:
        ImportError: mbrl-lib is not installed.
    """
    from mbrl.models import GaussianMLP, ModelTrainer, OneDTransitionRewardModel
    from mbrl.types import TransitionBatch
    from mbrl.util.replay_buffer import BootstrapIterator, TransitionIterator

    network = GaussianMLP(
        INPUTS,
        OUTPUTS,
        place,
        num_layers=LAYERS,
        ensemble_size=MEMBERS,
        hid_size=HIDDEN,
        learn_logvar_bounds=True,
        activation_fn_cfg={"_target_": "torch.nn.SiLU"},
    )
    # inputs are 17 observations and 6 actions, targets 17 changes and the reward
    model = OneDTransitionRewardModel(network, target_is_delta=False, learned_rewards=True)
    rows, targets = x.numpy(), y.numpy()
    no = np.zeros(len(rows), dtype=bool)
    batches = TransitionBatch(rows[:, :17], rows[:, 17:], targets[:, :17], targets[:, 17], no, no)
    split, draw = len(rows) * 4 // 5, np.random.default_rng(0)
    learned = BootstrapIterator(batches[:split], batch, MEMBERS, shuffle_each_epoch=True, rng=draw)
    judged = TransitionIterator(batches[split:], batch)
    trainer = ModelTrainer(model, optim_lr=1e-3, weight_decay=1e-4)
    trainer.train(learned, judged, num_epochs=epochs, silent=True)


def run(quick: bool) -> Result:
    """Measure batches of 256 and of 1024."""
    result, place = Result(), device()
    rows, epochs, repeats = (2560, 1, 1) if quick else (10_240, 4, 4)
    if place == "cuda" and not quick:
        epochs = 40  # as long as a fit, which records its steps first
    x, y = data(rows)
    for batch, times in PREDICTED.items():
        steps = epochs * -(-(rows * 4 // 5) // batch)
        case = f"{MEMBERS} members of {LAYERS} x {HIDDEN}, batch {batch}, {steps} steps"
        runs: dict[str, Callable[[], object]] = {
            PEAK: peak(place),
            OURS: partial(ours, x, y, batch, steps, place),
        }
        try:
            import mbrl  # noqa: F401

            runs[MBRL] = partial(theirs, x, y, batch, epochs, place)
        except ImportError as error:
            result.note(f"{MBRL}: not measured, because {error}")
        best = result.time(case, runs, repeats)
        if MBRL in best:
            result.find(case, "x mbrl-lib", best[MBRL] / best[OURS], "5", times)
        forward = 2 * batch * MEMBERS * multiplications(WIDTHS)
        first = 2 * batch * MEMBERS * INPUTS * HIDDEN  # its inputs need no gradient
        share = fraction_of_peak(steps * (3 * forward - first), best[OURS], best[PEAK])
        goal, predicted = ("0.5", "0.4") if batch == 1024 else ("", "0.25")
        result.find(case, "of GEMM peak", share, goal, predicted)
    return result
