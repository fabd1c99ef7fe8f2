"""From observations and actions to what a regression sees, and back.

Models predict the *change* of the observation, from sine and cosine of its angles. Components
that cannot change during a rollout (`constant` channels: goals) are read and not predicted.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.errors import ModelError
from robo_al.models.resident import Steps
from robo_al.types import Task

SMALLEST = 1e-2
"""Standard deviation that sines, cosines and actions are taken to have at least."""
ROUNDING = 1e-6
"""Share of a number below which its changes may be the rounding of float32."""

TINY = 1e-18
"""Standard deviation that float32 can still divide by, and square."""


@dataclass(frozen=True)
class FeatureMap:
    """The channels of one task, sorted by how a regression treats them."""

    linear: tuple[int, ...]
    angles: tuple[int, ...]
    wrapped: tuple[int, ...]
    predicted: tuple[int, ...]
    """Observation components that have an output of the model, in the order of its outputs."""
    observation_size: int
    learn_reward: bool
    """The task's reward is not known: it is one output more, after the observation's."""
    learn_ends: bool
    """The task does not say when it ends by itself."""
    center: tuple[float, ...]
    """Middle of the action limits."""
    half_range: tuple[float, ...]
    """Half the width of the action limits; 1 where they are equal, of a joint that is locked."""
    units: tuple[str, ...]
    """Of the observation's components."""

    @classmethod
    def of(cls, task: Task) -> "FeatureMap":
        """Sort the channels of a task."""
        kinds = [channel.kind for channel in task.channels]
        half = (task.action_high - task.action_low) / 2
        angles = tuple(i for i, kind in enumerate(kinds) if kind in ("angle", "wrapped_angle"))
        return cls(
            linear=tuple(i for i, kind in enumerate(kinds) if kind in ("linear", "constant")),
            angles=angles,
            wrapped=tuple(i for i, kind in enumerate(kinds) if kind == "wrapped_angle"),
            predicted=tuple(i for i, kind in enumerate(kinds) if kind != "constant"),
            observation_size=len(kinds),
            learn_reward=task.reward is None,
            learn_ends=task.termination is None,
            center=tuple(((task.action_high + task.action_low) / 2).tolist()),
            half_range=tuple(np.where(half > 0, half, 1.0).tolist()),
            units=tuple(channel.unit for channel in task.channels),
        )

    @property
    def size(self) -> int:
        """Number of inputs, I: linear channels, sines, cosines, actions."""
        return len(self.linear) + 2 * len(self.angles) + len(self.center)

    @property
    def outputs(self) -> int:
        """Number of outputs, D: predicted channels, and the reward where it is learned."""
        return len(self.predicted) + self.learn_reward

    def features(
        self, observations: Float[Tensor, "*batch O"], actions: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch I"]:
        """Return the inputs of the regression; actions are scaled to [-1, 1]."""
        parts = [_pick(observations, self.linear), *self._circular(observations)]
        return torch.cat([*parts, self._scaled(actions)], dim=-1)

    def components(
        self, observations: Float[Tensor, "*batch O"], actions: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch Z"]:
        """Return what formulas are made of: observations, sines, cosines, actions in [-1, 1]."""
        parts = [observations, *self._circular(observations)]
        return torch.cat([*parts, self._scaled(actions)], dim=-1)

    def _circular(self, observations: Float[Tensor, "*batch O"]) -> list[Tensor]:
        """Return sines and cosines of the angles, if there are any."""
        if not self.angles:
            return []
        angles = _pick(observations, self.angles)
        return [torch.sin(angles), torch.cos(angles)]

    def _scaled(self, actions: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch A"]:
        if not any(self.center) and set(self.half_range) == {1.0}:
            return actions
        place = (actions.dtype, actions.device)
        center, half_range = (_limits(v, *place) for v in (self.center, self.half_range))
        return (actions - center) / half_range

    def targets(
        self,
        observations: Float[Tensor, "*batch O"],
        next_observations: Float[Tensor, "*batch O"],
        rewards: Float[Tensor, "*batch"],
    ) -> Float[Tensor, "*batch D"]:
        """Return what the regression is to predict: changes, and the reward if it is learned."""
        change = _pick(self._wrap(next_observations - observations), self.predicted)
        return torch.cat([change, rewards[..., None]], dim=-1) if self.learn_reward else change

    def scale(self, features: Float[Tensor, "n I"]) -> Float[Tensor, "I"]:
        """Return what recorded features are to be divided by: their standard deviation.

        What hardly varied is not blown up: sines, cosines and actions vary by `SMALLEST` at least;
        of a number whose unit is not known, as much is rounding as float32 has of it, and its size
        is then its scale.
        """
        deviation, largest = features.std(0, correction=0), features.abs().amax(0)
        bounded = torch.arange(self.size, device=features.device) >= len(self.linear)
        constant = deviation <= ROUNDING * largest
        size = torch.where(largest > 0, largest, 1.0)
        free = torch.where(constant, size, deviation)
        return torch.where(bounded, deviation.clamp_min(SMALLEST), free)

    def resolution(self, steps: Steps) -> Float[Tensor, "D"]:
        """Return the standard deviation of each output below which it may be rounding."""
        largest = _pick(steps.next_observations, self.predicted).abs().amax(0)
        if self.learn_reward:
            largest = torch.cat([largest, steps.rewards.abs().amax(0, keepdim=True)])
        return (ROUNDING * largest).clamp_min(TINY)

    def training_data(self, steps: Steps) -> tuple[Float[Tensor, "n I"], Float[Tensor, "n D"]]:
        """Return features and targets of recorded steps.

        Raises:
            ModelError: fewer than 2 steps, or values that are not finite.
        """
        if len(steps.actions) < 2:
            raise ModelError(
                f"model: 2 transitions are needed to fit it, given {len(steps.actions)}"
            )
        x = self.features(steps.observations, steps.actions)
        y = self.targets(steps.observations, steps.next_observations, steps.rewards)
        if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
            raise ModelError("model: the transitions contain NaN or infinite values")
        return x, y

    def advance(
        self, observations: Float[Tensor, "*batch O"], outputs: Float[Tensor, "*batch D"]
    ) -> tuple[Float[Tensor, "*batch O"], Float[Tensor, "*batch"] | None]:
        """Apply predicted outputs: next observations, and rewards where they are learned."""
        changed = self._wrap(observations + self.scatter(outputs))
        return changed, outputs[..., -1] if self.learn_reward else None

    def scatter(
        self, outputs: Float[Tensor, "*batch D"], fill: float = 0.0
    ) -> Float[Tensor, "*batch O"]:
        """Return per-channel values of per-output ones, `fill` where a channel is not predicted."""
        values = outputs[..., : len(self.predicted)]
        if len(self.predicted) == self.observation_size:
            return values
        full = values.new_full((*values.shape[:-1], self.observation_size), fill)
        return full.index_copy_(-1, _index(self.predicted, values.device), values)

    def _wrap(self, values: Float[Tensor, "*batch O"]) -> Float[Tensor, "*batch O"]:
        """Turn wrapped angles, or changes of them, the short way, in place."""
        if not self.wrapped:
            return values
        turned = torch.remainder(_pick(values, self.wrapped) + math.pi, 2 * math.pi) - math.pi
        return values.index_copy_(-1, _index(self.wrapped, values.device), turned)


def _pick(values: Float[Tensor, "*batch O"], channels: tuple[int, ...]) -> Tensor:
    """Return some channels, [..., number of channels]."""
    return values.index_select(-1, _index(channels, values.device))


@functools.cache
def _index(channels: tuple[int, ...], device: torch.device) -> Tensor:
    """Return channels as a tensor: it travels once."""
    with torch.inference_mode(False):  # whoever asks first: it is for all
        return torch.tensor(channels, dtype=torch.long, device=device)


@functools.cache
def _limits(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return properties of actions as a tensor: it travels once."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)
