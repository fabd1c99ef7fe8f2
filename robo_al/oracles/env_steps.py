"""An env's own `reset` and `step`, and what can be wrong with what they answer."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from robo_al.errors import EnvFault, StorageError
from robo_al.oracles.recording import Fault, Step
from robo_al.tasks import Env
from robo_al.types import Context
from robo_al.worker.watch import (
    Watch,
    first_not_finite,
    not_finite,
    refused_by_mujoco,
    said_success,
    warned,
    was_reset,
    wrong_shape,
)

Array = NDArray[np.float64]


def warning_fault(risen: Int[np.ndarray, "W"]) -> Fault:
    """Say of what MuJoCo warned, from how far its counters have risen."""
    return Fault("quarantined", warned(risen))


def reset_fault(began: float, time: float) -> Fault:
    """Say that a simulation's time did not go on."""
    return Fault("quarantined", was_reset(began, time))


def reset_env(env: Env, context: Context) -> Array | Fault:
    """Reset an env; return its first observation [O], or why there is none.

    Raises:
        StorageError: what it shows cannot be kept; that is no fault of the env's, here and below.
    """
    try:
        observation, _ = env.reset(seed=context.seed, options=dict(context.options) or None)
        first = np.array(observation, dtype=np.float64)
    except StorageError:
        raise
    except Exception as error:
        return raised_fault(error)
    if first.shape != env.observation_space.shape:
        return shape_fault(env, first)
    if not np.isfinite(first).all():
        return Fault("quarantined", first_not_finite(first))
    return first


def step_env(env: Env, watch: Watch, action: Float[np.ndarray, "A"]) -> Step | Fault:
    """Step an env through its public API; what it raises is a `Fault`."""
    watch.before_step()
    try:
        observation, reward, terminated, truncated, told = env.step(action)
        observation, reward = np.array(observation, dtype=np.float64), float(reward)
    except StorageError:
        raise
    except Exception as error:
        return raised_fault(error)
    if (wrong := watch.wrong()) is not None:
        return Fault("quarantined", wrong)
    if observation.shape != env.observation_space.shape:
        return shape_fault(env, observation)
    if not (np.isfinite(observation).all() and np.isfinite(reward)):
        return Fault("quarantined", not_finite(observation, reward))
    return Step(observation, reward, bool(terminated), bool(truncated), said_success(told))


def raised_fault(error: Exception) -> Fault:
    """Say what an env raised."""
    if isinstance(error, EnvFault):  # said in another process
        return Fault(error.kind, str(error))
    if refused_by_mujoco(error):
        return Fault("quarantined", f"MuJoCo: {error}")
    return Fault("failed", f"the env raised {type(error).__name__}: {error}")


def shape_fault(env: Env, observation: Array) -> Fault:
    """Say that an observation is not what the env's space says."""
    return Fault("failed", wrong_shape(observation.shape, env.observation_space.shape))
