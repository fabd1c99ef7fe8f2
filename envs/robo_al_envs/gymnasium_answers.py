"""What `step` of Gymnasium's own MuJoCo tasks makes of many simulations at once.

Each takes the env and those of its parameters for which that is known, and returns the function
(`robo_al.types.BatchedStepFunction`). Sums and lengths are computed by the operations that
Gymnasium uses, in its order and types, since a batch is to be what each env alone is to the last
bit.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from robo_al.types import BatchedStepFunction
from robo_al_envs.physics import body

INFINITY = float("inf")


def reacher_v5(
    env: Any, reward_dist_weight: float = 1, reward_control_weight: float = 1
) -> BatchedStepFunction:
    """Return what Reacher-v5 answers."""
    tip, goal = (body(env.unwrapped.model, name) for name in ("fingertip", "target"))

    def answer(observation: Any, qpos: Any, action: Any, data: Any) -> tuple[Any, Any, Any]:
        apart, angles = data.xpos[:, tip] - data.xpos[:, goal], data.qpos[:, :2]
        parts = [np.cos(angles), np.sin(angles), data.qpos[:, 2:], data.qvel[:, :2], apart[:, :2]]
        reward = -_length(apart) * reward_dist_weight + -_effort(action) * reward_control_weight
        return np.concatenate(parts, -1), reward, _never(action)

    return answer


def pusher_v5(
    env: Any,
    reward_near_weight: float = 0.5,
    reward_dist_weight: float = 1,
    reward_control_weight: float = 0.1,
) -> BatchedStepFunction:
    """Return what Pusher-v5 answers."""
    tip, thing, goal = (body(env.unwrapped.model, name) for name in ("tips_arm", "object", "goal"))

    def answer(observation: Any, qpos: Any, action: Any, data: Any) -> tuple[Any, Any, Any]:
        at = data.xpos
        near = -_length(at[:, thing] - at[:, tip]) * reward_near_weight
        distance = -_length(at[:, thing] - at[:, goal]) * reward_dist_weight
        places = [at[:, tip], at[:, thing], at[:, goal]]
        seen = np.concatenate([data.qpos[:, :7], data.qvel[:, :7], *places], -1)
        return seen, distance + -_effort(action) * reward_control_weight + near, _never(action)

    return answer


def half_cheetah_v5(
    env: Any,
    forward_reward_weight: float = 1.0,
    ctrl_cost_weight: float = 0.1,
    frame_skip: int = 5,
    exclude_current_positions_from_observation: bool = True,
) -> BatchedStepFunction:
    """Return what HalfCheetah-v5 answers."""
    period, first = env.unwrapped.dt, int(exclude_current_positions_from_observation)

    def answer(observation: Any, qpos: Any, action: Any, data: Any) -> tuple[Any, Any, Any]:
        speed = (data.qpos[:, 0] - qpos[:, 0]) / period
        reward = forward_reward_weight * speed - ctrl_cost_weight * _effort(action)
        return np.concatenate([data.qpos[:, first:], data.qvel], -1), reward, _never(action)

    return answer


def hopper_v5(
    env: Any,
    forward_reward_weight: float = 1.0,
    ctrl_cost_weight: float = 1e-3,
    healthy_reward: float = 1.0,
    terminate_when_unhealthy: bool = True,
    frame_skip: int = 4,
    exclude_current_positions_from_observation: bool = True,
) -> BatchedStepFunction:
    """Return what Hopper-v5 answers, within its usual limits of health."""
    period, first = env.unwrapped.dt, int(exclude_current_positions_from_observation)

    def answer(observation: Any, qpos: Any, action: Any, data: Any) -> tuple[Any, Any, Any]:
        state = np.concatenate([data.qpos, data.qvel], -1)[:, 2:]
        healthy = ((-100.0 < state) & (state < 100.0)).all(-1) & (data.qpos[:, 1] > 0.7)
        healthy &= (data.qpos[:, 1] < INFINITY) & (np.abs(data.qpos[:, 2]) < 0.2)
        speed = (data.qpos[:, 0] - qpos[:, 0]) / period
        reward = forward_reward_weight * speed + healthy * healthy_reward
        reward = reward - ctrl_cost_weight * _effort(action)
        seen = np.concatenate([data.qpos[:, first:], np.clip(data.qvel, -10, 10)], -1)
        return seen, reward, ~healthy & terminate_when_unhealthy

    return answer


def _length(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """Return Euclidean lengths by a dot product each, as `numpy.linalg.norm` of one does."""
    lengths: NDArray[np.float64] = np.sqrt(np.vecdot(vectors, vectors))
    return lengths


def _effort(action: Shaped[np.ndarray, "n A"]) -> Shaped[np.ndarray, "n"]:
    """Return the sums of squares, in the type of the action."""
    efforts: NDArray[Any] = np.square(action).sum(-1)
    return efforts


def _never(action: Shaped[np.ndarray, "n A"]) -> NDArray[np.bool_]:
    return np.zeros(len(action), dtype=np.bool_)
