"""The tasks of the DeepMind Control Suite, by name: `dmc:cartpole-swingup` is the suite's own.

Tassa et al., DeepMind Control Suite, 2018. A step is a control step of the suite, so that what is
counted is what published curves count, and an episode has 1,000 of them. Published agents act on
every second one: a policy that holds its actions does so (`icem` with `action_repeat: 2`), or the
env with the parameter `action_repeat`.
"""

import difflib
from collections.abc import Callable
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces
from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer
from numpy.typing import NDArray

from robo_al.config.ranges import Width
from robo_al.errors import EnvFault, PluginError, UserError
from robo_al.plugins import render_offscreen
from robo_al.types import Channel, RewardFunction
from robo_al_envs.dmc_rewards import REWARDS
from robo_al_envs.starts import chosen, finite_action

Array = NDArray[np.float64]
EPISODE = 1000
"""Control steps of an episode; those of a few tasks that are not benchmarks end by themselves."""


class DeepMindControl(gymnasium.Env[Any, Any]):
    """A task of the DeepMind Control Suite; rewards of a step are from 0 to 1.

    Observed is what the task observes, one number after another, in its order.

    Args:
        name: of the domain and the task, `cartpole-swingup`.
        action_repeat: control steps for which an action is held; their rewards are added up. With
            more than one, the reward depends on what is not observed, and is no known function.
        render_mode: `rgb_array` for pictures, None for none.

    Raises:
        PluginError: dm_control cannot be imported, or has no such task.
        UserError: a parameter that cannot be.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}

    def __init__(self, name: str, action_repeat: Width = 1, render_mode: str | None = None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise UserError(f"dmc:{name}: render_mode {render_mode!r}; use 'rgb_array'")
        if action_repeat < 1 or EPISODE % action_repeat:
            said = f"dmc:{name}: action_repeat is {action_repeat}; {EPISODE} steps are an episode"
            raise UserError(f"{said}, of which it has to be a divisor")
        self._simulation = _loaded(name)
        self._action_repeat = action_repeat
        self._begun = False
        self._renderer: Any = None
        self.render_mode = render_mode
        self.dt = self._simulation.control_timestep() * action_repeat
        self.metadata = {**self.metadata, "render_fps": round(1 / self.dt)}
        self.horizon = EPISODE // action_repeat
        self.reward: RewardFunction | None = REWARDS.get(name) if action_repeat == 1 else None
        self.channels = tuple(_channels(self._simulation.observation_spec()))
        limits = self._simulation.action_spec()
        self.action_space: spaces.Box = spaces.Box(
            limits.minimum.astype(np.float32), limits.maximum.astype(np.float32), dtype=np.float32
        )
        size = (len(self.channels),)
        self.observation_space: spaces.Box = spaces.Box(-np.inf, np.inf, size, np.float64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Begin an episode: with a seed, the first one of the suite's task with this seed.

        Raises:
            UserError: there are options, and the suite knows none.
        """
        super().reset(seed=seed)
        chosen(options, {})
        if seed is not None:
            # what `suite.load(..., task_kwargs={"random": seed})` sets; there is no other way
            self._simulation.task._random = np.random.RandomState(seed % 2**32)
        self._begun = True
        return _flat(self._simulation.reset().observation), {}

    def step(self, action: NDArray[Any]) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Apply one action, clipped to the limits.

        Raises:
            UserError: an action that is not finite, or of a wrong shape.
            EnvFault: MuJoCo found that the simulation has become unstable.
            gymnasium.error.ResetNeeded: there was no reset yet, or the episode is over.
        """
        from dm_control.rl.control import PhysicsError

        if not self._begun:
            raise gymnasium.error.ResetNeeded("a task of dmc: reset it before a step")
        sent, reward = finite_action(action, self.action_space), 0.0
        for _ in range(self._action_repeat):
            try:
                answer = self._simulation.step(sent)
            except PhysicsError as error:
                raise EnvFault("quarantined", f"MuJoCo: {error}") from error
            reward += float(answer.reward)
            if answer.last():
                self._begun = False
                break
        terminated = answer.last() and answer.discount == 0
        return _flat(answer.observation), reward, terminated, answer.last() and not terminated, {}

    def render(self) -> NDArray[np.uint8] | None:
        """Return a picture [480, 480, 3] of the present state."""
        if self.render_mode is None:
            return None
        render_offscreen()
        physics = self._simulation.physics
        if self._renderer is None:
            self._renderer = MujocoRenderer(
                physics.model.ptr, physics.data.ptr, width=480, height=480, camera_id=0
            )
        picture: NDArray[np.uint8] = self._renderer.render("rgb_array")
        return picture

    def close(self) -> None:
        """Free the simulation."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        self._simulation.close()


def deepmind_control(name: str) -> Callable[..., DeepMindControl]:
    """Return what makes a task of the suite, by its name `domain-task`."""

    def make(action_repeat: Width = 1, render_mode: str | None = None) -> DeepMindControl:
        """Make a task of the DeepMind Control Suite.

        Args:
            action_repeat: control steps for which an action is held; their rewards are added up.
                With more than one, the reward is learned: it depends on what is not observed.
            render_mode: `rgb_array` for pictures, None for none.
        """
        return DeepMindControl(name, action_repeat, render_mode)

    return make


def _loaded(name: str) -> Any:
    """Return the simulation of a task, as the suite itself makes it."""
    try:
        from dm_control import suite

        known = [f"{domain}-{task}" for domain, task in suite.ALL_TASKS]
        if name in known:
            domain, _, task = name.partition("-")
            # some tasks draw their model, and it has to be the same one in every process
            return suite.load(domain, task, task_kwargs={"random": 0})
    except ModuleNotFoundError as error:
        said = f"dmc:{name} needs {error.name}, which is not installed"
        raise PluginError(f"{said}; install it by: pip install 'robo-al[dmc]'") from error
    except Exception as error:
        raise PluginError(
            f"dmc:{name}: dm_control cannot make it on MuJoCo {mujoco.__version__}"
            f" ({type(error).__name__}: {error}); dm_control 1.0.50 runs on MuJoCo 3.17"
        ) from error
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"; nearest: {', '.join(near)}" if near else ""
    listed = "they are those of dm_control.suite.ALL_TASKS, as domain-task"
    raise PluginError(f"dmc: the suite has no task {name!r}; {listed}{hint}")


def _channels(spec: Any) -> list[Channel]:
    """Return a channel for each number that a task observes: `position[0]`."""
    channels = []
    for key, part in spec.items():
        size = int(np.prod(part.shape))
        channels += [Channel(key if size == 1 else f"{key}[{i}]", "1") for i in range(size)]
    return channels


def _flat(observation: Any) -> Array:
    """Return the numbers of an observation in a row."""
    parts = [np.ravel(np.asarray(part, np.float64)) for part in observation.values()]
    return np.concatenate(parts)
