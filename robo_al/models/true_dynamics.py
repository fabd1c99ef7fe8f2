"""The env's own dynamics in place of a learned model: what a perfect model would reach.

For diagnostics only. It is the upper bound against which planner, selection and evaluation are
judged apart from what was learned.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from robo_al.errors import ConfigError
from robo_al.tasks.offers import offers_of
from robo_al.tasks.shelf import borrowed
from robo_al.types import FitReport, Prediction, Task, Transitions

ALEATORIC = 1e-12


class TrueDynamics:
    """One member, which is the truth.

    Args:
        task: its env has `dynamics` and a known reward.
        device: ignored; answers are where the questions are.

    Raises:
        ConfigError: the env has no `dynamics`, or its reward is not known.
    """

    members: int = 1

    def __init__(self, task: Task, device: Any = "cpu") -> None:
        with borrowed(task.env) as env:
            dynamics = offers_of(env).dynamics
        if dynamics is None:
            raise ConfigError(f"env {task.env.name}: no `dynamics`, so it cannot be its own model")
        if task.reward is None:
            raise ConfigError(f"env {task.env.name}: its reward is not known; learn a model of it")
        self._dynamics = dynamics

    def __deepcopy__(self, memo: dict[int, Any]) -> "TrueDynamics":
        """Return itself: it learns nothing, and its dynamics belong to an env."""
        return self

    def fit(self, transitions: Transitions, rng: np.random.Generator) -> FitReport:
        """Learn nothing."""
        return FitReport(loss=0.0)

    def predict(
        self, observations: Float[Tensor, "*batch O"], actions: Float[Tensor, "*batch A"]
    ) -> Prediction:
        """Return the next observations, certain of them."""
        mean = self._dynamics(observations, actions)
        return Prediction(mean, torch.zeros_like(mean), torch.full_like(mean, ALEATORIC))

    def step(
        self,
        observations: Float[Tensor, "G P O"],
        actions: Float[Tensor, "G P A"],
        members: Int[Tensor, "G"],
    ) -> tuple[Float[Tensor, "G P O"], None]:
        """Advance all groups by the truth."""
        return self._dynamics(observations, actions), None
