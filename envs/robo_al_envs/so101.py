"""An arm like the SO-101: reach a point, and push a puck to one.

An action is a velocity for each joint. The controller adds it up to targets of the servos, within
the joints' limits, and sends them there on a line of five commands, one each 0.02 s:

    target <- clip(target + action * 0.1 s, low, high)

That is also what the agent does on a real arm, so that the same policy runs there. The arm lags its
targets by about 0.075 s and sags by 0.02 rad, as a servo without integral gain does. Observed is
this lag (target - position) beside positions and rates: with it the dynamics are all but linear.

Targets are kept on a grid of 2^-40 rad. So an observation (position, lag) holds them exactly, and
a step is a function of observation and action, to the last bit.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import mujoco
import numpy as np
from gymnasium import spaces
from jaxtyping import Float
from numpy.typing import NDArray

from robo_al.errors import UserError
from robo_al.types import Channel
from robo_al_envs.arrays import namespace, norm
from robo_al_envs.canvas import Canvas, Point
from robo_al_envs.physics import Array, PhysicsEnv

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")
LOW = np.array([-1.91986, -1.74533, -1.69, -1.65806, -2.74385])
HIGH = np.array([1.91986, 1.74533, 1.69, 1.65806, 2.84121])
SPEED = 1.0
"""Largest velocity that may be commanded (rad/s)."""
SUBSTEPS = 5
"""Commands in a control period, 0.02 s each."""
GRID = 2.0**40
"""Steps of a target in one rad."""
SETTLING = 100
"""Steps of the simulation after which the arm hangs in its servos at rest."""
ACTION_COST = 0.005
"""Reward lost for one (rad/s)^2 in one step, in metres."""
HEIGHT = 0.03
"""Of the tip above the table where it pushes best (m); the puck is 0.05 m high."""
LINKS = ("shoulder", "upper_arm", "lower_arm", "wrist", "gripper")
"""Bodies of the MJCF whose origins are drawn."""


def tip(joints: Float[Any, "*batch 5"]) -> Float[Any, "*batch 3"]:
    """Return where the gripper's end is (m); NumPy arrays or torch tensors.

    Upper arm, forearm and hand move in the vertical plane that `shoulder_pan` turns, each inclined
    by the sum of the angles before it; the tip is on the axis of `wrist_roll`.
    """
    xp = namespace(joints)
    pan, upper = joints[..., 0], joints[..., 1]
    fore = upper + joints[..., 2]
    hand = fore + joints[..., 3]
    out = 0.0304 + 0.028 * xp.cos(upper) + 0.1126 * xp.sin(upper)
    out = out + 0.1349 * xp.cos(fore) + 0.1592 * xp.cos(hand)
    up = 0.1166 - 0.028 * xp.sin(upper) + 0.1126 * xp.cos(upper)
    up = up - 0.1349 * xp.sin(fore) - 0.1592 * xp.sin(hand)
    return xp.stack([out * xp.cos(pan), out * xp.sin(pan), up], -1)


def _channels(what: str, unit: str) -> tuple[Channel, ...]:
    return tuple(Channel(f"{name} {what}", unit) for name in JOINTS)


class So101(PhysicsEnv):
    """The arm, common to its tasks; action: velocity of each joint (rad/s).

    Observation: 5 positions, 5 rates, 5 lags (target - position), what is on the table, the goal.
    """

    joints: ClassVar[tuple[str, ...]] = JOINTS
    robot_command: ClassVar[Literal["position", "velocity", "action"]] = "velocity"
    arm: ClassVar[tuple[Channel, ...]] = (
        *_channels("position", "rad"),
        *_channels("rate", "rad/s"),
        *_channels("lag", "rad"),
    )
    robot_substeps: ClassVar[int] = SUBSTEPS
    horizon = 20
    asset = "so101.xml"
    camera = "view"
    outputs = ("ctrl",)
    goal: ClassVar[slice]
    """Where in an observation the goal is."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.action_space = spaces.Box(-SPEED, SPEED, (len(JOINTS),), np.float32)

    @property
    def dt(self) -> float:
        """Seconds of a control period."""
        return SUBSTEPS * self.frame_skip * float(self.model.opt.timestep)

    def robot_observation(
        self,
        positions: Float[np.ndarray, "*batch 5"],
        velocities: Float[np.ndarray, "*batch 5"],
        sensors: Float[np.ndarray, "*batch S"],
        targets: Float[np.ndarray, "*batch 5"],
        options: Mapping[str, Sequence[float]],
    ) -> Float[np.ndarray, "*batch O"]:
        """Return what the task observes of a robot.

        Args:
            positions: rad.
            velocities: rad/s.
            sensors: of what is on the table; see the task.
            targets: commanded so far, rad.
            options: of the start, the goal among them.

        Raises:
            UserError: no goal.
        """
        if "goal" not in options:
            raise UserError(f"{type(self).__name__}: the start's options {list(options)} lack goal")
        wanted = np.broadcast_to(options["goal"], (*positions.shape[:-1], len(options["goal"])))
        table = self._on_table(sensors)
        return np.concatenate([positions, velocities, targets - positions, table, wanted], -1)

    def observe(
        self, qpos: Float[np.ndarray, "*batch 7"], qvel: Float[np.ndarray, "*batch 7"], data: Any
    ) -> Float[np.ndarray, "*batch O"]:
        """Return what a robot in this state would show."""
        puck = np.concatenate([qpos[..., 5:], qvel[..., 5:]], -1)
        goal = self._start["goal"] if self._start else np.zeros(self.goal.stop - self.goal.start)
        options = {"goal": goal.tolist()}
        return self.robot_observation(qpos[..., :5], qvel[..., :5], puck, data.ctrl, options)

    def dynamics(
        self, observation: Float[Any, "*batch O"], action: Float[Any, "*batch 5"]
    ) -> Float[Any, "*batch O"]:
        """Return the next observations [...,O]; actions [...,5] are within the limits."""
        if namespace(observation) is not np:
            return super().dynamics(observation, action)
        after = observation
        for target in self._line(_on_grid(observation[..., :5] + observation[..., 10:15]), action):
            after = super().dynamics(after, target)
        after[..., self.goal] = observation[..., self.goal]
        return after

    def do_simulation(self, ctrl: Array, n_frames: int) -> None:
        """Command the targets that the velocities `ctrl` lead to."""
        for target in self._line(self.data.ctrl.copy(), ctrl):
            super().do_simulation(target, n_frames)

    def reset_model(self) -> Array:
        """Let the arm come to rest where it was commanded to; called by `reset`."""
        super().reset_model()
        self.model.site("goal").pos[:] = [*self._start["goal"], 0.0][:3]
        self.data.ctrl[:] = _on_grid(self._start["joints"])
        mujoco.mj_step(self.model, self.data, nstep=SETTLING)
        return self._observation()

    def draw(self) -> NDArray[np.uint8]:
        """Draw arm, puck and goal as seen from a corner, without perspective."""
        canvas = Canvas(width=0.8)
        canvas.line(_flat(-0.45, -0.45), _flat(0.45, -0.45), 0.003, "body")
        canvas.line(_flat(0.45, -0.45), _flat(0.45, 0.45), 0.003, "body")
        self._draw_table(canvas)
        at = [_flat(*self.data.body(name).xpos) for name in LINKS]
        at = [_flat(0.0, 0.0, 0.0), *at, _flat(*tip(self.data.qpos[:5]))]
        for start, end in zip(at, at[1:], strict=False):
            canvas.line(start, end, 0.014, "arm")
        canvas.disc(at[-1], 0.012, "lava")
        canvas.disc(_flat(*self.model.site("goal").pos), 0.014, "goal")
        return canvas.pixels()

    def _line(
        self, targets: Float[np.ndarray, "*batch 5"], action: Float[np.ndarray, "*batch 5"]
    ) -> list[Float[np.ndarray, "*batch 5"]]:
        """Return the commands of one control period."""
        end = _on_grid(np.clip(targets + action * self.dt, LOW, HIGH))
        return [targets + (end - targets) * (k / SUBSTEPS) for k in range(1, SUBSTEPS + 1)]

    def _on_table(self, sensors: Float[np.ndarray, "*batch S"]) -> Float[np.ndarray, "*batch P"]:
        """Return the part of the sensors that the task observes."""
        return sensors[..., :0]

    def _draw_table(self, canvas: Canvas) -> None:
        """Draw what is on the table."""


def _on_grid(targets: Float[np.ndarray, "*batch 5"]) -> Float[np.ndarray, "*batch 5"]:
    rounded: Array = np.round(targets * GRID) / GRID
    return rounded


def _flat(x: float, y: float, z: float = 0.0) -> Point:
    """Return where a point is in an isometric picture."""
    return 0.87 * (float(y) + float(x)), 0.5 * (float(y) - float(x)) + float(z)


class So101Reach(So101):
    """Bring the tip to a point and keep it there."""

    channels = (
        *So101.arm,
        Channel("goal x", "m", "constant"),
        Channel("goal y", "m", "constant"),
        Channel("goal z", "m", "constant"),
    )
    goal = slice(15, 18)
    threshold = -0.75
    """Nine tenths of the way from doing nothing (-2.79) to planning on the true dynamics (-0.52):
    means of 20 starts, with the planner of configs/so101_reach.yaml."""
    starts = {
        "joints": spaces.Box(LOW, HIGH, dtype=np.float64),
        "goal": spaces.Box(-0.5, 0.5, (3,), np.float64),
    }
    home = np.array([0.0, -0.3, 0.6, 0.4, 0.0])

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.model.geom("puck").conaffinity[:] = 0  # is not in this task
        self.model.geom("puck").rgba[3] = 0
        self._rest = self.model.qpos0[5:]

    def state_of(
        self, observation: Float[np.ndarray, "*batch 18"]
    ) -> tuple[Float[np.ndarray, "*batch 7"], Float[np.ndarray, "*batch 7"]]:
        """Return positions and velocities, the puck at rest out of the way."""
        rest = np.broadcast_to(self._rest, (*observation.shape[:-1], 2))
        still = np.zeros_like(rest)
        return (
            np.concatenate([observation[..., :5], rest], -1),
            np.concatenate([observation[..., 5:10], still], -1),
        )

    def reward(
        self,
        observation: Float[Any, "*batch 18"],
        action: Float[Any, "*batch 5"],
        next_observation: Float[Any, "*batch 18"],
    ) -> Float[Any, "*batch"]:
        """Return -norm(tip - goal) - 0.005 norm(a)^2, after the step."""
        apart = tip(next_observation[..., :5]) - next_observation[..., self.goal]
        return -norm(apart) - ACTION_COST * (action**2).sum(-1)

    def constraint(
        self,
        observation: Float[Any, "*batch 18"],
        action: Float[Any, "*batch 5"],
        next_observation: Float[Any, "*batch 18"],
    ) -> Float[Any, "*batch"]:
        """Return how far the tip is below 0.015 m: the finger's radius above the table."""
        return 0.015 - tip(next_observation[..., :5])[..., 2]

    def draw_start(self) -> dict[str, Array]:
        """Draw a start near home, and a goal that can be reached, 0.04 m or more up."""
        joints = self.home + self.np_random.uniform(-0.1, 0.1, 5)
        while True:
            goal = tip(self.home + self.np_random.uniform(-0.6, 0.6, 5))
            if goal[2] > 0.04:
                return {"joints": joints, "goal": goal}

    def place(self, start: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return positions and velocities, before the arm has settled."""
        return np.concatenate([start["joints"], self._rest]), np.zeros(7)


class So101Push(So101):
    """Push a puck to a place on the table; sensors: the puck's x, y (m) and velocities (m/s)."""

    channels = (
        *So101.arm,
        Channel("puck x", "m"),
        Channel("puck y", "m"),
        Channel("puck velocity x", "m/s"),
        Channel("puck velocity y", "m/s"),
        Channel("goal x", "m", "constant"),
        Channel("goal y", "m", "constant"),
    )
    goal = slice(19, 21)
    threshold = -1.05
    """0.86 of the way from doing nothing (-2.17) to planning on the true dynamics (-0.87): means of
    20 starts, with the planner of configs/so101_push.yaml. Contacts are learned only in part."""
    starts = {
        "joints": spaces.Box(LOW, HIGH, dtype=np.float64),
        "goal": spaces.Box(-0.5, 0.5, (2,), np.float64),
        "puck": spaces.Box(-0.5, 0.5, (2,), np.float64),
    }
    home = np.array([0.0, -0.36, 0.68, 0.9, 0.0])

    def state_of(
        self, observation: Float[np.ndarray, "*batch 21"]
    ) -> tuple[Float[np.ndarray, "*batch 7"], Float[np.ndarray, "*batch 7"]]:
        """Return positions and velocities."""
        return (
            np.concatenate([observation[..., :5], observation[..., 15:17]], -1),
            np.concatenate([observation[..., 5:10], observation[..., 17:19]], -1),
        )

    def reward(
        self,
        observation: Float[Any, "*batch 21"],
        action: Float[Any, "*batch 5"],
        next_observation: Float[Any, "*batch 21"],
    ) -> Float[Any, "*batch"]:
        """Return -norm(puck - goal) - norm(tip - puck) / 2 - 0.005 norm(a)^2, after the step.

        The puck counts as a point 0.03 m above the table.
        """
        xp = namespace(next_observation)
        puck, goal = next_observation[..., 15:17], next_observation[..., self.goal]
        at = tip(next_observation[..., :5])
        across = norm(at[..., :2] - puck)
        up = at[..., 2] - HEIGHT
        near = xp.sqrt(across**2 + up**2)
        return -norm(puck - goal) - 0.5 * near - ACTION_COST * (action**2).sum(-1)

    def draw_start(self) -> dict[str, Array]:
        """Draw the arm behind the puck, and a goal 0.06 to 0.1 m further out."""
        joints = self.home + self.np_random.uniform(-0.03, 0.03, 5)
        puck = np.array([0.255, 0.0]) + self.np_random.uniform(-0.02, 0.02, 2)
        away, aside = self.np_random.uniform(0.06, 0.1), self.np_random.uniform(-0.5, 0.5)
        goal = puck + away * np.array([np.cos(aside), np.sin(aside)])
        return {"joints": joints, "puck": puck, "goal": goal}

    def place(self, start: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return positions and velocities, before the arm has settled."""
        return np.concatenate([start["joints"], start["puck"]]), np.zeros(7)

    def _on_table(self, sensors: Float[np.ndarray, "*batch S"]) -> Float[np.ndarray, "*batch 4"]:
        return sensors[..., :4]

    def _draw_table(self, canvas: Canvas) -> None:
        x, y = self.data.qpos[5:]
        canvas.disc(_flat(x, y), 0.025, "dark")
