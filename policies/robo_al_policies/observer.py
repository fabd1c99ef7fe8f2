"""What a policy's networks see of an observation: sine and cosine in place of angles."""

import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.models.feature_map import FeatureMap
from robo_al.types import Task


class Observer:
    """Observations [...,O] as features [...,F], float32.

    Args:
        task: its channels say which are angles.
        raw: leave angles as they are: F = O.
    """

    def __init__(self, task: Task, raw: bool = False) -> None:
        inputs = FeatureMap.of(task)
        everything = tuple(range(inputs.observation_size))
        self.linear: tuple[int, ...] = everything if raw else inputs.linear
        """Channels that are features as they are; they come first."""
        self.angles: tuple[int, ...] = () if raw else inputs.angles
        """Channels whose sines, and then whose cosines, follow."""

    @property
    def size(self) -> int:
        """F."""
        return len(self.linear) + 2 * len(self.angles)

    def __call__(self, observations: Float[Tensor, "*batch O"]) -> Float[Tensor, "*batch F"]:
        """Return the features."""
        observations = observations.to(torch.float32)
        if not self.angles:
            return observations
        angles = observations[..., list(self.angles)]
        linear = observations[..., list(self.linear)]
        return torch.cat([linear, torch.sin(angles), torch.cos(angles)], dim=-1)
