"""Tasks whose dynamics are a formula: the env's step *is* the batched formula, on one row."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float
from numpy.typing import NDArray

from robo_al.errors import UserError
from robo_al.types import Channel
from robo_al_envs.starts import chosen, finite_action

Array = NDArray[np.float64]


class AnalyticEnv(gymnasium.Env[Any, Any]):
    """A task given by its dynamics, its reward and where it starts; it never terminates.

    Args:
        render_mode: `rgb_array` for pictures, None for none.

    Raises:
        UserError: another render mode.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}
    channels: ClassVar[tuple[Channel, ...]]
    """Names, units and kinds of the observation's components, which are the whole state."""
    horizon: ClassVar[int]
    """Steps of an evaluation."""
    threshold: ClassVar[float | None]
    """Mean return from which the task counts as solved."""
    dt: ClassVar[float]
    """Seconds between two actions."""
    action_limits: ClassVar[tuple[float, ...]]
    """Largest absolute value of each action."""
    state_limits: ClassVar[tuple[float, ...]]
    """Largest absolute value that each component of the state can have."""

    def __init__(self, render_mode: str | None = None) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise UserError(f"{type(self).__name__}: render_mode {render_mode!r}; use 'rgb_array'")
        self.metadata = {**self.metadata, "render_fps": round(1 / self.dt)}
        self.render_mode = render_mode
        limits, bounds = np.array(self.action_limits), np.array(self.state_limits)
        self.action_space: spaces.Box = spaces.Box(
            -limits.astype(np.float32), limits.astype(np.float32), dtype=np.float32
        )
        self.observation_space: spaces.Box = spaces.Box(-bounds, bounds, dtype=np.float64)
        self._start: Array | None = None
        self._state: Array | None = None

    @abstractmethod
    def dynamics(
        self, observation: Float[Any, "*batch O"], action: Float[Any, "*batch A"]
    ) -> Float[Any, "*batch O"]:
        """Return the next observations [...,O]; actions [...,A] are within the limits."""

    @abstractmethod
    def reward(
        self,
        observation: Float[Any, "*batch O"],
        action: Float[Any, "*batch A"],
        next_observation: Float[Any, "*batch O"],
    ) -> Float[Any, "*batch"]:
        """Return the rewards [...] of steps; NumPy arrays or torch tensors."""

    @abstractmethod
    def draw_start(self) -> Array:
        """Draw a start state [O] with the env's own generator."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start at a drawn state, or at `options["state"]` [O].

        Raises:
            UserError: an option that is not known, or a state that cannot be.
        """
        super().reset(seed=seed)
        starts = chosen(options, {"state": self.observation_space})
        self._start = starts["state"] if "state" in starts else self.draw_start()
        self._state = self._start
        return self._state.copy(), {}

    def step(self, action: NDArray[Any]) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Apply one action, clipped to the limits.

        Raises:
            UserError: an action that is not finite, or of a wrong shape.
            gymnasium.error.ResetNeeded: there was no reset yet.
        """
        if self._state is None:
            raise gymnasium.error.ResetNeeded(f"{type(self).__name__}: reset it before a step")
        before, sent = self._state, finite_action(action, self.action_space)
        # As a batch of one: NumPy squares scalars and arrays differently in the last bit.
        after = self.dynamics(before[None], sent[None])
        reward = float(self.reward(before[None], sent[None], after)[0])
        self._state = after[0]
        return self._state.copy(), reward, False, False, {}

    def context(self) -> Mapping[str, Sequence[float]]:
        """Return the options of `reset` that reproduce the last start."""
        return {} if self._start is None else {"state": self._start.tolist()}

    def render(self) -> NDArray[np.uint8] | None:
        """Return a picture [480, 480, 3] of the present state."""
        if self.render_mode is None or self._state is None:
            return None
        return self.draw(self._state)

    @abstractmethod
    def draw(self, state: Array) -> NDArray[np.uint8]:
        """Return a picture [480, 480, 3] of a state [O]."""
