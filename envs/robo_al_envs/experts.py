"""Scripted experts, for the oracle `expert`: they show our tasks in the place of a person."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from robo_al_envs.so101 import SPEED, tip

Array = NDArray[np.float64]


class So101ReachExpert:
    """Moves the tip of the SO-101 straight to the goal, by damped least squares.

    With J the derivative of the tip by the joints and e how far the goal is from the tip,

        velocity = J' (J J' + 0.1^2 I)^-1 GAIN e

    A person is not exact: each demonstration is done with a gain of its own.
    """

    damping = 0.1
    """m/rad"""

    def reset(self, seed: int) -> None:
        """Draw how fast this demonstration is."""
        self._gain = np.random.default_rng(seed).uniform(4.0, 6.0)  # 1/s

    def act(self, observation: Float[np.ndarray, "18"]) -> Float[np.ndarray, "5"]:
        """Return velocities of the joints (rad/s)."""
        joints = observation[:5] + observation[10:15]  # what was commanded, ahead of the arm
        small = 1e-5 * np.eye(5)
        jacobian = (tip(joints + small) - tip(joints - small)).T / 2e-5
        apart = observation[15:18] - tip(joints)
        damped = jacobian @ jacobian.T + self.damping**2 * np.eye(3)
        velocity: Array = jacobian.T @ np.linalg.solve(damped, self._gain * apart)
        return np.clip(velocity, -SPEED, SPEED)


class ReacherExpert:
    """Turns the arm of `reacher` to where its tip is at the goal, as a spring with a damper would.

    Of the two postures that reach the goal, it takes the one with the elbow to the left.
    """

    links = (0.1, 0.11)
    """m"""
    stiffness, damping = 0.4, 0.06
    """Of actions by rad, and by rad/s."""

    def reset(self, seed: int) -> None:
        """Begin; it always does the same."""

    def act(self, observation: Float[np.ndarray, "8"]) -> Float[np.ndarray, "2"]:
        """Return the actions."""
        wanted = self._posture(observation[2:4])
        apart = (wanted - observation[:2] + np.pi) % (2 * np.pi) - np.pi
        action: Array = self.stiffness * apart - self.damping * observation[4:6]
        return np.clip(action, -1.0, 1.0)

    def _posture(self, goal: Float[np.ndarray, "2"]) -> Float[np.ndarray, "2"]:
        """Return the angles at which the tip is at the goal, or as near as it can be."""
        first, second = self.links
        distance = np.clip(np.linalg.norm(goal), second - first + 1e-3, first + second - 1e-3)
        elbow = np.arccos((distance**2 - first**2 - second**2) / (2 * first * second))
        turned = np.arctan2(second * np.sin(elbow), first + second * np.cos(elbow))
        return np.array([np.arctan2(goal[1], goal[0]) - turned, elbow])
