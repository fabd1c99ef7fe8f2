"""Push a mass over a narrow bridge between two lakes of lava to the goal behind them.

As used by BARL (Mehta et al., An Experimental Design Perspective on Model-Based Reinforcement
Learning, 2022).
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from robo_al.types import Channel
from robo_al_envs.analytic import AnalyticEnv, Array
from robo_al_envs.arrays import namespace
from robo_al_envs.canvas import Canvas

WALL = 20.0
GOAL = (0.0, 10.0)
LAVA = (((-10.0, -8.0), (-0.5, 8.0)), ((0.5, -8.0), (10.0, 8.0)))
"""Lower left and upper right corner of each lake; the shore belongs to it."""


class LavaPath(AnalyticEnv):
    """Move a point mass through the narrow path between two fields of lava.

    Observation (x, y, vx, vy); action: force on a mass of 1 kg, N. Goes on in lava.
    """

    channels = (
        Channel("position x", "m"),
        Channel("position y", "m"),
        Channel("velocity x", "m/s"),
        Channel("velocity y", "m/s"),
    )
    horizon = 200
    threshold = -30.0
    dt = 0.1
    action_limits = (1.0, 1.0)
    state_limits = (WALL, WALL, np.inf, np.inf)

    def dynamics(
        self, observation: Float[Any, "*batch 4"], action: Float[Any, "*batch 2"]
    ) -> Float[Any, "*batch 4"]:
        """Advance: p' = p + 0.1 v + 0.005 a, v' = v + 0.1 a; a wall takes the velocity into it."""
        xp = namespace(observation)
        position, velocity = observation[..., :2], observation[..., 2:]
        free = position + self.dt * velocity + 0.5 * self.dt**2 * action
        inside = xp.clip(free, -WALL, WALL)
        velocity = (velocity + self.dt * action) * (free == inside)
        return xp.concatenate([inside, velocity], -1)

    def reward(
        self,
        observation: Float[Any, "*batch 4"],
        action: Float[Any, "*batch 2"],
        next_observation: Float[Any, "*batch 4"],
    ) -> Float[Any, "*batch"]:
        """Return -norm(p' - goal)^2 / 800 - 500 [p' in lava]."""
        x, y = next_observation[..., 0], next_observation[..., 1]
        square = (x - GOAL[0]) ** 2 + (y - GOAL[1]) ** 2
        return -square / 800 - 500.0 * self.in_lava(next_observation)

    def constraint(
        self,
        observation: Float[Any, "*batch 4"],
        action: Float[Any, "*batch 2"],
        next_observation: Float[Any, "*batch 4"],
    ) -> Float[Any, "*batch"]:
        """Return 1 in lava, 0 elsewhere."""
        return 1.0 * self.in_lava(next_observation)

    def in_lava(self, observation: Float[Any, "*batch 4"]) -> Bool[Any, "*batch"]:
        """Return whether each observation is in lava."""
        x, y = observation[..., 0], observation[..., 1]
        left, right = (
            (low[0] <= x) & (x <= high[0]) & (low[1] <= y) & (y <= high[1]) for low, high in LAVA
        )
        return left | right

    def draw_start(self) -> Array:
        """Draw at rest around (0, -10), uniformly within 0.5 m each way."""
        x, y = self.np_random.uniform([-0.5, -10.5], [0.5, -9.5])
        return np.array([x, y, 0.0, 0.0])

    def draw(self, state: Array) -> NDArray[np.uint8]:
        """Draw the lakes, the goal and the mass with its velocity."""
        canvas = Canvas(width=2 * WALL)
        for low, high in LAVA:
            canvas.box(low, high, "lava")
        canvas.disc(GOAL, 0.8, "goal")
        x, y, vx, vy = state.tolist()
        canvas.line((x, y), (x + vx, y + vy), 0.15, "dark")
        canvas.disc((x, y), 0.6, "arm")
        return canvas.pixels()
