"""Rewards of eight tasks of the DeepMind Control Suite, as functions of what they observe.

Tassa et al., DeepMind Control Suite, 2018; lengths and bounds are those of its MJCF and tasks
(dm_control 1.0.50). Each is the reward of one control step, for NumPy arrays and torch tensors of
any batch. Where the suite asks for a cosine from a bound to 1, only the bound is looked at, and of
a distance only how large it is: that a model predicts a cosine above 1 is not to cost a reward.
"""

import math
from typing import Any

from robo_al.types import RewardFunction
from robo_al_envs.arrays import namespace, norm
from robo_al_envs.pendulum_penalty import tolerance

UPRIGHT = math.cos(math.radians(8))
"""Cosine from which the pendulum counts as upright."""
FINGER = 0.01
"""Radius of the reacher's finger, m."""
BALL_MARGIN = 0.05 - 0.025
"""How far the ball may be from the middle of the cup: half of its size, less the ball's radius."""
CUP_ABOVE_BALL = 0.6 - 0.05 - 0.2
"""Height of the cup's middle over the ball where all joints are at 0, m."""
SPIN = 15.0
"""Rate at which the body counts as spinning, rad/s."""


def cartpole_swingup(observation: Any, action: Any, next_observation: Any) -> Any:
    """Return how upright, slow and central, and with how little force; position, then velocity."""
    position, cosine, rate = (next_observation[..., i] for i in (0, 1, 4))
    effort = namespace(action).clip(1 - action[..., 0] ** 2, 0, 1)
    centred = (1 + tolerance(position, 0.0, 0.0, 2.0)) / 2
    slow = (1 + tolerance(rate, 0.0, 0.0, 5.0)) / 2
    return (cosine + 1) / 2 * ((4 + effort) / 5) * slow * centred


def cartpole_swingup_sparse(observation: Any, action: Any, next_observation: Any) -> Any:
    """Return 1 where the pole is upright and the cart within 0.25 m of the middle."""
    position, cosine = next_observation[..., 0], next_observation[..., 1]
    return _indicator((abs(position) <= 0.25) & (cosine >= 0.995), cosine)


def pendulum_swingup(observation: Any, action: Any, next_observation: Any) -> Any:
    """Return 1 where the pole is within 8 degrees of upright."""
    cosine = next_observation[..., 0]
    return _indicator(cosine >= UPRIGHT, cosine)


def ball_in_cup_catch(observation: Any, action: Any, next_observation: Any) -> Any:
    """Return 1 where the ball is in the cup; the joints of the cup and of the ball are observed."""
    across = next_observation[..., 0] - next_observation[..., 2]
    below = next_observation[..., 1] - next_observation[..., 3] + CUP_ABOVE_BALL
    return _indicator((abs(across) < BALL_MARGIN) & (abs(below) < BALL_MARGIN), across)


def finger_spin(observation: Any, action: Any, next_observation: Any) -> Any:
    """Return 1 where the body's hinge turns backwards faster than `SPIN`."""
    rate = next_observation[..., 6]
    return _indicator(rate <= -SPIN, rate)


def acrobot_swingup(observation: Any, action: Any, next_observation: Any) -> Any:
    """Return how near the tip is to 2 m above the shoulder; two links are observed."""
    xp = namespace(next_observation)
    across = next_observation[..., 0] + next_observation[..., 1]
    below = next_observation[..., 2] + next_observation[..., 3] - 2
    return tolerance(norm(xp.stack([across, below], -1)), 0.0, 0.2, 1.0)


def _reacher(target: float) -> RewardFunction:
    """Return the reward for a finger that touches a target of a radius (m)."""

    def reward(observation: Any, action: Any, next_observation: Any) -> Any:
        distance = norm(next_observation[..., 2:4])
        return _indicator(distance <= target + FINGER, distance)

    return reward


def _indicator(truth: Any, like: Any) -> Any:
    """Return 1 where something holds and else 0, of the type of other numbers."""
    return namespace(like).ones_like(like) * truth


REWARDS: dict[str, RewardFunction] = {
    "acrobot-swingup": acrobot_swingup,
    "ball_in_cup-catch": ball_in_cup_catch,
    "cartpole-swingup": cartpole_swingup,
    "cartpole-swingup_sparse": cartpole_swingup_sparse,
    "finger-spin": finger_spin,
    "pendulum-swingup": pendulum_swingup,
    "reacher-easy": _reacher(0.05),
    "reacher-hard": _reacher(0.015),
}
"""By the name of the task."""
