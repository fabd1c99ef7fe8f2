"""A task with every capability."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robo_al.tasks import describe
from robo_al.types import Channel, EnvSpec, Task

Array = NDArray[np.float64]


FAKE_ENV = EnvSpec("robo_al.testing:FakeEnv")
"""What `make_env` makes a `FakeEnv` of."""


class FakeEnv(gymnasium.Env[Array, Array]):
    """A cart on a rail with two thrusters and a goal: linear, of every capability.

    Observation (position m, velocity m/s, goal m), O = 3; action (thrusts), A = 2, with limits
    that differ. Refuses actions outside its limits, and steps before the first reset.
    """

    metadata: dict[str, Any] = {"render_modes": []}
    channels = (
        Channel("position", "m"),
        Channel("velocity", "m/s"),
        Channel("goal", "m", "constant"),
    )
    horizon = 10
    threshold = -5.0
    dt = 0.1

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = spaces.Box(
            np.array([-1.0, -2.0]), np.array([1.0, 2.0]), (2,), np.float64
        )
        self._state: Array | None = None
        self._start: Array | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start near the origin at rest, with a goal drawn within 1 m, or at the options."""
        super().reset(seed=seed)
        x, goal = self.np_random.uniform(-0.1, 0.1), self.np_random.uniform(-1, 1)
        state, goals = np.array([x, 0.0]), np.array([goal])
        unknown = set(options or {}) - {"state", "goal"}
        assert not unknown, f"unknown options {unknown}"
        state = np.asarray((options or {}).get("state", state), dtype=np.float64)
        goals = np.asarray((options or {}).get("goal", goals), dtype=np.float64)
        assert state.shape == (2,) and goals.shape == (1,)
        self._start = self._state = np.concatenate([state, goals])
        return self._state.copy(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Advance by 0.1 s."""
        assert self._state is not None, "step before reset"
        action = np.asarray(action)
        assert self.action_space.contains(action), f"action {action}"
        before, sent = self._state[None], action[None]  # a batch of one: the formula's arithmetic
        after = self.dynamics(before, sent)
        reward = float(self.reward(before, sent, after)[0])
        self._state = after[0]
        return self._state.copy(), reward, False, False, {}

    def context(self) -> Mapping[str, Sequence[float]]:
        """Return the options that reproduce the present start."""
        assert self._start is not None, "context before reset"
        return {"state": self._start[:2].tolist(), "goal": self._start[2:].tolist()}

    def constraint(self, observation, action, next_observation):  # type: ignore[no-untyped-def]
        """Return how far the cart is more than 1 m from the middle of its rail."""
        return abs(next_observation[..., 0]) - 1.0

    def dynamics(self, observation: Any, action: Any) -> Any:
        """Return next observations [...,O]; NumPy arrays or torch tensors."""
        velocity = observation[..., 1] + 0.1 * (action[..., 0] + 0.5 * action[..., 1])
        position = observation[..., 0] + 0.1 * velocity
        goal = observation[..., 2] + 0.0 * velocity
        if isinstance(observation, np.ndarray):
            return np.stack([position, velocity, goal], axis=-1)
        import torch

        return torch.stack([position, velocity, goal], dim=-1)

    def reward(self, observation: Any, action: Any, next_observation: Any) -> Any:
        """Return minus the squared distance to the goal, minus a cost of thrust."""
        distance = next_observation[..., 0] - next_observation[..., 2]
        return -(distance**2) - 0.01 * (action[..., 0] ** 2 + action[..., 1] ** 2)


def fake_task() -> Task:
    """Return the description of `FakeEnv`."""
    return describe(FakeEnv(), FAKE_ENV)
