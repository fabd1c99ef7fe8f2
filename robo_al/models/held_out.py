"""Is the retrained model better? Both are asked about rollouts that neither was trained on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.models.feature_map import ROUNDING, TINY, FeatureMap
from robo_al.protocols import Model
from robo_al.types import Prediction, Task, Trajectory


@dataclass(frozen=True)
class HeldOutError:
    """How far a model is off on R rollouts."""

    nlpd: tuple[float, ...]
    """[R] negative log predictive nlpd, the mean over steps and outputs, nats."""
    rmse: tuple[float, ...]
    """[D] root mean square error of each output, in the observation's unit."""
    noise_std: tuple[float, ...]
    """[D] standard deviation of the noise that the model believes in, likewise."""
    reward: tuple[float, ...] = ()
    """[R] mean squared error of the learned reward, in units of the variance of the rewards of all
    these rollouts; empty where the reward is known."""


@torch.no_grad()
def held_out_error(model: Model, task: Task, trajectories: Sequence[Trajectory]) -> HeldOutError:
    """Ask a model for the next observation, and the reward, at every step of some rollouts.

    Args:
        model: fitted.
        task: whose channels are predicted.
        trajectories: R of them, not trained on.
    """
    inputs = FeatureMap.of(task)
    outputs = list(inputs.predicted)
    nlpd, squares, noises, rewards = [], [], [], []
    for trajectory in trajectories:
        observations = torch.as_tensor(trajectory.observations)
        prediction = model.predict(observations[:-1], torch.as_tensor(trajectory.actions))
        nlpd.append(float(surprise(inputs, prediction, trajectory.observations[1:]).mean()))
        squares.append(_error(inputs, prediction, trajectory.observations[1:]) ** 2)
        noises.append(prediction.aleatoric.double().cpu()[:, outputs])
        if inputs.learn_reward and prediction.reward is not None:
            off = torch.as_tensor(trajectory.rewards) - prediction.reward.double().cpu()
            rewards.append(float(off.square().mean()))
    earned = np.concatenate([trajectory.rewards for trajectory in trajectories])
    variance_of_rewards = max(float(earned.var()), (ROUNDING * float(abs(earned).max())) ** 2, TINY)
    return HeldOutError(
        tuple(nlpd),
        tuple(torch.cat(squares).mean(0).sqrt().tolist()),
        tuple(torch.cat(noises).mean(0).sqrt().tolist()),
        tuple(error / variance_of_rewards for error in rewards),
    )


def surprise(
    inputs: FeatureMap,
    prediction: Prediction,
    next_observations: Float[np.ndarray, "B O"],
    most: float = math.inf,
) -> Float[Tensor, "B D"]:
    """Return the negative log predictive density of observations, nats.

    Args:
        inputs: of the task.
        prediction: of B observations.
        next_observations: that followed.
        most: nats that an error can cost beside those of the width of its prediction.
    """
    variance = (prediction.aleatoric.double() + prediction.epistemic.double()).cpu()
    variance = variance[:, list(inputs.predicted)]
    off = 0.5 * _error(inputs, prediction, next_observations) ** 2 / variance
    return 0.5 * torch.log(2 * torch.pi * variance) + off.clamp_max(most)


def _error(
    inputs: FeatureMap, prediction: Prediction, next_observations: Float[np.ndarray, "B O"]
) -> Float[Tensor, "B D"]:
    """Return how far predicted observations are off; of wrapped angles, the short way."""
    error = torch.as_tensor(next_observations) - prediction.mean.double().cpu()
    wrapped = list(inputs.wrapped)
    error[:, wrapped] = torch.remainder(error[:, wrapped] + torch.pi, 2 * torch.pi) - torch.pi
    return error[:, list(inputs.predicted)]


def compare(old: HeldOutError, new: HeldOutError) -> dict[str, Any]:
    """Return both models' errors, and whether the new one is worse beyond doubt.

    Worse: its nlpd, or the squared error of the reward that it learned, is higher by more than
    two standard errors of the paired difference over rollouts. Root mean square errors are in units
    of the new model's noise, for both, and that of the reward in units of its spread.
    """
    return {
        name: {
            "nlpd": float(np.mean(model.nlpd)),
            "rmse": np.divide(model.rmse, new.noise_std).tolist(),
            "reward": float(np.sqrt(np.mean(model.reward))) if model.reward else None,
        }
        for name, model in (("old", old), ("new", new))
    } | {"worse": _worse(old.nlpd, new.nlpd) or _worse(old.reward, new.reward)}


def _worse(old: Sequence[float], new: Sequence[float]) -> bool:
    """Return whether new errors of the same rollouts are higher beyond doubt."""
    if not new or len(new) != len(old):
        return False
    difference = np.subtract(new, old)
    doubt = 2 * difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return not bool(difference.mean() <= doubt)
