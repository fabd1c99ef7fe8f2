"""The task of the slider in tests/agent/robots.py: two joints to a goal, by velocities."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from robo_al.types import Channel


class SliderEnv(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float64)
    action_space = gymnasium.spaces.Box(-0.5, 0.5, (2,), np.float64)
    channels = (
        Channel("left", "rad"),
        Channel("right", "rad"),
        Channel("goal left", "rad", "constant"),
        Channel("goal right", "rad", "constant"),
    )
    horizon = 8
    dt = 0.2
    threshold = -1.0
    joints = ("left", "right")
    robot_command = "velocity"
    robot_substeps = 2

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Sequence[float]] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        drawn = {"joints": np.zeros(2), "goal": self.np_random.uniform(-0.3, 0.3, 2)}
        self.start = {**drawn, **{k: np.array(v) for k, v in (options or {}).items()}}
        self.at = self.start["joints"]
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        before = self._observation()
        self.at = np.clip(self.at + np.clip(action, -0.5, 0.5) * self.dt, -1, 1)
        after = self._observation()
        return after, float(self.reward(before, action, after)), False, False, {}

    def context(self) -> dict[str, list[float]]:
        return {name: value.tolist() for name, value in self.start.items()}

    def reward(self, observation: Any, action: Any, next_observation: Any) -> Any:
        return -((next_observation[..., :2] - next_observation[..., 2:]) ** 2).sum(-1)

    def robot_observation(
        self, positions: Any, velocities: Any, sensors: Any, targets: Any, options: Any
    ) -> np.ndarray:
        goal = np.broadcast_to(np.array(options["goal"]), positions.shape)
        return np.concatenate([positions, goal], -1)

    def _observation(self) -> np.ndarray:
        return np.concatenate([self.at, self.start["goal"]])


class EndlessSlider(SliderEnv):
    horizon = None
