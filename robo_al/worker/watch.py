"""What an env must not do, and how it is told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Watch:
    """Watches a MuJoCo env; does nothing for any other.

    MuJoCo resets a simulation whose state is not finite without a word, and goes on. So its
    automatic reset is switched off, and each step must leave the warning counters as they were
    and the time risen.
    """

    def __init__(self, env: Any) -> None:
        self._env = mujoco_env(env)
        if self._env is not None:
            import mujoco

            self._env.model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
        self._time = 0.0
        self._counts = b""

    def before_step(self) -> None:
        """Remember time and counters."""
        if self._env is not None:
            self._time = self._env.data.time
            self._counts = self._env.data.warning.number.tobytes()

    def wrong(self) -> str | None:
        """Return what the step did that it must not."""
        if self._env is None:
            return None
        import numpy as np

        data, number = self._env.data, self._env.data.warning.number
        if number.tobytes() != self._counts:
            risen = number - np.frombuffer(self._counts, number.dtype)
            if (risen > 0).any():
                return warned(risen)
        if not data.time - self._time > 0.5 * self._env.dt:
            return was_reset(self._time, data.time)
        return None


def mujoco_env(env: Any) -> Any:
    """Return the `gymnasium.envs.mujoco.MujocoEnv` inside an env, or None."""
    module = sys.modules.get("gymnasium.envs.mujoco.mujoco_env")  # not loaded: it cannot be one
    inner = getattr(env, "unwrapped", env)
    return inner if module is not None and isinstance(inner, module.MujocoEnv) else None


def warned(risen: NDArray[np.integer[Any]]) -> str:
    """Say of what MuJoCo warned, from how far its counters [W] have risen."""
    import mujoco
    import numpy as np

    names = ", ".join(mujoco.mjtWarning(int(i)).name for i in np.flatnonzero(risen > 0))
    return f"MuJoCo warned: {names}"


def was_reset(began: float, time: float) -> str:
    """Say that a simulation's time did not go on."""
    return f"the simulator was reset silently: its time went from {began} to {time} s"


def refused_by_mujoco(error: BaseException) -> bool:
    """Whether MuJoCo itself could not go on from the state that it was in."""
    mujoco: Any = sys.modules.get("mujoco")  # not loaded: it cannot be its error
    return mujoco is not None and isinstance(error, mujoco.FatalError)


def wrong_shape(shape: tuple[int, ...], wanted: tuple[int, ...] | None) -> str:
    """Say that an observation is not what the env's space says."""
    shapes = f"shape {shape}; its observation space has {wanted}"
    return f"the env answered with an observation of {shapes}"


def not_finite(observation: NDArray[np.float64], reward: float) -> str:
    """Say what an env answered to an action."""
    what = f"observation {observation}, reward {reward}"
    return f"the env answered with numbers that are not finite: {what}"


def first_not_finite(observation: NDArray[np.float64]) -> str:
    """Say where an env started."""
    return f"the first observation is not finite: {observation}"


def said_success(information: Any) -> bool | None:
    """Return whether a step's information says that the task is done; None where it says nothing.

    It is `is_success` in the robotics environments of Farama, and `success` in Meta-World.
    """
    import numpy as np

    for name in ("is_success", "success"):
        value = information.get(name) if isinstance(information, dict) else None
        if isinstance(value, (bool, int, float, np.bool_, np.number)):
            return bool(value)
    return None
