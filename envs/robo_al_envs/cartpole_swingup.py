"""Swing up a pole on a cart in MuJoCo: the cart-pole of PETS.

Chua, Calandra, McAllister and Levine, Deep Reinforcement Learning in a Handful of Trials using
Probabilistic Dynamics Models, 2018.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from robo_al.types import Channel
from robo_al_envs.arrays import namespace
from robo_al_envs.cartpole import draw_cartpole
from robo_al_envs.physics import Array, PhysicsEnv, unbounded

LENGTH = 0.6
"""Of the pole, in metres."""


class CartpoleSwingup(PhysicsEnv):
    """Swing up a pole on a cart in MuJoCo (PETS's cart-pole).

    Observation (x, theta, v, omega), theta 0 hanging; action: force / 100 N.
    """

    channels = (
        Channel("cart position", "m"),
        Channel("pole angle", "rad", "angle"),
        Channel("cart velocity", "m/s"),
        Channel("pole angular velocity", "rad/s"),
    )
    horizon = 200
    threshold = 165.0
    asset = "cartpole_swingup.xml"
    camera = "side"
    starts = {"state": unbounded(4)}
    batched = True

    def observe(
        self, qpos: Float[np.ndarray, "*batch 2"], qvel: Float[np.ndarray, "*batch 2"], data: Any
    ) -> Float[np.ndarray, "*batch 4"]:
        """Return positions and velocities."""
        return np.concatenate([qpos, qvel], -1)

    def state_of(
        self, observation: Float[np.ndarray, "*batch 4"]
    ) -> tuple[Float[np.ndarray, "*batch 2"], Float[np.ndarray, "*batch 2"]]:
        """Return positions and velocities."""
        return observation[..., :2], observation[..., 2:]

    def reward(
        self,
        observation: Float[Any, "*batch 4"],
        action: Float[Any, "*batch 1"],
        next_observation: Float[Any, "*batch 4"],
    ) -> Float[Any, "*batch"]:
        """Return exp(-d^2 / 0.36) - 0.01 u^2, d from the pole's tip to (0, 0.6) after the step."""
        xp = namespace(next_observation)
        x, theta = next_observation[..., 0], next_observation[..., 1]
        across, below = x - LENGTH * xp.sin(theta), LENGTH * xp.cos(theta) + LENGTH
        return xp.exp(-(across**2 + below**2) / LENGTH**2) - 0.01 * action[..., 0] ** 2

    def constraint(
        self,
        observation: Float[Any, "*batch 4"],
        action: Float[Any, "*batch 1"],
        next_observation: Float[Any, "*batch 4"],
    ) -> Float[Any, "*batch"]:
        """Return how far the cart is beyond 2.4 m, short of the ends of its rail at 2.5 m."""
        return abs(next_observation[..., 0]) - 2.4

    def draw_start(self) -> dict[str, Array]:
        """Draw near hanging at rest at the origin, standard deviation 0.1."""
        return {"state": self.np_random.normal(0.0, 0.1, size=4)}

    def place(self, start: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return positions and velocities."""
        return start["state"][:2], start["state"][2:]

    def draw(self) -> NDArray[np.uint8]:
        """Draw cart and pole."""
        x, theta = self.data.qpos.tolist()
        return draw_cartpole(x, theta + np.pi, LENGTH, width=5.8)
