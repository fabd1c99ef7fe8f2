"""Stable-Baselines3 as the proposing policy: SAC, CrossQ, TD3 or PPO, retrained each round.

Off-policy algorithms learn from what was recorded and from short imagined branches off it (MBPO;
Janner et al. 2019, "When to trust your model: model-based policy optimization"): all imagined
worlds step as one batch. PPO, which cannot learn from what others did, learns in the imagined
worlds alone. Every round goes on from the weights and the optimisers' moments of the last one.

There are P policies, alike but for their random numbers. A candidate is one of them acting at
random from one start; its seed decides which, and all its noise. Evaluated is the mean of their
most likely actions (as in SUNRISE; Lee et al. 2021).
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor

from robo_al.config.ranges import Count, Positive, Share, Width
from robo_al.errors import ConfigError, ModelError
from robo_al.models.resident import Resident, Steps
from robo_al.protocols import Model
from robo_al.seeds import integer
from robo_al.torch_defaults import single_precision
from robo_al.types import MEAN, Candidate, ClosedLoop, Context, Task, Transitions
from robo_al_policies.imagined_env import ImaginedEnv
from robo_al_policies.observer import Observer
from robo_al_policies.sb3_training import (
    ActorNetwork,
    Algorithm,
    actor_network,
    make_algorithm,
    train,
)
from robo_al_policies.sb3_weights import algorithm_state, load_algorithm_state, load_zip


class SB3:
    """Learns in the model and on the record by an algorithm of Stable-Baselines3.

    Args:
        task: its reward, end and action limits.
        device: of networks and imagined worlds.
        algorithm: `sac`, `crossq`, `td3` or `ppo`.
        policies: P, trained independently of one another.
        hidden: units of each hidden layer; by default 256, 256.
        critic_hidden: the same of critics alone; by default as `hidden`.
        updates_per_transition: gradient steps of each policy for every newly recorded transition.
        worlds: imagined ones, which step as one batch.
        imagined_steps: length of an imagined branch.
        recorded_share: of the recorded transitions in each batch, the rest being imagined; 1:
            nothing imagined is learned from. Of no effect with `ppo`.
        arguments: further ones of SB3's constructor, such as `gamma` or `learning_rate`.
        raw_angles: networks see angles as they are, not their sines and cosines.
        load_zip: an SB3 file whose networks to begin with, which saw raw angles. **Loading it
            executes any code in it.**

    Raises:
        ConfigError: a parameter out of its range, or that SB3 refuses; a file that does not fit.
    """

    @single_precision
    def __init__(
        self,
        task: Task,
        device: str = "cpu",
        algorithm: Literal["sac", "crossq", "td3", "ppo"] = "sac",
        policies: Width = 2,
        hidden: Annotated[list[Width], Field(min_length=1)] | None = None,
        critic_hidden: Annotated[list[Width], Field(min_length=1)] | None = None,
        updates_per_transition: Positive = 10.0,
        worlds: Count = 2048,
        imagined_steps: Width = 5,
        recorded_share: Share = 0.05,
        arguments: dict[str, Any] | None = None,
        raw_angles: bool = False,
        load_zip: str | None = None,
    ) -> None:
        hidden = [256, 256] if hidden is None else list(hidden)
        critic_hidden = hidden if critic_hidden is None else list(critic_hidden)
        sizes = {"policies": policies, "worlds": worlds, "imagined_steps": imagined_steps}
        wrong = [f"{key} is {n}; it must be at least 1" for key, n in sizes.items() if n < 1]
        if updates_per_transition <= 0:
            wrong.append(f"updates_per_transition is {updates_per_transition}; it must be above 0")
        if not 0 <= recorded_share <= 1:
            wrong.append(f"recorded_share is {recorded_share}; it must be from 0 to 1")
        for key, layers in {"hidden": hidden, "critic_hidden": critic_hidden}.items():
            if not layers or min(layers) < 1:
                wrong.append(f"{key} is {layers}; it must be sizes of at least 1")
        if wrong:
            raise ConfigError(f"policy sb3: {'; '.join(wrong)}")
        self.task = task
        self.parameters: dict[str, Any] = {
            "algorithm": algorithm,
            "policies": policies,
            "hidden": hidden,
            "critic_hidden": critic_hidden,
            "updates_per_transition": updates_per_transition,
            "worlds": worlds,
            "imagined_steps": imagined_steps,
            "recorded_share": recorded_share,
            "arguments": dict(arguments or {}),
            "raw_angles": raw_angles or load_zip is not None,
        }
        """JSON values of which an equal policy can be made, but for its weights."""
        self.observer = Observer(task, self.parameters["raw_angles"])
        self.device = device
        self._zip = load_zip
        self._resident = Resident(torch.device(device))
        self._env = ImaginedEnv(task, self.observer, worlds, imagined_steps, device)
        self._algorithms = self._make(np.random.default_rng(0))
        self._seen = 0
        """Transitions at the last update."""

    @single_precision
    def _make(self, rng: np.random.Generator) -> list[Algorithm]:
        """Return the P algorithms, their weights drawn or from the user's file."""
        name, made = self.parameters["algorithm"], []
        for _ in range(self.parameters["policies"]):
            made.append(
                make_algorithm(
                    name,
                    self._env,
                    self.parameters["hidden"],
                    self.parameters["critic_hidden"],
                    self.parameters["arguments"],
                    self.device,
                    integer(rng),
                )
            )
            if self._zip is not None:
                load_zip(self._zip, name, made[-1], self.task)
        return made

    # ------------------------------------------------------------ proposing and acting

    def propose(
        self,
        n: int,
        contexts: Sequence[Context],
        horizon: int,
        model: Model,
        rng: np.random.Generator,
    ) -> list[Candidate]:
        """Return n candidates: for each context the mean policy first, then policies at random.

        Those at random are spread over the members of the model, in which they are imagined.
        """
        candidates = []
        for i in range(n):
            mean = i < len(contexts)
            member = MEAN if mean else (i - len(contexts)) % model.members
            controller = ClosedLoop(member)
            candidates.append(
                Candidate(contexts[i % len(contexts)], controller, horizon, integer(rng))
            )
        return candidates

    @single_precision
    def start(self, model: Model, members: Sequence[int], seeds: Sequence[int]) -> "SB3Actor":
        """Begin B rollouts of the present policies; row b acts at random unless it is `MEAN`."""
        return SB3Actor(self, members, seeds)

    def graph(self) -> bytes:
        """Return the graph from observation to action; see `onnx_export.export_onnx`."""
        from robo_al_policies.onnx_export import export_onnx

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "policy.onnx"
            export_onnx(self, path)
            return path.read_bytes()

    def robot_graph(
        self, sensors: int, limits: tuple[Float[np.ndarray, "J"], Float[np.ndarray, "J"]]
    ) -> bytes:
        """Return the graph that a robot's agent runs; see `onnx_export.export_robot_onnx`."""
        from robo_al_policies.onnx_export import export_robot_onnx

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "policy.onnx"
            export_robot_onnx(self, path, sensors, limits)
            return path.read_bytes()

    def networks(self) -> list[ActorNetwork]:
        """Return a copy of each policy's actor."""
        return [actor_network(algorithm) for algorithm in self._algorithms]

    # ------------------------------------------------------------ learning

    @single_precision
    def update(self, transitions: Transitions, model: Model, rng: np.random.Generator) -> None:
        """Go on training every policy, for as long as the transitions that are new ask for.

        Raises:
            ModelError: the training diverged.
        """
        if not self._seen and self._zip is None:
            self._algorithms = self._make(rng)
        new = max(1, len(transitions) - self._seen)
        updates = max(1, round(self.parameters["updates_per_transition"] * new))
        steps = self._resident(transitions)
        recorded = self._recorded(steps)
        for algorithm in self._algorithms:
            self._env.imagine(model, steps.observations, np.random.default_rng(integer(rng)))
            share, seed = self.parameters["recorded_share"], integer(rng)
            try:
                train(algorithm, self._env, recorded, share, updates, seed)
            except ValueError:  # torch's distributions refuse NaN
                if _finite(algorithm_state(algorithm)):
                    raise
            if not _finite(algorithm_state(algorithm)):
                raise ModelError("policy sb3: training diverged; lower arguments.learning_rate")
        self._seen = len(transitions)

    def _recorded(self, steps: Steps) -> ReplayBufferSamples:
        """Return recorded steps as SB3 samples them: a step ends where the task ended by itself."""
        before, actions, after, rewards, _, ended = steps
        low, high = (
            actions.new_tensor(limit) for limit in (self.task.action_low, self.task.action_high)
        )
        width = torch.where(high > low, high - low, 1.0)  # a locked joint is always at 0
        scaled = (2 * actions - (high + low)) / width
        seen, following = self.observer(before), self.observer(after)
        columns = (seen, scaled, following, ended[:, None], rewards[:, None])
        return ReplayBufferSamples(*(column.to(torch.float32) for column in columns))

    # ------------------------------------------------------------ saving

    def state_dict(self) -> dict[str, Tensor]:
        """Return all weights and the optimisers' moments, by `policy/part/name`."""
        state = {"seen": torch.tensor(self._seen)}
        for i, algorithm in enumerate(self._algorithms):
            state |= {f"{i}/{key}": value for key, value in algorithm_state(algorithm).items()}
        return state

    @single_precision
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up a saved state; training goes on from it as if it had not been interrupted.

        Raises:
            ModelError: it is of another algorithm, of other sizes, or not finite.
        """
        if not _finite(state):
            raise ModelError("sb3: the saved weights are not finite")
        for i, algorithm in enumerate(self._algorithms):
            own = {k.removeprefix(f"{i}/"): v for k, v in state.items() if k.startswith(f"{i}/")}
            load_algorithm_state(algorithm, own)
        self._seen = int(state["seen"])


def _finite(state: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in state.values())


class SB3Actor:
    """B rollouts controlled by the policies as they were when it was made."""

    def __init__(self, policy: SB3, members: Sequence[int], seeds: Sequence[int]) -> None:
        task, self._device = policy.task, policy.device
        self._networks, self._observer = policy.networks(), policy.observer
        self._rngs = [np.random.default_rng(seed) for seed in seeds]
        drawn = [int(rng.integers(len(self._networks))) for rng in self._rngs]
        self._policies = torch.tensor(drawn, device=self._device)
        self._mean = torch.tensor([member == MEAN for member in members], device=self._device)
        self._center = torch.as_tensor((task.action_high + task.action_low) / 2).to(self._device)
        self._half = torch.as_tensor((task.action_high - task.action_low) / 2).to(self._device)

    def act(self, observations: Float[np.ndarray, "B O"]) -> Float[np.ndarray, "B A"]:
        """Return the next actions."""
        actions: np.ndarray = self.act_on(torch.as_tensor(observations)).cpu().numpy()
        return actions

    @single_precision
    def act_on(self, observations: Float[Tensor, "B O"]) -> Float[Tensor, "B A"]:
        """Return the same of tensors, float64, where the networks are."""
        size = len(self._half)
        white = np.stack([rng.standard_normal(size, dtype=np.float32) for rng in self._rngs])
        noise = torch.as_tensor(white, device=self._device)
        features = self._observer(observations.to(self._device))
        random = torch.stack([network(features, noise) for network in self._networks])
        chosen = random[self._policies, torch.arange(len(noise), device=self._device)]
        mean = torch.stack([network(features) for network in self._networks]).mean(0)
        return self._center + self._half * torch.where(self._mean[:, None], mean, chosen)
