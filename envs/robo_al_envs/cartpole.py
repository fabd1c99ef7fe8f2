"""Swing up a pole on a cart with few long steps: the cart-pole of PILCO v0.9.

Deisenroth and Rasmussen, PILCO: A Model-Based and Data-Efficient Approach to Policy Search, 2011;
here theta is 0 upright and a step is one explicit Euler step of 0.1 s. As in the benchmark of BARL
and TIP, the reward takes the pole's tip to be at x + l sin theta, although in the equations of
motion theta turns it the other way; at the goal both say the same.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from robo_al.types import Channel
from robo_al_envs.analytic import AnalyticEnv, Array
from robo_al_envs.arrays import namespace
from robo_al_envs.canvas import Canvas

CART, POLE, LENGTH, FRICTION, GRAVITY = 0.5, 0.5, 0.6, 0.1, 9.82
"""Masses in kg, length in m, friction of the cart in N s/m, gravity in m/s^2."""
FORCE = 10.0
"""Newton at action 1."""
WIDTH = 0.25
"""Metres from the goal at which the reward is -(1 - exp(-1/2))."""


class CartpolePILCO(AnalyticEnv):
    """Swing up a pole on a cart and keep it upright (PILCO's cart-pole).

    Observation (x, v, theta, omega), theta 0 upright; action: force / 10 N.
    """

    channels = (
        Channel("cart position", "m"),
        Channel("cart velocity", "m/s"),
        Channel("pole angle", "rad", "angle"),
        Channel("pole angular velocity", "rad/s"),
    )
    horizon = 25
    threshold = -12.5
    dt = 0.1
    action_limits = (1.0,)
    state_limits = (np.inf, np.inf, np.inf, np.inf)

    def dynamics(
        self, observation: Float[Any, "*batch 4"], action: Float[Any, "*batch 1"]
    ) -> Float[Any, "*batch 4"]:
        """Advance by one explicit Euler step of the cart-pole's equations of motion."""
        xp = namespace(observation)
        x, v, theta, omega = (observation[..., i] for i in range(4))
        sine, cosine = xp.sin(theta), xp.cos(theta)
        total, pull = CART + POLE, FORCE * action[..., 0] - FRICTION * v
        swing = POLE * LENGTH * omega**2 * sine
        share = 4 * total - 3 * POLE * cosine**2
        v_dot = (-2 * swing + 3 * POLE * GRAVITY * sine * cosine + 4 * pull) / share
        omega_dot = (-3 * swing * cosine + 6 * total * GRAVITY * sine + 6 * pull * cosine) / (
            LENGTH * share
        )
        return xp.stack(
            [x + self.dt * v, v + self.dt * v_dot, theta + self.dt * omega]
            + [omega + self.dt * omega_dot],
            -1,
        )

    def reward(
        self,
        observation: Float[Any, "*batch 4"],
        action: Float[Any, "*batch 1"],
        next_observation: Float[Any, "*batch 4"],
    ) -> Float[Any, "*batch"]:
        """Return -(1 - exp(-d^2 / (2 0.25^2))), d from the pole's tip to (0, l) after the step."""
        xp = namespace(next_observation)
        x, theta = next_observation[..., 0], next_observation[..., 2]
        across = x + LENGTH * xp.sin(theta)
        below = LENGTH * xp.cos(theta) - LENGTH
        return xp.exp(-(across**2 + below**2) / (2 * WIDTH**2)) - 1

    def draw_start(self) -> Array:
        """Draw near hanging at rest at the origin, standard deviation 0.02."""
        return self.np_random.normal([0.0, 0.0, np.pi, 0.0], 0.02)

    def draw(self, state: Array) -> NDArray[np.uint8]:
        """Draw cart and pole, turned as the equations of motion have it."""
        return draw_cartpole(state[0], -state[2], LENGTH, width=4.0)


def draw_cartpole(x: float, theta: float, length: float, width: float) -> NDArray[np.uint8]:
    """Draw a cart at x and its pole at an angle from upright, on `width` metres of rail."""
    canvas = Canvas(width)
    tip = (float(x + length * np.sin(theta)), float(length * np.cos(theta)))
    canvas.line((-width, -0.12), (width, -0.12), 0.01, "dark")
    canvas.disc((0.0, length), 0.05, "goal")
    canvas.box((x - 0.2, -0.1), (x + 0.2, 0.1), "body")
    canvas.line((x, 0.0), tip, 0.04, "arm")
    canvas.disc((x, 0.0), 0.025, "dark")
    return canvas.pixels()
