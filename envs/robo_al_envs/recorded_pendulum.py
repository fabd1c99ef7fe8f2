"""A hundred recorded rollouts of a pendulum: a pool to choose from that needs no file.

A random policy recorded them, once for all: the pool is the same in every process.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from robo_al.types import Channel, Trajectory
from robo_al_envs.analytic import AnalyticEnv, Array
from robo_al_envs.arrays import namespace
from robo_al_envs.pendulum import Pendulum, draw_pendulum

ROLLOUTS, HELD_OUT, STEPS = 125, 25, 20
"""Of the pool: all of them, those that cannot be chosen, and the steps of each."""


class RecordedPendulum(AnalyticEnv):
    """The pendulum of `pendulum`, observed as by Gymnasium's Pendulum-v1, with recorded rollouts.

    Observation (cos theta, sin theta, omega), theta 0 upright; action: torque, N m.
    """

    channels = (Channel("cosine", "1"), Channel("sine", "1"), Channel("angular velocity", "rad/s"))
    horizon = STEPS
    threshold = None
    dt = Pendulum.dt
    action_limits = Pendulum.action_limits
    state_limits = (1.0, 1.0, 8.0)

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self._pendulum = Pendulum()
        recorded = self._record(np.random.default_rng(0))
        self.episodes, self.held_out = recorded[HELD_OUT:], recorded[:HELD_OUT]
        """What can be chosen, and what models are evaluated on."""

    def _record(self, rng: np.random.Generator) -> tuple[Trajectory, ...]:
        angles, speeds = rng.uniform([[-np.pi], [-1.0]], [[np.pi], [1.0]], size=(2, ROLLOUTS))
        actions = rng.uniform(*self._limits, size=(STEPS, ROLLOUTS, 1))
        states = [np.stack([np.cos(angles), np.sin(angles), speeds], -1)]
        for action in actions:
            states.append(self.dynamics(states[-1], action))
        observations = np.stack(states, 1)
        sent = actions.swapaxes(0, 1)
        rewards = self.reward(observations[:, :-1], sent, observations[:, 1:])
        return tuple(
            Trajectory(*rollout) for rollout in zip(observations, sent, sent, rewards, strict=True)
        )

    @property
    def _limits(self) -> tuple[Array, Array]:
        return self.action_space.low.astype(float), self.action_space.high.astype(float)

    def dynamics(
        self, observation: Float[Any, "*batch 3"], action: Float[Any, "*batch 1"]
    ) -> Float[Any, "*batch 3"]:
        """Advance the angle and its velocity as `pendulum` does."""
        xp = namespace(observation)
        after = self._pendulum.dynamics(self._state_of(observation), action)
        angle, speed = after[..., 0], after[..., 1]
        return xp.stack([xp.cos(angle), xp.sin(angle), speed], -1)

    def reward(
        self,
        observation: Float[Any, "*batch 3"],
        action: Float[Any, "*batch 1"],
        next_observation: Float[Any, "*batch 3"],
    ) -> Float[Any, "*batch"]:
        """Return the reward of `pendulum`."""
        states = self._state_of(observation), self._state_of(next_observation)
        return self._pendulum.reward(states[0], action, states[1])

    def _state_of(self, observation: Float[Any, "*batch 3"]) -> Float[Any, "*batch 2"]:
        """Return angle and angular velocity."""
        xp = namespace(observation)
        angle = xp.arctan2(observation[..., 1], observation[..., 0])
        return xp.stack([angle, observation[..., 2]], -1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start where recorded rollout `seed` did, counted round and round."""
        if seed is not None:
            start = self.episodes[seed % len(self.episodes)].observations[0]
            options = {"state": start, **(options or {})}
        return super().reset(seed=seed, options=options)

    def draw_start(self) -> Array:
        """Draw the start of a recorded rollout."""
        episode = self.episodes[self.np_random.integers(len(self.episodes))]
        return np.array(episode.observations[0], float)

    def draw(self, state: Array) -> NDArray[np.uint8]:
        """Draw the rod and its axle."""
        return draw_pendulum(float(np.arctan2(state[1], state[0])), length=1.0)
