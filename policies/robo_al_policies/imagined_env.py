"""The learned model as an SB3 `VecEnv`: thousands of imagined worlds that step as one batch.

Worlds are short branches off what was recorded (MBPO; Janner et al. 2019, "When to trust your
model"): each starts at an observation drawn from the record, lives for a few steps, and starts
anew elsewhere. Each plays in one member of the model, so that a policy cannot rely on the errors
of one. A world ends by itself where the task says so or the model has learned it; otherwise its end
is a truncation, beyond which SB3 asks the critic.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices
from torch import Tensor

from robo_al.models.ends import termination_of
from robo_al.protocols import Model
from robo_al.types import Task, TerminationFunction
from robo_al_policies.observer import Observer

Array = NDArray[Any]


class ImaginedEnv(VecEnv):
    """N worlds in a model; actions are scaled to [-1, 1].

    Args:
        task: its reward and end (where they are not known the model predicts them), and its action
            limits.
        observer: what the networks see.
        worlds: N.
        length: steps after which a world starts anew.
        device: where the worlds are.
    """

    def __init__(
        self, task: Task, observer: Observer, worlds: int, length: int, device: str
    ) -> None:
        size = len(task.action_low)
        super().__init__(
            worlds,
            spaces.Box(-np.inf, np.inf, (observer.size,), np.float32),
            spaces.Box(-1.0, 1.0, (size,), np.float32),
        )
        self.length = length
        self._task, self._observer, self._device = task, observer, torch.device(device)
        low, high = (
            torch.as_tensor(limit, dtype=torch.float32, device=device)
            for limit in (task.action_low, task.action_high)
        )
        self._center, self._half = (high + low) / 2, (high - low) / 2
        self._model: Model | None = None
        self._termination: TerminationFunction | None = None
        self._actions = torch.zeros(worlds, size, dtype=torch.float32, device=self._device)

    def imagine(self, model: Model, starts: Float[Tensor, "B O"], rng: np.random.Generator) -> None:
        """From the next reset on, imagine in this model.

        Args:
            model: fitted; the worlds are divided among its members.
            starts: recorded observations, at which worlds begin.
            rng: draws where each begins.
        """
        self._model, self._rng = model, rng
        self._termination = termination_of(self._task, model)
        self._starts = starts.to(self._device, torch.float32)
        self._members = torch.arange(model.members, device=self._device)

    def reset(self) -> Array:
        """Start every world anew; return features [N,F]."""
        assert self._model is not None, "imagine first"
        self._observations = self._draw(self.num_envs)
        self._ages = torch.zeros(self.num_envs, dtype=torch.long, device=self._device)
        return self._seen(self._observations)

    def step_async(self, actions: Array) -> None:
        """Note the actions [N,A]."""
        scaled = torch.as_tensor(actions, dtype=torch.float32, device=self._device)
        self._actions = self._center + self._half * scaled.clamp(-1, 1)

    @torch.no_grad()
    def step_wait(self) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
        """Step all worlds in one batch; those that end start anew, as SB3 expects.

        A world whose prediction is not finite is cut off where it was, with a reward of 0.
        """
        before, actions = self._observations, self._actions
        after, rewards = self._predict(before, actions)
        lost = ~(torch.isfinite(after).all(-1) & torch.isfinite(rewards))
        after = torch.where(lost[:, None], before, after)
        rewards = torch.where(lost, 0.0, rewards)
        ended = self._ended(before, actions, after) & ~lost
        self._ages += 1
        done = ended | lost | (self._ages >= self.length)
        last = self._seen(after)
        self._observations = after.clone()
        self._observations[done] = self._draw(int(done.sum()))
        self._ages[done] = 0
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        dones, ends = done.cpu().numpy(), ended.cpu().numpy()
        for i in np.flatnonzero(dones):
            infos[i] = {"terminal_observation": last[i], "TimeLimit.truncated": not ends[i]}
        return self._seen(self._observations), rewards.cpu().numpy(), dones, infos

    def _predict(
        self, before: Float[Tensor, "N O"], actions: Float[Tensor, "N A"]
    ) -> tuple[Float[Tensor, "N O"], Float[Tensor, "N"]]:
        """Advance each world in its member, E groups of equally many."""
        assert self._model is not None
        groups = len(self._members)
        missing = -self.num_envs % groups
        rows = torch.arange(self.num_envs + missing, device=self._device) % self.num_envs
        after, rewards = self._model.step(
            before[rows].reshape(groups, -1, before.shape[-1]),
            actions[rows].reshape(groups, -1, actions.shape[-1]),
            self._members,
        )
        after = after.reshape(len(rows), -1)[: self.num_envs].to(before)
        if self._task.reward is not None:
            return after, self._task.reward(before, actions, after).to(before)
        assert rewards is not None, "a model predicts rewards that are not known"
        return after, rewards.reshape(-1)[: self.num_envs].to(before)

    def _ended(
        self,
        before: Float[Tensor, "N O"],
        actions: Float[Tensor, "N A"],
        after: Float[Tensor, "N O"],
    ) -> Bool[Tensor, "N"]:
        if self._termination is None:
            return torch.zeros(self.num_envs, dtype=torch.bool, device=self._device)
        ended: Tensor = self._termination(before, actions, after)
        return ended

    def _draw(self, n: int) -> Float[Tensor, "n O"]:
        rows = self._rng.integers(len(self._starts), size=n)
        return self._starts[torch.as_tensor(rows, device=self._device)]

    def _seen(self, observations: Float[Tensor, "N O"]) -> Array:
        features: Array = self._observer(observations).cpu().numpy()
        return features

    # ------------------------------------------------------------ what else a VecEnv answers

    def close(self) -> None:
        """Free nothing: there is nothing but tensors."""

    def _worlds(self, indices: VecEnvIndices) -> Sequence[int]:
        return list(self._get_indices(indices))

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute, which all worlds have in common."""
        value = None if attr_name == "render_mode" else getattr(self, attr_name)
        return [value for _ in self._worlds(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of all worlds."""
        setattr(self, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Refuse: a world has no methods of its own."""
        raise AttributeError(f"an imagined world has no method {method_name!r}")

    def env_is_wrapped(self, wrapper_class: Any, indices: VecEnvIndices = None) -> list[bool]:
        """Return that no world is wrapped."""
        return [False for _ in self._worlds(indices)]
