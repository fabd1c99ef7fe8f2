"""The members' means for imagination and planning: the fast path of an ensemble.

In float32, the normalisers folded into the first and the last layer, and without log variances.
Which member plays which groups is found once for all steps of a rollout, so that a step waits for
no answer of a GPU and can be replayed there.
"""

from collections.abc import MutableMapping
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from robo_al.models.feature_map import FeatureMap
from robo_al.models.graphs import Replayed
from robo_al.models.networks import FLOAT, Layers, Weights, forward, mean_layers
from robo_al.models.training import tensor_cores
from robo_al.types import MEAN


class Player:
    """Plays steps in the members of a fitted ensemble.

    Args:
        inputs: of the task.
        center: what is subtracted from the inputs.
        layers: from what is left to changes in the observations' units.
    """

    def __init__(self, inputs: FeatureMap, center: Float[Tensor, "I"], layers: Layers) -> None:
        self._inputs, self._center, self._layers = inputs, center, layers
        self._steps: MutableMapping[Tensor, tuple[int | None, Replayed]] = WeakTensorKeyDictionary()
        """By the tensor of members: its version and what plays in them."""

    @classmethod
    def of(cls, inputs: FeatureMap, state: Weights) -> "Player":
        """Fold an ensemble's normalisers into its networks."""
        (weight, bias), *hidden, (last_weight, last_bias) = mean_layers(state)
        center = state["x_mean"].to(FLOAT)
        rounded = (center - state["x_mean"]) / state["x_scale"]  # far from 0, not nothing
        layers = [
            (weight / state["x_scale"][:, None], bias + (rounded @ weight.double())[:, None]),
            *hidden,
            (last_weight * state["y_scale"], last_bias * state["y_scale"] + state["y_mean"]),
        ]
        layers = [(weight.to(FLOAT), bias.to(FLOAT)) for weight, bias in layers]
        return cls(inputs, center, layers)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Player":
        """Return another with the same weights, which never change."""
        return Player(self._inputs, self._center, self._layers)

    @torch.no_grad()
    def step(
        self,
        observations: Float[Tensor, "G P O"],
        actions: Float[Tensor, "G P A"],
        members: Int[Tensor, "G"],
    ) -> tuple[Float[Tensor, "G P O"], Float[Tensor, "G P"] | None]:
        """Advance every group by the mean of its own member, or by the mean of all."""
        device = self._center.device
        version = None if members.is_inference() else members._version  # None: not known
        known, step = self._steps.get(members, (None, None))
        if step is None or version is None or version != known:
            step = Replayed(partial(self._advance, self._assign(members)), device)
            self._steps[members] = version, step
        with tensor_cores(device):
            outputs = step(observations.to(device), actions.to(device))
        assert outputs is not None
        following, *reward = outputs
        return following.to(observations), reward[0].to(observations) if reward else None

    def _advance(
        self, play: "_Assignment", observations: Tensor, actions: Tensor
    ) -> tuple[Tensor, ...]:
        x = self._inputs.features(observations.to(FLOAT), actions.to(FLOAT)) - self._center
        change = play(x).to(observations.dtype)
        following, reward = self._inputs.advance(observations, change)
        return (following,) if reward is None else (following, reward)

    def _assign(self, members: Int[Tensor, "G"]) -> "_Assignment":
        chosen, networks = members.cpu().numpy(), len(self._layers[0][0])
        if (chosen == MEAN).any():
            return _Assignment(chosen, networks, self._layers)
        first, end = int(chosen.min()), int(chosen.max()) + 1  # the others play nothing
        layers = [(weight[first:end], bias[first:end]) for weight, bias in self._layers]
        return _Assignment(chosen - first, end - first, layers)


class _Assignment:
    """What each network plays: the groups of the mean, and then those of its own.

    Args:
        members: [G] numbers of networks, or `MEAN`.
        networks: E.
        layers: of the networks.
    """

    def __init__(self, members: Int[np.ndarray, "G"], networks: int, layers: Layers) -> None:
        mean, own = np.flatnonzero(members == MEAN), np.flatnonzero(members != MEAN)
        mine = members[own, None] == np.arange(networks)
        slots = len(mean) + mine.cumsum(0)[mine] - 1
        most = len(mean) + max(mine.sum(0))
        groups = np.zeros((networks, most), dtype=np.int64)
        groups[:, : len(mean)] = mean
        groups[members[own], slots] = own
        # Where each group's answers are; of the mean's, there is one of each network.
        answers = np.zeros((len(members), networks if len(mean) else 1), dtype=np.int64)
        answers[own] = (members[own] * most + slots)[:, None]
        if len(mean):
            answers[mean] = np.arange(networks) * most + np.arange(len(mean))[:, None]
        self._everyone = len(own) == 0
        self._in_order = len(mean) == 0 and np.array_equal(groups.flat, np.arange(len(members)))
        self._networks, self._layers = networks, layers
        device = layers[0][0].device
        self._groups, self._answers = (torch.from_numpy(i).to(device) for i in (groups, answers))

    def __call__(self, x: Float[Tensor, "G P I"]) -> Float[Tensor, "G P D"]:
        groups, points, _ = x.shape
        if self._everyone:
            rows = x.flatten(0, 1).expand(self._networks, -1, -1)
            return forward(self._layers, rows).mean(0).reshape(groups, points, -1)
        if self._in_order:
            rows = x.reshape(self._networks, -1, x.shape[-1])
            return forward(self._layers, rows).reshape(groups, points, -1)
        rows = x[self._groups].flatten(1, 2)
        played = forward(self._layers, rows).reshape(self._groups.numel(), points, -1)
        return played[self._answers].mean(1)
