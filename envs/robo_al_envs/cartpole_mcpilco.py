"""Swing up a pole on a cart in 3 s, the cart where it began: the cart-pole of MC-PILCO.

Amadio et al., Model-Based Policy Search Using Monte Carlo Gradient Estimation With Real Systems
Application, IEEE Transactions on Robotics, 2022. Here theta is 0 hanging. The force is held for
0.05 s, in which the equations of motion are integrated by Runge and Kutta's method of order four,
close to their solution. The original measures with noise of a standard deviation of 0.01; here is
none.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from robo_al.types import Channel
from robo_al_envs.analytic import AnalyticEnv, Array
from robo_al_envs.arrays import namespace
from robo_al_envs.cartpole import draw_cartpole

CART, POLE, LENGTH, FRICTION, GRAVITY = 0.5, 0.5, 0.5, 0.1, 9.81
"""Masses in kg, length in m, friction of the cart in N s/m, gravity in m/s^2."""
ANGLE_SCALE, POSITION_SCALE = 3.0, 1.0
"""How far from the goal the cost is 1 - 1/e, in rad and m."""
SUBSTEPS = 10
"""Steps of the integration in a control period."""


class CartpoleMCPILCO(AnalyticEnv):
    """Swing up a pole and bring the cart back, within 3 s (MC-PILCO's cart-pole).

    Observation (x, v, theta, omega), theta 0 hanging; action: force, N.
    """

    channels = (
        Channel("cart position", "m"),
        Channel("cart velocity", "m/s"),
        Channel("pole angle", "rad", "angle"),
        Channel("pole angular velocity", "rad/s"),
    )
    horizon = 60
    threshold = None
    dt = 0.05
    action_limits = (10.0,)
    state_limits = (np.inf, np.inf, np.inf, np.inf)

    def dynamics(
        self, observation: Float[Any, "*batch 4"], action: Float[Any, "*batch 1"]
    ) -> Float[Any, "*batch 4"]:
        """Advance by the equations of motion, the force held."""
        state, force, step = observation, action[..., 0], self.dt / SUBSTEPS
        for _ in range(SUBSTEPS):
            first = _rates(state, force)
            second = _rates(state + step / 2 * first, force)
            third = _rates(state + step / 2 * second, force)
            last = _rates(state + step * third, force)
            state = state + step / 6 * (first + 2 * second + 2 * third + last)
        return state

    def reward(
        self,
        observation: Float[Any, "*batch 4"],
        action: Float[Any, "*batch 1"],
        next_observation: Float[Any, "*batch 4"],
    ) -> Float[Any, "*batch"]:
        """Return -(1 - exp(-((abs(theta) - pi) / 3)^2 - x^2)) of the state after the step."""
        xp = namespace(next_observation)
        x, theta = next_observation[..., 0], next_observation[..., 2]
        turned = (abs(theta) - np.pi) / ANGLE_SCALE
        return xp.exp(-(turned**2) - (x / POSITION_SCALE) ** 2) - 1

    def draw_start(self) -> Array:
        """Draw near hanging at rest at the origin, standard deviation 0.01."""
        return self.np_random.normal(0.0, 0.01, size=4)

    def draw(self, state: Array) -> NDArray[np.uint8]:
        """Draw cart and pole."""
        return draw_cartpole(state[0], state[2] + np.pi, LENGTH, width=4.0)


def _rates(state: Float[Any, "*batch 4"], force: Float[Any, "*batch"]) -> Float[Any, "*batch 4"]:
    """Return the time derivatives of the state."""
    xp = namespace(state)
    v, theta, omega = (state[..., i] for i in (1, 2, 3))
    sine, cosine = xp.sin(theta), xp.cos(theta)
    total, pull = CART + POLE, force - FRICTION * v
    swing = POLE * LENGTH * omega**2 * sine
    share = 4 * total - 3 * POLE * cosine**2
    v_dot = (2 * swing + 3 * POLE * GRAVITY * sine * cosine + 4 * pull) / share
    omega_dot = -3 * swing * cosine - 6 * total * GRAVITY * sine - 6 * pull * cosine
    return xp.stack([v, v_dot, omega, omega_dot / (LENGTH * share)], -1)
