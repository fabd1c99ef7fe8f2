"""Imitation: E networks that learn to act as demonstrations did, all in one batched tensor.

A network answers an observation with a chunk of C actions, those of this step and of the C - 1
after it (Zhao et al. 2023, "Learning fine-grained bimanual manipulation with low-cost hardware");
after the end of an episode its last action goes on. The loss is the squared error. Members hold out
different episodes for early stopping, so that together they learn from all. What the error is on
episodes that a member did not see is the noise s_d^2 of an output, in variances of that output;
with it the last layer's posterior (`robo_al.models.last_layer`) says what seeing the person act at
one observation tells about the policy at another.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from robo_al.deploy.onnx import Graph
from robo_al.errors import ModelError
from robo_al.models.feature_map import FeatureMap
from robo_al.models.last_layer import KNOWN, NOISE_FLOOR, LastLayer, held_out_by
from robo_al.models.networks import FLOAT, forward, mean_layers, new_weights
from robo_al.models.training import Training, train
from robo_al.types import FitReport, Task

SQUARED_ERROR = 1.0
"""The power of its variance by which an error is weighted, so that it is not weighted at all."""


@dataclass(frozen=True)
class Sizes:
    """Of an ensemble of imitating networks."""

    members: int
    """E"""
    hidden: int
    """Units of a hidden layer, and F, features of the joint covariance."""
    layers: int
    """Hidden ones."""
    chunk: int
    """C"""


class Imitation:
    """Networks that were trained on demonstrations, and what an observation tells about them.

    Args:
        task: whose observations are answered.
        device: `cpu` or `cuda`.
        sizes: of the networks.
        training: how they are trained.
    """

    def __init__(self, task: Task, device: str, sizes: Sizes, training: Training) -> None:
        nothing = np.zeros(0)  # a policy sees no action
        self.inputs = FeatureMap.of(replace(task, action_low=nothing, action_high=nothing))
        self.device = torch.device(device)
        self.sizes = sizes
        self._task = task
        self._training = replace(training, beta=SQUARED_ERROR)
        self._low = self._tensor(task.action_low)
        self._high = self._tensor(task.action_high)
        self.state = self._untrained()
        """Weights, scales and the last layer's posterior."""

    def fit(
        self,
        observations: Float[np.ndarray, "B O"],
        actions: Float[np.ndarray, "B A"],
        episodes: Int[np.ndarray, "B"],
        draw: torch.Generator,
    ) -> FitReport:
        """Train new networks on all demonstrated steps.

        Args:
            observations: before each step, in the order of episodes and of time.
            actions: that were shown there.
            episodes: which each step is of.
            draw: on the CPU.

        Returns:
            The squared error on held-out episodes, in variances of the actions, and `steps` taken.

        Raises:
            ModelError: fewer than 2 steps, values that are not finite, or divergence.
        """
        if len(actions) < 2:
            raise ModelError(
                f"bc: 2 demonstrated steps are needed, given {len(actions)}; set `explorer: "
                "demonstrations`, and an oracle that executes them, such as `expert`"
            )
        x = self._seen(self._tensor(observations))
        y = self._tensor(chunks(actions, episodes, self.sizes.chunk))
        if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
            raise ModelError("bc: the demonstrations contain NaN or infinite values")
        deviation = y.std(0, correction=0)
        varies = deviation > NOISE_FLOOR * y.abs().amax(0)
        scales = {
            "x_mean": x.mean(0),
            "x_scale": self.inputs.scale(x),
            "y_mean": y.mean(0),
            "y_scale": deviation * varies,  # what was always done alike is done so
        }
        x = (x - scales["x_mean"]) / scales["x_scale"]
        y = torch.where(varies, (y - scales["y_mean"]) / deviation, 0.0).to(FLOAT)
        held_out = held_out_by(torch.as_tensor(episodes, device=self.device), self.sizes.members)
        weights, details = train(self._new(draw), x.to(FLOAT), y, held_out, self._training, draw)
        means = forward(mean_layers(weights), x.to(FLOAT).expand(self.sizes.members, -1, -1))
        errors = (means - y)[held_out].double().square().mean(0)
        noise = torch.where(varies, errors + NOISE_FLOOR, KNOWN)
        last = LastLayer.of(weights, x, noise, self.sizes.hidden, draw)
        self.state = scales | last.state
        return FitReport(loss=details["held_out_error"], details=details)

    def _untrained(self) -> dict[str, Tensor]:
        """Return the state before the first demonstration: networks as they are drawn."""
        draw = torch.Generator().manual_seed(0)
        nothing = torch.zeros((0, self.inputs.size), dtype=torch.float64, device=self.device)
        weights = self._new(draw)
        noise = torch.ones(self.sizes.chunk * len(self._low), dtype=torch.float64)
        last = LastLayer.of(weights, nothing, noise.to(self.device), self.sizes.hidden, draw)
        return last.state | {
            "x_mean": nothing.new_zeros(self.inputs.size),
            "x_scale": nothing.new_ones(self.inputs.size),
            "y_mean": ((self._low + self._high) / 2).repeat(self.sizes.chunk),
            "y_scale": ((self._high - self._low) / 2).repeat(self.sizes.chunk),
        }

    def _new(self, draw: torch.Generator) -> dict[str, Tensor]:
        """Return networks that have learned nothing."""
        outputs = self.sizes.chunk * len(self._low)
        widths = (self.inputs.size, *[self.sizes.hidden] * self.sizes.layers, 2 * outputs)
        weights = new_weights(self.sizes.members, widths, draw)
        return {key: value.to(self.device) for key, value in weights.items()}

    @torch.no_grad()
    def act(self, observations: Float[Tensor, "B O"]) -> Float[Tensor, "E B C A"]:
        """Return the chunk of actions of each member, within the limits (float64)."""
        flat = self.standardised(observations).to(FLOAT).expand(self.sizes.members, -1, -1)
        y = forward(mean_layers(self.state), flat).double()
        y = y * self.state["y_scale"] + self.state["y_mean"]
        y = y.reshape(*y.shape[:2], self.sizes.chunk, -1)
        return torch.minimum(torch.maximum(y, self._low), self._high)

    @property
    def last_layer(self) -> LastLayer:
        """What one observation tells about another, of what `standardised` returns."""
        return LastLayer(self.state)

    def standardised(self, observations: Float[Tensor, "*batch O"]) -> Float[Tensor, "*batch I"]:
        """Return what networks see of observations (float64)."""
        seen = self._seen(self._tensor(observations))
        return (seen - self.state["x_mean"]) / self.state["x_scale"]

    def add_to(self, graph: Graph, observation: str) -> str:
        """Add the mean of the members' actions at an observation [batch,O]; return its name.

        Of a chunk it is the first action: who runs the graph asks at every step.
        """
        size = len(self._low)
        of = {key: value.detach().cpu().double().numpy() for key, value in self.state.items()}
        seen = graph.features(observation, self.inputs.linear, self.inputs.angles)
        seen = graph.add("Sub", seen, graph.constant(of["x_mean"]))
        seen = graph.add("Div", seen, graph.constant(of["x_scale"]))
        layers = [(w.cpu().numpy(), b.cpu().numpy()) for w, b in mean_layers(self.state)]
        answers = []
        for member in range(self.sizes.members):
            x = seen
            for place, (weights, bias) in enumerate(layers):
                if place:
                    x = graph.add("Mul", x, graph.add("Sigmoid", x))
                columns = slice(None) if place < len(layers) - 1 else slice(size)
                x = graph.dense(x, weights[member][:, columns].T, bias[member][0, columns])
            x = graph.add("Mul", x, graph.constant(of["y_scale"][:size]))
            x = graph.add("Add", x, graph.constant(of["y_mean"][:size]))
            answers.append(self._within(graph, x))
        return graph.add("Mean", *answers)

    def _within(self, graph: Graph, x: str) -> str:
        """Add what keeps actions within the limits."""
        x = graph.add("Max", x, graph.constant(self._task.action_low))
        return graph.add("Min", x, graph.constant(self._task.action_high))

    def take_up(self, state: Mapping[str, Tensor]) -> None:
        """Take up a saved state.

        Raises:
            ModelError: it is of networks of other sizes, or not finite.
        """
        sizes = {key: value.shape for key, value in self.state.items()}
        if sizes != {key: value.shape for key, value in state.items()}:
            raise ModelError("bc: the saved policy is of networks of other sizes")
        if not all(bool(torch.isfinite(value).all()) for value in state.values()):
            raise ModelError("bc: the saved policy is not finite")
        self.state = {key: value.to(self.device) for key, value in state.items()}

    def _seen(self, observations: Float[Tensor, "*batch O"]) -> Float[Tensor, "*batch I"]:
        return self.inputs.features(observations, observations[..., :0])

    def _tensor(self, values: Tensor | np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float64, device=self.device)


def chunks(
    actions: Float[np.ndarray, "B A"], episodes: Int[np.ndarray, "B"], size: int
) -> Float[np.ndarray, "B CA"]:
    """Return for each step its action and those after it; an episode's last one goes on."""
    last = np.flatnonzero(np.append(episodes[1:] != episodes[:-1], True))
    end = last[np.searchsorted(last, np.arange(len(actions)))]
    index = np.minimum(np.arange(len(actions))[:, None] + np.arange(size), end[:, None])
    found: np.ndarray = actions[index].reshape(len(actions), size * actions.shape[-1])
    return found
