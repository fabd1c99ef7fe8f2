"""The simulated robot of the twin: a MuJoCo model, and where its servos are sent over time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robo_al_agent.errors import SetupError
from robo_al_agent.robot import Array, Joint, Sensor

BRAKING = 0.25
"""Seconds within which a stop brings the servos' targets to rest."""
LEAD = 0.1
"""How far from its joint a target may be when braking begins (rad or m)."""
SETTLING = 1.0
"""Simulated seconds that the scene is given to come to rest after a reset."""
MOVING = 0.05
"""Speed from which a joint counts as moving (rad/s or m/s)."""


@dataclass
class Motion:
    """The servos' targets on their way: evenly to a place, or braking to rest.

    With s = age / seconds, the target is start + change * s, or start + change * (2 s - s^2).
    """

    start: Array
    """[J]"""
    change: Array
    """[J]"""
    seconds: float
    braking: bool = False
    age: float = 0.0

    @property
    def share(self) -> float:
        """How much of its time is over, 0 to 1."""
        return min(1.0, self.age / self.seconds) if self.seconds > 0 else 1.0

    @property
    def value(self) -> Array:
        """[J] the target now."""
        s = self.share
        return self.start + self.change * (2 * s - s * s if self.braking else s)


class Scene:
    """A MuJoCo model whose joints are driven by position servos.

    Args:
        path: the MJCF.

    Raises:
        SetupError: MuJoCo is missing, the file cannot be read, or an actuator is no such servo.
    """

    def __init__(self, path: Path) -> None:
        try:
            import mujoco
        except ModuleNotFoundError:
            raise SetupError(
                "the twin needs MuJoCo: pip install 'robo-al-agent[twin]' into this environment"
            ) from None
        self._mujoco: Any = mujoco
        try:
            self.model = mujoco.MjModel.from_xml_path(str(path))
        except ValueError as error:
            raise SetupError(f"{path}: {error}") from None
        self.model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
        self.data = mujoco.MjData(self.model)
        self._indices = [self._servo(path, index) for index in range(self.model.nu)]
        if not self._indices:
            raise SetupError(f"{path}: no actuator; each joint of the robot needs a <position>")
        self._gains = self.model.actuator_gainprm.copy(), self.model.actuator_biasprm.copy()
        self._qpos = self.model.jnt_qposadr[self._indices]
        self._qvel = self.model.jnt_dofadr[self._indices]
        self.low, self.high = self.model.actuator_ctrlrange.T.copy()
        self.powered = True
        self.data.ctrl[:] = self.data.qpos[self._qpos]
        self.reset({})

    @property
    def timestep(self) -> float:
        """Simulated seconds of a step."""
        return float(self.model.opt.timestep)

    @property
    def positions(self) -> Array:
        """[J] of the joints."""
        return np.array(self.data.qpos[self._qpos])

    @property
    def velocities(self) -> Array:
        """[J] of the joints."""
        return np.array(self.data.qvel[self._qvel])

    @property
    def moving(self) -> bool:
        """Whether a joint moves, or is being sent somewhere."""
        return self._motion.share < 1 or bool((np.abs(self.velocities) > MOVING).any())

    def joints(self) -> list[Joint]:
        """Return what the MJCF says of the joints, in the order of its actuators."""
        forces = self.model.actuator_forcerange.max(1)
        limited = self.model.actuator_forcelimited
        return [
            Joint(
                self.model.joint(index).name,
                float(self.low[i]),
                float(self.high[i]),
                self._unit(index),
                effort=float(forces[i]) if limited[i] else math.inf,
            )
            for i, index in enumerate(self._indices)
        ]

    def sensors(self) -> list[Sensor]:
        """Return the components of the MJCF's sensors, in its order."""
        found = []
        for index in range(self.model.nsensor):
            name, unit = self.model.sensor(index).name, self._sensor_unit(index)
            size = int(self.model.sensor_dim[index])
            names = [name] if size == 1 else [f"{name}[{i}]" for i in range(size)]
            found += [Sensor(each, unit) for each in names]
        return found

    def measure(self) -> tuple[Array, Array, Array, Array]:
        """Return positions [J], velocities [J], efforts [J] and sensors [S] of this instant."""
        self._mujoco.mj_forward(self.model, self.data)
        data = self.data
        return self.positions, self.velocities, data.actuator_force.copy(), data.sensordata.copy()

    def advance(self) -> None:
        """Simulate one step."""
        self._motion.age += self.timestep
        self.data.ctrl[:] = np.clip(self._motion.value, self.low, self.high)
        self._mujoco.mj_step(self.model, self.data)

    def move(self, target: Array, seconds: float) -> Array:
        """Send the servos evenly to a target [J] in `seconds`; return it within the limits."""
        target = np.clip(target, self.low, self.high)
        start = np.array(self.data.ctrl)
        self._motion = Motion(start, target - start, seconds)
        return target

    def brake(self) -> None:
        """Bring the servos to rest from the joints' present speed, and hold them there."""
        at = self.positions
        start = np.clip(self.data.ctrl, at - LEAD, at + LEAD)
        change = self.velocities * BRAKING / 2
        self._motion = Motion(start, change, BRAKING, braking=True)

    def power(self, on: bool) -> None:
        """Switch torque; when it comes on, the servos hold where the joints are."""
        if on and not self.powered:
            self.data.ctrl[:] = np.clip(self.positions, self.low, self.high)
            self._rest()
        gain, bias = self._gains
        self.model.actuator_gainprm[:] = gain * on
        self.model.actuator_biasprm[:] = bias * on
        self.powered = on

    def reset(self, options: Mapping[str, Sequence[float]]) -> None:
        """Put the scene at a start, and let it come to rest.

        Args:
            options: `joints` [J] is where the servos are sent (where it is missing, they stay). Any
                other name is that of a body, whose slides and hinges are set, or of a site, whose
                place is.

        Raises:
            ValueError: nothing has this name, or it takes another count of numbers.
        """
        joints = np.array(options.get("joints", self.data.ctrl), np.float64)
        if joints.shape != self.low.shape:
            raise ValueError(f"reset: joints has {joints.size} numbers, the robot {len(self.low)}")
        placed = [
            (self._place(name, len(values)), values)
            for name, values in options.items()
            if name != "joints"
        ]
        self._mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self._qpos] = self.data.ctrl[:] = np.clip(joints, self.low, self.high)
        for (field, at), values in placed:
            field[at] = values
        self._rest()
        self._mujoco.mj_step(self.model, self.data, nstep=round(SETTLING / self.timestep))

    def _rest(self) -> None:
        """Leave the servos' targets where they are."""
        self._motion = Motion(self.data.ctrl.copy(), np.zeros(len(self.low)), 0.0)

    def _place(self, name: str, count: int) -> tuple[Array, Any]:
        """Return the field, and where in it, that a reset's option of `count` numbers sets."""
        kind, model = self._mujoco.mjtObj, self.model
        body = self._mujoco.mj_name2id(model, kind.mjOBJ_BODY, name)
        site = self._mujoco.mj_name2id(model, kind.mjOBJ_SITE, name)
        if body >= 0 and model.body_dofnum[body] == model.body_jntnum[body] == count:
            return self.data.qpos, model.jnt_qposadr[model.body_jntadr[body] :][:count]
        if site >= 0 and count <= 3:
            return model.site_pos[site], slice(count)
        raise ValueError(
            f"reset: {name!r} is no body with {count} slides or hinges and no site of this scene"
        )

    def _servo(self, path: Path, index: int) -> int:
        """Return the joint that an actuator drives."""
        model, types = self.model, self._mujoco.mjtJoint
        gain, bias = model.actuator_gainprm[index], model.actuator_biasprm[index]
        joint = int(model.actuator_trnid[index, 0])
        if (
            int(model.actuator_trntype[index]) != int(self._mujoco.mjtTrn.mjTRN_JOINT)
            or gain[0] <= 0
            or bias[1] != -gain[0]
            or not model.actuator_ctrllimited[index]
            or int(model.jnt_type[joint]) not in (int(types.mjJNT_HINGE), int(types.mjJNT_SLIDE))
        ):
            raise SetupError(
                f"{path}: actuator {model.actuator(index).name or index} is no <position> servo "
                "of a hinge or slide with a ctrlrange"
            )
        return joint

    def _unit(self, joint: int) -> str:
        slide = int(self._mujoco.mjtJoint.mjJNT_SLIDE)
        return "m" if int(self.model.jnt_type[joint]) == slide else "rad"

    def _sensor_unit(self, index: int) -> str:
        """Return the unit of a sensor; `1` where it has none or is not known here."""
        kind = self._mujoco.mjtSensor(int(self.model.sensor_type[index])).name
        if kind in ("mjSENS_JOINTPOS", "mjSENS_JOINTVEL"):
            unit = self._unit(int(self.model.sensor_objid[index]))
            return unit if kind.endswith("POS") else f"{unit}/s"
        known = {"mjSENS_FRAMEPOS": "m", "mjSENS_FORCE": "N", "mjSENS_TORQUE": "N m"}
        return known.get(kind, "1")
