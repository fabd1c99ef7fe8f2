"""Rewards of Gymnasium's own MuJoCo tasks, where they are functions of what is observed.

Each takes those parameters of its env for which that is so, and returns the reward.
"""

from typing import Any

from robo_al.types import RewardFunction
from robo_al_envs.arrays import namespace, norm

HALF_CHEETAH_TIMESTEP = 0.01


def reacher_v5(reward_dist_weight: float = 1, reward_control_weight: float = 1) -> RewardFunction:
    """Return the reward of Reacher-v5: -norm(tip - goal) - norm(a)^2, weighted."""

    def reward(observation: Any, action: Any, next_observation: Any) -> Any:
        distance = norm(next_observation[..., 8:10])
        return -reward_dist_weight * distance - reward_control_weight * (action**2).sum(-1)

    return reward


def pusher_v5(
    reward_near_weight: float = 0.5,
    reward_dist_weight: float = 1,
    reward_control_weight: float = 0.1,
) -> RewardFunction:
    """Return the reward of Pusher-v5: distances tip to object and object to goal, norm(a)^2."""

    def reward(observation: Any, action: Any, next_observation: Any) -> Any:
        tip, thing, goal = (next_observation[..., i : i + 3] for i in (14, 17, 20))
        near, distance = norm(thing - tip), norm(thing - goal)
        effort = reward_control_weight * (action**2).sum(-1)
        return -reward_near_weight * near - reward_dist_weight * distance - effort

    return reward


def inverted_pendulum_v5() -> RewardFunction:
    """Return the reward of InvertedPendulum-v5: 1 while the pole is within 0.2 rad."""

    def reward(observation: Any, action: Any, next_observation: Any) -> Any:
        angle = next_observation[..., 1]
        ones = namespace(angle).ones_like(angle)
        return ones * (abs(angle) <= 0.2)

    return reward


def half_cheetah_v5(
    forward_reward_weight: float = 1.0,
    ctrl_cost_weight: float = 0.1,
    frame_skip: int = 5,
    exclude_current_positions_from_observation: bool = True,
) -> RewardFunction | None:
    """Return the reward of HalfCheetah-v5, None where its position is not observed."""
    if exclude_current_positions_from_observation:
        return None
    period = HALF_CHEETAH_TIMESTEP * frame_skip

    def reward(observation: Any, action: Any, next_observation: Any) -> Any:
        speed = (next_observation[..., 0] - observation[..., 0]) / period
        return forward_reward_weight * speed - ctrl_cost_weight * (action**2).sum(-1)

    return reward
