"""Tasks whose dynamics are MuJoCo's: Gymnasium's `MujocoEnv` on an MJCF of this package."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces
from gymnasium.envs.mujoco import MujocoEnv
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from robo_al.errors import UserError
from robo_al.plugins import render_offscreen
from robo_al.types import BatchedStepFunction, Channel
from robo_al_envs.arrays import namespace
from robo_al_envs.simulations import Simulator, make_simulator
from robo_al_envs.starts import chosen, finite_action

Array = NDArray[np.float64]
ASSETS = Path(__file__).parent / "assets"


class PhysicsEnv(MujocoEnv):
    """A task given by an MJCF, how it is observed, its reward and its starts; never terminates.

    Args:
        render_mode: `rgb_array` for pictures, None for none. Without OpenGL they are drawn flat.

    Raises:
        UserError: another render mode.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}
    action_space: spaces.Box
    channels: ClassVar[tuple[Channel, ...]]
    """Names, units and kinds of the observation's components."""
    horizon: ClassVar[int]
    """Steps of an evaluation."""
    threshold: ClassVar[float | None]
    """Mean return from which the task counts as solved."""
    asset: ClassVar[str]
    """File of the MJCF."""
    substeps: ClassVar[int] = 2
    """Of its time steps, for which a control is applied."""
    camera: ClassVar[str]
    """Which of its cameras pictures are taken by."""
    starts: ClassVar[Mapping[str, spaces.Box]]
    """The options of `reset`, and what each may be."""
    outputs: ClassVar[tuple[str, ...]] = ()
    """Fields of MjData, besides the state, that `observe` reads."""
    batched: ClassVar[bool] = False
    """Whether this very class, and none derived from it, starts and steps as `PhysicsEnv` does, on
    a model that never changes: then many simulations of it run as one batch."""

    def __init__(self, render_mode: str | None = None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise UserError(f"{type(self).__name__}: render_mode {render_mode!r}; use 'rgb_array'")
        size = len(self.channels)
        super().__init__(
            str(ASSETS / self.asset),
            frame_skip=self.substeps,
            observation_space=spaces.Box(-np.inf, np.inf, (size,), np.float64),
            render_mode=render_mode,
            camera_name=self.camera,
        )
        self.metadata = {**self.metadata, "render_fps": round(1 / self.dt)}
        self._options: Mapping[str, Array] = {}
        self._start: Mapping[str, Array] = {}
        self._simulator: Simulator | None = None
        self._flat = False

    @abstractmethod
    def observe(
        self, qpos: Float[np.ndarray, "*batch Q"], qvel: Float[np.ndarray, "*batch V"], data: Any
    ) -> Float[np.ndarray, "*batch O"]:
        """Return observations of states, with the fields `outputs` read off `data`."""

    @abstractmethod
    def state_of(
        self, observation: Float[np.ndarray, "*batch O"]
    ) -> tuple[Float[np.ndarray, "*batch Q"], Float[np.ndarray, "*batch V"]]:
        """Return the positions and velocities that give observations."""

    @abstractmethod
    def draw_start(self) -> dict[str, Array]:
        """Draw a value for each option of `reset` with the env's own generator."""

    @abstractmethod
    def place(self, start: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return the positions [Q] and velocities [V] of a start."""

    @abstractmethod
    def reward(
        self,
        observation: Float[Any, "*batch O"],
        action: Float[Any, "*batch A"],
        next_observation: Float[Any, "*batch O"],
    ) -> Float[Any, "*batch"]:
        """Return the rewards [...] of steps; NumPy arrays or torch tensors."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start where drawn, or at what `options` say.

        Raises:
            UserError: an option that is not known, or a value that cannot be.
        """
        self._options = chosen(options, self.starts)
        observation, info = super().reset(seed=seed)
        return observation, info

    def reset_model(self) -> Array:
        """Put the simulation at its start; called by `reset`."""
        self._start = {**self.draw_start(), **self._options}
        self.set_state(*self.place(self._start))  # type: ignore[no-untyped-call]
        return self._observation()

    def context(self) -> Mapping[str, Sequence[float]]:
        """Return the options of `reset` that reproduce the last start."""
        return {name: value.tolist() for name, value in self._start.items()}

    def step(  # type: ignore[override]
        self, action: NDArray[Any]
    ) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Apply one action, clipped to the limits.

        Raises:
            UserError: an action that is not finite, or of a wrong shape.
            gymnasium.error.ResetNeeded: there was no reset yet.
        """
        if not self._start:
            raise gymnasium.error.ResetNeeded(f"{type(self).__name__}: reset it before a step")
        sent = finite_action(action, self.action_space)
        before = self._observation()
        self.do_simulation(sent, self.frame_skip)
        after = self._observation()
        # a batch of one: on scalars, NumPy rounds some powers otherwise than on arrays
        reward = self.reward(before[None], sent[None], after[None])[0]
        return after, float(reward), False, False, {}

    @property
    def answer(self) -> BatchedStepFunction | None:
        """What `step` makes of n simulations, of a class that says that it is `batched`."""
        return self._answer if vars(type(self)).get("batched") else None

    def _answer(
        self,
        observation: Float[np.ndarray, "n O"],
        qpos: Float[np.ndarray, "n Q"],
        action: Shaped[np.ndarray, "n A"],
        data: Any,
    ) -> tuple[Float[np.ndarray, "n O"], Float[np.ndarray, "n"], NDArray[np.bool_]]:
        after = self.observe(data.qpos, data.qvel, data)
        rewards = self.reward(observation, action.astype(np.float64), after)
        return after, rewards, np.zeros(len(action), dtype=np.bool_)

    def dynamics(
        self, observation: Float[Any, "*batch O"], action: Float[Any, "*batch A"]
    ) -> Float[Any, "*batch O"]:
        """Return the next observations [...,O]; actions [...,A] are within the limits.

        A step that MuJoCo refuses gives NaN. Where the MJCF warm-starts the solver, its result at
        a joint's limit depends, within its tolerance, on the step before, which no observation
        holds.
        """
        if namespace(observation) is not np:
            arrays = (x.detach().cpu().numpy().astype(np.float64) for x in (observation, action))
            return observation.new_tensor(self.dynamics(*arrays))
        rows = observation.reshape(-1, observation.shape[-1])
        qpos, qvel = self.state_of(rows)
        ctrl = action.reshape(len(rows), -1)
        if self._simulator is None:
            self._simulator = make_simulator(self.model, self.outputs)
        fields, failed = self._simulator.run(qpos, qvel, ctrl, self.frame_skip)
        after = self.observe(fields.qpos, fields.qvel, fields)
        after[failed] = np.nan
        return after.reshape(observation.shape)

    def render(self) -> NDArray[np.uint8] | None:
        """Return a picture [480, 480, 3] of the present state."""
        if self.render_mode is None:
            return None
        if not self._flat:
            render_offscreen()
            try:
                picture: NDArray[np.uint8] = super().render()  # type: ignore[no-untyped-call]
                return picture
            except Exception:  # whatever a machine without OpenGL answers
                self._flat = True
        return self.draw()

    @abstractmethod
    def draw(self) -> NDArray[np.uint8]:
        """Return a flat picture [480, 480, 3] of the present state."""

    def _observation(self) -> Array:
        return self.observe(self.data.qpos, self.data.qvel, self.data)


def unbounded(size: int) -> spaces.Box:
    """Return the space of all vectors of a size."""
    return spaces.Box(-np.inf, np.inf, (size,), np.float64)


def body(model: Any, name: str) -> int:
    """Return the index of a body."""
    index: int = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name)
    assert index >= 0
    return index
