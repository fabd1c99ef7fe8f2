"""Reach a goal with an arm of two links: Gymnasium's Reacher-v5, observed by its angles.

As in Gymnasium, `tip - goal` is what MuJoCo computed for its last substep: it lags the angles.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float
from numpy.typing import NDArray

from robo_al.types import Channel
from robo_al_envs.arrays import norm
from robo_al_envs.canvas import Canvas
from robo_al_envs.physics import Array, PhysicsEnv, body, unbounded


class Reacher(PhysicsEnv):
    """Reach for random goals with a two-joint arm in MuJoCo.

    Observation: two angles, goal, two rates, tip - goal; action: torque / 200 N m of each.
    """

    channels = (
        Channel("first joint angle", "rad", "angle"),
        Channel("second joint angle", "rad", "angle"),
        Channel("goal x", "m", "constant"),
        Channel("goal y", "m", "constant"),
        Channel("first joint rate", "rad/s"),
        Channel("second joint rate", "rad/s"),
        Channel("tip - goal x", "m"),
        Channel("tip - goal y", "m"),
    )
    horizon = 50
    threshold = -5.0
    asset = "reacher.xml"
    camera = "top"
    starts = {"state": unbounded(4), "goal": spaces.Box(-0.2, 0.2, (2,), np.float64)}
    outputs = ("xpos",)
    batched = True

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self._tip, self._goal = body(self.model, "tip"), body(self.model, "goal")

    def observe(
        self, qpos: Float[np.ndarray, "*batch 4"], qvel: Float[np.ndarray, "*batch 4"], data: Any
    ) -> Float[np.ndarray, "*batch 8"]:
        """Return the joints' positions, the goal, the arm's rates, and tip - goal."""
        apart = data.xpos[..., self._tip, :2] - data.xpos[..., self._goal, :2]
        return np.concatenate([qpos, qvel[..., :2], apart], -1)

    def state_of(
        self, observation: Float[np.ndarray, "*batch 8"]
    ) -> tuple[Float[np.ndarray, "*batch 4"], Float[np.ndarray, "*batch 4"]]:
        """Return the arm's state with a goal at rest."""
        rates = observation[..., 4:6]
        return observation[..., :4], np.concatenate([rates, np.zeros_like(rates)], -1)

    def reward(
        self,
        observation: Float[Any, "*batch 8"],
        action: Float[Any, "*batch 2"],
        next_observation: Float[Any, "*batch 8"],
    ) -> Float[Any, "*batch"]:
        """Return -norm(tip - goal) - norm(a)^2, after the step."""
        return -norm(next_observation[..., 6:8]) - (action**2).sum(-1)

    def draw_start(self) -> dict[str, Array]:
        """Draw as Reacher-v5: angles within 0.1, rates within 0.005, goal in a disc of 0.2 m."""
        angles = self.np_random.uniform(-0.1, 0.1, size=4)[:2]
        while True:
            goal = self.np_random.uniform(-0.2, 0.2, size=2)
            if np.linalg.norm(goal) < 0.2:
                break
        rates = self.np_random.uniform(-0.005, 0.005, size=4)[:2]
        return {"state": np.concatenate([angles, rates]), "goal": goal}

    def place(self, start: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return positions and velocities, the goal at rest."""
        state, goal = start["state"], start["goal"]
        return np.concatenate([state[:2], goal]), np.concatenate([state[2:], np.zeros(2)])

    def draw(self) -> NDArray[np.uint8]:
        """Draw arm and goal."""
        first, second, x, y = self.data.qpos.tolist()
        elbow = (0.1 * float(np.cos(first)), 0.1 * float(np.sin(first)))
        tip = (
            elbow[0] + 0.11 * float(np.cos(first + second)),
            elbow[1] + 0.11 * float(np.sin(first + second)),
        )
        canvas = Canvas(width=0.5)
        canvas.disc((x, y), 0.012, "goal")
        canvas.line((0.0, 0.0), elbow, 0.01, "arm")
        canvas.line(elbow, tip, 0.01, "arm")
        canvas.disc((0.0, 0.0), 0.006, "dark")
        canvas.disc(tip, 0.008, "lava")
        return canvas.pixels()
