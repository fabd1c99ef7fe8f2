"""Is the retrained model better? Both are asked about rollouts that neither was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from robo_al.models.inputs import Inputs
from robo_al.protocols import Model
from robo_al.types import Task, Trajectory


@dataclass(frozen=True)
class HeldOutError:
    """How far a model is off on R rollouts."""

    density: tuple[float, ...]
    """[R] negative log predictive density, the mean over steps and outputs, nats."""
    error: tuple[float, ...]
    """[D] root mean square error of each output, in the observation's unit."""
    noise: tuple[float, ...]
    """[D] standard deviation of the noise that the model believes in, likewise."""


@torch.no_grad()
def held_out_error(model: Model, task: Task, trajectories: Sequence[Trajectory]) -> HeldOutError:
    """Ask a model for the next observation at every step of some rollouts.

    Args:
        model: fitted.
        task: whose channels are predicted.
        trajectories: R of them, not trained on.
    """
    inputs = Inputs.of(task)
    outputs = list(inputs.predicted)
    density, squares, noises = [], [], []
    for trajectory in trajectories:
        observations = torch.as_tensor(trajectory.observations)
        prediction = model.predict(observations[:-1], torch.as_tensor(trajectory.actions))
        mean = prediction.mean.double().cpu()
        error = observations[1:] - mean
        wrapped = list(inputs.wrapped)
        error[:, wrapped] = torch.remainder(error[:, wrapped] + torch.pi, 2 * torch.pi) - torch.pi
        noise = prediction.aleatoric.double().cpu()
        variance = noise + prediction.epistemic.double().cpu()
        nats = 0.5 * (torch.log(2 * torch.pi * variance) + error**2 / variance)
        density.append(float(nats[:, outputs].mean()))
        squares.append(error[:, outputs] ** 2)
        noises.append(noise[:, outputs])
    return HeldOutError(
        tuple(density),
        tuple(torch.cat(squares).mean(0).sqrt().tolist()),
        tuple(torch.cat(noises).mean(0).sqrt().tolist()),
    )


def compare(old: HeldOutError, new: HeldOutError) -> dict[str, Any]:
    """Return both models' errors, and whether the new one is worse beyond doubt.

    Worse: its density is higher by more than two standard errors of the paired difference over
    rollouts. Root mean square errors are in units of the new model's noise, for both.
    """
    difference = np.subtract(new.density, old.density)
    doubt = 2 * difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return {
        name: {
            "density": float(np.mean(model.density)),
            "error": np.divide(model.error, new.noise).tolist(),
        }
        for name, model in (("old", old), ("new", new))
    } | {"worse": not bool(difference.mean() <= doubt)}
