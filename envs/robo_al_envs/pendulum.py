"""Swing up and hold a pendulum: Gymnasium's Pendulum observed by its unwrapped angle.

As used by TIP (Mehta et al., Exploration via Planning for Information about the Optimal
Trajectory, 2022).
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from robo_al.types import Channel
from robo_al_envs.analytic import AnalyticEnv, Array
from robo_al_envs.arrays import namespace, wrap
from robo_al_envs.canvas import Canvas


class Pendulum(AnalyticEnv):
    """Swing up a pendulum whose motor is too weak to lift it.

    Observation (theta, omega), theta 0 upright; action: torque, N m.
    """

    channels = (Channel("angle", "rad", "angle"), Channel("angular velocity", "rad/s"))
    horizon = 200
    threshold = -150.0
    dt = 0.05
    action_limits = (2.0,)
    state_limits = (np.inf, 8.0)

    def dynamics(
        self, observation: Float[Any, "*batch 2"], action: Float[Any, "*batch 1"]
    ) -> Float[Any, "*batch 2"]:
        """Advance: omega' = clip(omega + (15 sin theta + 3 u) dt, -8, 8), theta' by omega'."""
        xp = namespace(observation)
        theta, omega, torque = observation[..., 0], observation[..., 1], action[..., 0]
        omega = xp.clip(omega + (15 * xp.sin(theta) + 3 * torque) * self.dt, -8.0, 8.0)
        return xp.stack([theta + self.dt * omega, omega], -1)

    def reward(
        self,
        observation: Float[Any, "*batch 2"],
        action: Float[Any, "*batch 1"],
        next_observation: Float[Any, "*batch 2"],
    ) -> Float[Any, "*batch"]:
        """Return -(theta'^2 + 0.1 omega'^2 + 0.001 u^2), theta' wrapped to [-pi, pi]."""
        theta, omega = wrap(next_observation[..., 0]), next_observation[..., 1]
        return -(theta**2 + 0.1 * omega**2 + 0.001 * action[..., 0] ** 2)

    def draw_start(self) -> Array:
        """Draw uniformly from [-pi, pi] x [-1, 1]."""
        return self.np_random.uniform([-np.pi, -1.0], [np.pi, 1.0])

    def draw(self, state: Array) -> NDArray[np.uint8]:
        """Draw the rod and its axle."""
        return draw_pendulum(state[0], length=1.0)


def draw_pendulum(theta: float, length: float) -> NDArray[np.uint8]:
    """Draw a rod at an angle from upright, turning clockwise as it grows."""
    canvas = Canvas(width=2.6 * length)
    tip = (length * float(np.sin(theta)), length * float(np.cos(theta)))
    canvas.line((0.0, 0.0), tip, 0.08 * length, "arm")
    canvas.disc((0.0, 0.0), 0.04 * length, "dark")
    return canvas.pixels()
