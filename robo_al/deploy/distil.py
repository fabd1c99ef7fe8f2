"""A policy that plans, as a network that imitates it: for where there is no time to plan.

Imitation is DAgger's (Ross et al. 2011, "A reduction of imitation learning and structured
prediction to no-regret online learning"): the planner acts first, then the network does, and the
planner says at each observation that the network came to what it would have done. Both are then
measured in simulation from the same starts, so that what the network loses is known.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from robo_al.campaign.settings import Parts
from robo_al.deploy.onnx import Graph
from robo_al.errors import UserError
from robo_al.models.feature_map import FeatureMap
from robo_al.protocols import Actor, SupportsAct
from robo_al.seeds import integer
from robo_al.tasks.layers import Env
from robo_al.tasks.shelf import give_back, lend, lend_another
from robo_al.torch_defaults import one_thread, single_precision
from robo_al.types import MEAN, EnvSpec, Task

PASSES = 4
"""Times that rollouts are labelled: the first is the planner's, the others are the network's."""
ROLLOUTS = 20
"""In each pass."""
HIDDEN = (128, 128)
STEPS, BATCH, RATE = 3000, 256, 1e-3
"""Of Adam after each pass; its rate falls to 0."""


@dataclass(frozen=True)
class Distilled:
    """A network that imitates a planner, and what it is worth."""

    graph: bytes
    """ONNX, from `observation` [batch,O] to `action` [batch,A]."""
    planner_returns: Float[np.ndarray, "N"]
    """Of the planner, from N starts in simulation."""
    returns: Float[np.ndarray, "N"]
    """Of the network, from the same starts."""


@one_thread
@single_precision
def distil(parts: Parts, starts: int, tell: Callable[[str], None]) -> Distilled:
    """Train a network to act as a policy does, and measure both in simulation.

    Args:
        parts: of a campaign whose model and policy have learned.
        starts: N, from which both are measured: where the env's reset puts the seeds 0 to N - 1.
        tell: told what is being done.

    Raises:
        UserError: the policy acts nowhere, the task has nothing but recorded rollouts, or the
            package onnx is not installed.
    """
    task, policy = parts.task, parts.policy
    if not isinstance(policy, SupportsAct) or task.starts is not None:
        raise UserError(f"{task.env.name}: no policy acts in it, so that none can be imitated")
    Graph()  # now, and not after minutes: the package that it needs may be missing
    rng = np.random.default_rng(0)
    student = Student(task)
    observations, labels = list[np.ndarray](), list[np.ndarray]()
    for turn in range(PASSES):
        who = "network" if turn else "planner"
        tell(f"pass {turn + 1} of {PASSES}: {ROLLOUTS} rollouts of the {who}, then training")
        seeds = [integer(rng) for _ in range(ROLLOUTS)]
        planner = policy.start(parts.model, [MEAN] * ROLLOUTS, seeds)
        labelled = _Labelled(planner, student if turn else None)
        _, going = play(task, labelled, seeds)
        observations += [
            rows[kept] for rows, kept in zip(labelled.observations, going, strict=True)
        ]
        labels += [rows[kept] for rows, kept in zip(labelled.actions, going, strict=True)]
        student.fit(np.concatenate(observations), np.concatenate(labels))
    tell(f"measuring planner and network from {starts} starts")
    measured = list(range(starts))
    planner = policy.start(parts.model, [MEAN] * starts, measured)
    (of_planner, _), (of_student, _) = (play(task, actor, measured) for actor in (planner, student))
    return Distilled(student.graph(), of_planner, of_student)


class Student:
    """A network from observations to actions, small enough for any controller.

    Args:
        task: its channels say which are angles, of which sine and cosine are seen.
    """

    def __init__(self, task: Task) -> None:
        inputs = FeatureMap.of(task)
        self._linear = inputs.linear
        self._angles = inputs.angles
        self._low = task.action_low
        self._high = task.action_high
        self._mean = np.zeros(0)
        self._spread = np.ones(0)
        draw = torch.Generator().manual_seed(0)
        sizes = [len(self._linear) + 2 * len(self._angles), *HIDDEN, len(self._low)]
        layers = list[nn.Module]()
        for before, after in zip(sizes[:-1], sizes[1:], strict=True):
            layer = nn.Linear(before, after)
            nn.init.xavier_uniform_(layer.weight, generator=draw)
            nn.init.zeros_(layer.bias)
            layers += [layer, nn.Tanh()]
        self._network = nn.Sequential(*layers)
        self._draw = draw

    def act(self, observations: Float[np.ndarray, "B O"]) -> Float[np.ndarray, "B A"]:
        """Return the actions of the network."""
        with torch.no_grad():
            squashed = self._network(self._seen(observations)).numpy().astype(np.float64)
        scaled: np.ndarray = self._low + (squashed + 1) / 2 * (self._high - self._low)
        return scaled

    def fit(
        self, observations: Float[np.ndarray, "B O"], actions: Float[np.ndarray, "B A"]
    ) -> None:
        """Learn the actions, by their squared error in halves of the range of each."""
        features = self._features(observations)
        self._mean = features.mean(0)
        self._spread = features.std(0) + 1e-6
        width = np.where(self._high > self._low, self._high - self._low, 1.0)
        wanted = torch.as_tensor(2 * (actions - self._low) / width - 1, dtype=torch.float32)
        seen = self._seen(observations)
        adam = torch.optim.Adam(self._network.parameters(), RATE)
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(adam, STEPS)
        for _ in range(STEPS):
            rows = torch.randint(len(seen), (BATCH,), generator=self._draw)
            loss = (self._network(seen[rows]) - wanted[rows]).square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            fall.step()

    def graph(self) -> bytes:
        """Return the network as ONNX, from `observation` [batch,O] to `action` [batch,A]."""
        graph = Graph()
        x = graph.features("observation", self._linear, self._angles)
        x = graph.add("Sub", x, graph.constant(self._mean))
        x = graph.add("Div", x, graph.constant(self._spread))
        for layer in self._network:
            if isinstance(layer, nn.Linear):
                x = graph.dense(x, layer.weight.detach().numpy(), layer.bias.detach().numpy())
            else:
                x = graph.add("Tanh", x)
        graph.rename(graph.scaled(x, self._low, self._high), "action")
        sizes = len(self._linear) + len(self._angles), len(self._low)
        return graph.content({"observation": ["batch", sizes[0]]}, {"action": ["batch", sizes[1]]})

    def _features(self, observations: Float[np.ndarray, "B O"]) -> Float[np.ndarray, "B F"]:
        linear, angles = observations[:, list(self._linear)], observations[:, list(self._angles)]
        return np.concatenate([linear, np.sin(angles), np.cos(angles)], axis=1)

    def _seen(self, observations: Float[np.ndarray, "B O"]) -> Tensor:
        scaled = (self._features(observations) - self._mean) / self._spread
        return torch.as_tensor(scaled, dtype=torch.float32)


class _Labelled:
    """A planner that acts, or says what it would do where a network acts; its answers are kept."""

    def __init__(self, planner: Actor, network: Actor | None) -> None:
        self._planner = planner
        self._network = network
        self.observations: list[np.ndarray] = []
        self.actions: list[np.ndarray] = []

    def act(self, observations: Float[np.ndarray, "B O"]) -> Float[np.ndarray, "B A"]:
        """Return the actions of whoever acts."""
        wanted = np.array(self._planner.act(observations))
        self.observations.append(observations.copy())
        self.actions.append(wanted)
        return wanted if self._network is None else self._network.act(observations)


def play(
    task: Task, actor: Actor, seeds: Sequence[int]
) -> tuple[Float[np.ndarray, "B"], list[Bool[np.ndarray, "B"]]]:
    """Let an actor control one rollout from each start in simulation.

    Returns:
        Their returns, and for each step which of them had not ended before it.

    Raises:
        UserError: no more than one env can be made at a time, and several rollouts are wanted.
    """
    envs = _borrow(task.env, len(seeds))
    try:
        resets = [env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)]
        observations = np.stack([np.array(first, dtype=np.float64) for first in resets])
        returns, going = np.zeros(len(envs)), np.ones(len(envs), dtype=bool)
        steps = list[np.ndarray]()
        for _ in range(task.horizon):
            steps.append(going.copy())
            actions = np.clip(actor.act(observations), task.action_low, task.action_high)
            for i in np.flatnonzero(going):
                action = actions[i].astype(envs[i].action_space.dtype)
                after, reward, terminated, truncated, _ = envs[i].step(action)
                observations[i] = after
                returns[i] += float(reward)
                going[i] = not (terminated or truncated)
            if not going.any():
                break
        return returns, steps
    finally:
        for env in envs:
            give_back(task.env, env)


def _borrow(spec: EnvSpec, number: int) -> list[Env]:
    envs = [lend(spec)]
    while len(envs) < number:
        another = lend_another(spec)
        if another is None:
            for env in envs:
                give_back(spec, env)
            raise UserError(
                f"env {spec.name}: {len(envs)} at a time can be made, and {number} rollouts are "
                "to go on at once"
            )
        envs.append(another)
    return envs
