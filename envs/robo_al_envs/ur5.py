"""Follow a circle with the joints of a UR5, by their torques: the arm of MC-PILCO.

Amadio et al., Model-Based Policy Search Using Monte Carlo Gradient Estimation With Real Systems
Application, IEEE Transactions on Robotics, 2022, and its published simulation: 12 states, 6
torques of up to 101 N m, 50 Hz, 4 s. The tip's reference is one turn of a horizontal circle of
0.1 m with the hand's orientation kept, from which inverse kinematics gives the joints'. The
original's integrates rates and drifts by up to 2 mm; ours stays on the circle. The model of the arm
is our own, see its MJCF. The original measures with noise of a standard deviation of 0.001; here
is none.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from robo_al.types import Channel
from robo_al_envs.arrays import namespace
from robo_al_envs.canvas import Canvas
from robo_al_envs.physics import ASSETS, Array, PhysicsEnv, unbounded

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3")
START = np.array([0.0, -1.48, 1.85, -0.47, 1.48, 0.0])
"""Where the joints begin, rad: the tip is at the circle's smallest x."""
RADIUS, STEPS = 0.1, 200
"""Of the circle, in m, and control steps of one turn."""
SCALES = np.array([0.5] * 6 + [1.0] * 6)
"""How far one number is from its reference where the cost is 1 - 1/e, in rad and rad/s."""
LINKS = ("shoulder", "upper_arm", "forearm", "wrist_1", "wrist_2", "wrist_3")
"""Bodies of the MJCF whose origins are drawn."""


class UR5(PhysicsEnv):
    """Track a circle in joint space with a torque-controlled UR5 (MC-PILCO's).

    Observation: 6 joint angles, 6 rates, control steps since the start; action: torques / 101 N m.
    """

    channels = (
        *(Channel(f"{name} angle", "rad") for name in JOINTS),
        *(Channel(f"{name} rate", "rad/s") for name in JOINTS),
        Channel("step", "1"),
    )
    horizon = STEPS
    threshold = None
    asset = "ur5.xml"
    substeps = 10
    camera = "view"
    starts = {"state": unbounded(12)}
    outputs = ("time",)
    batched = True

    def observe(
        self, qpos: Float[np.ndarray, "*batch 6"], qvel: Float[np.ndarray, "*batch 6"], data: Any
    ) -> Float[np.ndarray, "*batch 13"]:
        """Return angles, rates, and how many control steps there were."""
        steps = np.rint(np.reshape(data.time, qpos.shape[:-1]) / self.dt)
        return np.concatenate([qpos, qvel, steps[..., None]], -1)

    def state_of(
        self, observation: Float[np.ndarray, "*batch 13"]
    ) -> tuple[Float[np.ndarray, "*batch 6"], Float[np.ndarray, "*batch 6"]]:
        """Return angles and rates."""
        return observation[..., :6], observation[..., 6:12]

    def dynamics(
        self, observation: Float[Any, "*batch 13"], action: Float[Any, "*batch 6"]
    ) -> Float[Any, "*batch 13"]:
        """Return the next observations [...,13]; actions [...,6] are within the limits."""
        after = super().dynamics(observation, action)
        after[..., 12] = observation[..., 12] + 1  # the simulator is told of no time
        return after

    def reward(
        self,
        observation: Float[Any, "*batch 13"],
        action: Float[Any, "*batch 6"],
        next_observation: Float[Any, "*batch 13"],
    ) -> Float[Any, "*batch"]:
        """Return -(1 - exp(-d^2)), d the scaled distance from the reference after the step."""
        xp = namespace(next_observation)
        state, step = next_observation[..., :12], next_observation[..., 12]
        at = xp.clip(xp.round(xp.nan_to_num(step)), 0, STEPS)
        whole: Any = at.astype(np.int64) if xp is np else at.long()
        wanted, scales = reference(), SCALES
        if xp is not np:
            wanted, scales = state.new_tensor(wanted), state.new_tensor(scales)
        return xp.exp(-(((state - wanted[whole]) / scales) ** 2).sum(-1)) - 1

    def draw_start(self) -> dict[str, Array]:
        """Draw near the reference's first state, standard deviation 0.001."""
        return {"state": self.np_random.normal(reference()[0], 0.001)}

    def place(self, start: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return angles and rates."""
        return start["state"][:6], start["state"][6:]

    def draw(self) -> NDArray[np.uint8]:
        """Draw the arm from the side."""
        places = [(0.0, 0.0)]
        places += [tuple(self.data.body(name).xpos[[0, 2]].tolist()) for name in LINKS]
        canvas = Canvas(width=2.0)
        for start, end in zip(places, places[1:], strict=False):
            canvas.line(start, end, 0.03, "arm")
        canvas.disc(tuple(self.data.site("tip").xpos[[0, 2]].tolist()), 0.02, "lava")
        return canvas.pixels()


@cache
def reference() -> Float[np.ndarray, "201 12"]:
    """Return the joints' angles and rates after each control step; it begins at rest."""
    model = mujoco.MjModel.from_xml_path(str(ASSETS / UR5.asset))
    data, turn = mujoco.MjData(model), 2 * np.pi / STEPS
    period = UR5.substeps * float(model.opt.timestep)
    data.qpos[:] = START
    mujoco.mj_kinematics(model, data)
    first, upright = data.site("tip").xpos.copy(), data.site("tip").xmat.copy()
    states = np.zeros((STEPS + 1, 12))
    states[0, :6] = START
    for step in range(1, STEPS + 1):
        angle = np.pi + turn * step
        goal = first + RADIUS * np.array([1 + np.cos(angle), np.sin(angle), 0])
        speed = RADIUS * turn / period * np.array([-np.sin(angle), np.cos(angle), 0, 0, 0, 0])
        states[step, 6:] = np.linalg.solve(_solve(model, data, goal, upright), speed)
        states[step, :6] = data.qpos
    return states


def _solve(
    model: Any, data: Any, goal: Float[np.ndarray, "3"], upright: Float[np.ndarray, "9"]
) -> Float[np.ndarray, "6 6"]:
    """Move the joints until the tip is where it shall be, by Newton's method.

    Returns:
        The derivative of the tip's position and rotation by the joints' angles there.
    """
    place, jacobian = data.site("tip"), np.zeros((6, 6))
    for _ in range(5):
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)  # which the derivative is computed from
        mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], place.id)
        turned = upright.reshape(3, 3) @ place.xmat.reshape(3, 3).T
        off = np.array([turned[2, 1] - turned[1, 2], turned[0, 2] - turned[2, 0]])
        rotation = np.array([*off, turned[1, 0] - turned[0, 1]]) / 2
        data.qpos[:] += np.linalg.solve(jacobian, np.concatenate([goal - place.xpos, rotation]))
    return jacobian
