"""No model: in imagination nothing moves, and each rollout stays where it starts.

For campaigns that learn a policy and no dynamics. What is asked of a candidate is then asked of its
start alone.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from robo_al.types import FitReport, Prediction, Task, Transitions

UNKNOWN = 1.0
"""Variance of whatever comes next: any number above 0."""


class Still:
    """Learns nothing, and imagines that nothing moves.

    Args:
        task: whose rewards, where they are not known, are imagined as 0.
        device: ignored; answers are where the questions are.
    """

    members: int = 1

    def __init__(self, task: Task, device: Any = "cpu") -> None:
        self._learn_reward = task.reward is None

    def fit(self, transitions: Transitions, rng: np.random.Generator) -> FitReport:
        """Learn nothing."""
        return FitReport(loss=0.0)

    def predict(
        self, observations: Float[Tensor, "*batch O"], actions: Float[Tensor, "*batch A"]
    ) -> Prediction:
        """Return the observations, of which no data make it surer."""
        known, unknown = torch.zeros_like(observations), torch.full_like(observations, UNKNOWN)
        return Prediction(observations, known, unknown, self._rewards(observations))

    def step(
        self,
        observations: Float[Tensor, "G P O"],
        actions: Float[Tensor, "G P A"],
        members: Int[Tensor, "G"],
    ) -> tuple[Float[Tensor, "G P O"], Float[Tensor, "G P"] | None]:
        """Stay."""
        return observations, self._rewards(observations)

    def state_dict(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up nothing."""

    def _rewards(self, observations: Float[Tensor, "*batch O"]) -> Float[Tensor, "*batch"] | None:
        return torch.zeros_like(observations[..., 0]) if self._learn_reward else None
