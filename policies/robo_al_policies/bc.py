"""Behavioural cloning: a policy that acts as people showed, and asks for demonstrations.

What it is asked to propose are demonstrations; evaluated is what it has learned from them. How
little it knows is told by the joint covariance of its last layer (`robo_al_policies.imitation`), so
that `strategy: {acquisition: {name: joint_information, about: policy}}` selects the starts whose
demonstration tells it most.
"""

from collections.abc import Mapping, Sequence
from copy import copy

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.config.ranges import Count, NonNegative, Positive, Width
from robo_al.errors import ConfigError
from robo_al.models.training import Training
from robo_al.protocols import Model
from robo_al.seeds import integer
from robo_al.types import MEAN, Candidate, Context, Task, Transitions
from robo_al_policies.demonstrations import demonstrations
from robo_al_policies.imitation import Imitation, Sizes


class BehaviouralCloning:
    """Imitates demonstrations by an ensemble of networks, all of them in one batched tensor.

    It learns from the steps that a person showed, or an expert in the place of one; from all
    recorded steps, where nobody noted who acted. Every retraining begins anew.

    Args:
        task: whose observations are answered.
        device: of the networks.
        members: E, networks; the policy is the mean of what they answer.
        hidden: units of a hidden layer, and features by which it tells observations apart.
        layers: hidden layers.
        chunk: C, actions that one observation is answered with; they are done one after the other
            before it looks again.
        max_steps: gradient steps at most; early stopping on held-out episodes may end sooner.
        batch_size: steps of the demonstrations in one gradient step, for each network its own.
        learning_rate: of AdamW.
        weight_decay: of AdamW.

    Raises:
        ConfigError: a parameter out of its range.
    """

    def __init__(
        self,
        task: Task,
        device: str = "cpu",
        members: Width = 5,
        hidden: Width = 128,
        layers: Width = 2,
        chunk: Width = 1,
        max_steps: Count = 3000,
        batch_size: Count = 256,
        learning_rate: Positive = 1e-3,
        weight_decay: NonNegative = 1e-2,
    ) -> None:
        sizes = {"members": members, "hidden": hidden, "layers": layers, "chunk": chunk}
        counts = sizes | {"max_steps": max_steps, "batch_size": batch_size}
        wrong = [f"{name} is {n}; it must be at least 1" for name, n in counts.items() if n < 1]
        if learning_rate <= 0:
            wrong.append(f"learning_rate is {learning_rate}; it must be above 0")
        if weight_decay < 0:
            wrong.append(f"weight_decay is {weight_decay}; it must be from 0")
        if wrong:
            raise ConfigError(f"policy bc: {'; '.join(wrong)}")
        self.task = task
        self.device = device
        training = Training(max_steps, batch_size, learning_rate, weight_decay)
        self.imitation = Imitation(task, device, Sizes(**sizes), training)

    # ------------------------------------------------------------ proposing and acting

    def propose(
        self,
        n: int,
        contexts: Sequence[Context],
        horizon: int,
        model: Model,
        rng: np.random.Generator,
    ) -> list[Candidate]:
        """Return n demonstrations of `horizon` steps, the starts taken in turn."""
        return demonstrations(n, contexts, horizon, rng)

    def start(self, model: Model, members: Sequence[int], seeds: Sequence[int]) -> "Imitating":
        """Begin B rollouts: of the mean of the networks for `MEAN`, else of one of them."""
        return Imitating(self.imitation, members)

    # ------------------------------------------------------------ learning

    def update(self, transitions: Transitions, model: Model, rng: np.random.Generator) -> None:
        """Learn anew from all steps that were shown.

        Raises:
            ModelError: fewer than 2 steps were shown, or the training diverged.
        """
        if transitions.shown is not None:
            transitions = transitions.of_rollouts(transitions.shown)
        self.imitation.fit(
            transitions.observations,
            transitions.actions,
            transitions.rollouts,
            torch.Generator().manual_seed(integer(rng)),
        )

    # ------------------------------------------------------------ how sure it is

    @property
    def covariance_rank(self) -> int:
        """F, the rank that the joint covariance of many observations can have."""
        return self.imitation.sizes.hidden

    def features(
        self, observations: Float[Tensor, "*batch O"], actions: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch F"]:
        """Return phi of `robo_al.models.last_layer` (float64); the actions are not looked at."""
        return self.imitation.last_layer.features(self.imitation.standardised(observations))

    def feature_posterior(self) -> Float[Tensor, "D F F"]:
        """Return Sigma_d / s_d^2, by which features make a covariance in noise variances."""
        return self.imitation.last_layer.posterior()

    def covariance(
        self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "D *batch a b"]:
        """Return the policy's posterior covariance between observations, in noise variances."""
        last = self.imitation.last_layer
        left, right = (
            last.whitened(self.imitation.standardised(seen)) for seen, _ in (first, second)
        )
        return left.mT @ right

    # ------------------------------------------------------------ leaving: files and graphs

    def graph(self) -> bytes:
        """Return the graph from observation to action, ONNX; see `onnx_export.graph_of`."""
        from robo_al_policies.onnx_export import graph_of

        return graph_of(self)

    def robot_graph(
        self, sensors: int, limits: tuple[Float[np.ndarray, "J"], Float[np.ndarray, "J"]]
    ) -> bytes:
        """Return the graph that a robot's agent runs; see `onnx_export.robot_graph_of`."""
        from robo_al_policies.onnx_export import robot_graph_of

        return robot_graph_of(self, sensors, limits)

    def state_dict(self) -> dict[str, Tensor]:
        """Return weights, scales and the last layer's posterior."""
        return dict(self.imitation.state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up a saved state.

        Raises:
            ModelError: it is of networks of other sizes, or not finite.
        """
        self.imitation.take_up(state)


class Imitating:
    """B rollouts controlled by the networks as they were when it was made."""

    def __init__(self, imitation: Imitation, members: Sequence[int]) -> None:
        # A retraining replaces the networks, and leaves those that are here as they are.
        self._imitation = copy(imitation)
        self._rows = torch.arange(len(members), device=imitation.device)
        networks = [0 if member == MEAN else member % imitation.sizes.members for member in members]
        self._networks = torch.tensor(networks, device=imitation.device)
        self._mean = torch.tensor([m == MEAN for m in members], device=imitation.device)
        self._chunk: Tensor | None = None
        self._step = 0

    def act(self, observations: Float[np.ndarray, "B O"]) -> Float[np.ndarray, "B A"]:
        """Return the next actions."""
        actions: np.ndarray = self.act_on(torch.as_tensor(observations)).cpu().numpy()
        return actions

    def act_on(self, observations: Float[Tensor, "B O"]) -> Float[Tensor, "B A"]:
        """Return the same of tensors, float64, where the networks are."""
        place = self._step % self._imitation.sizes.chunk
        self._step += 1
        if place == 0 or self._chunk is None:
            answers = self._imitation.act(observations)
            own = answers[self._networks, self._rows]
            self._chunk = torch.where(self._mean[:, None, None], answers.mean(0), own)
        return self._chunk[:, place]
