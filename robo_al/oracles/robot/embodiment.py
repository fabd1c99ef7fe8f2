"""The task on one robot: what its actions command there, and what it observes of samples.

What the host knows of a robot is what the agent says: samples of joints and sensors. The task says
how they are observed and what its actions command (`SupportsRobot`); of a Gymnasium env that the
agent itself steps, the sensors are the observation.

Axes: T steps, J joints, A action, O observation.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from robo_al.errors import UserError
from robo_al.protocols import SupportsRobot
from robo_al.types import Candidate, Task
from robo_al_agent.devices.calibration import Rate

Array = NDArray[np.float64]
ENDINGS = ("terminated", "truncated")
"""Sensors of a robot that says by itself when a rollout is over."""


class Embodiment:
    """Translates between the task's actions and observations and the robot's joints and sensors.

    Args:
        task: what is to be done.
        robot: how the task is done on a robot; None where it does not say.
        spec: what the agent says of its robot: the fields of a `robo_al_agent.robot.RobotSpec`.
        rate: how fast the robot was measured to take commands.

    Raises:
        UserError: the robot is not one that the task can use.
    """

    def __init__(
        self, task: Task, robot: SupportsRobot | None, spec: Mapping[str, Any], rate: Rate
    ) -> None:
        self.task = task
        self.name = str(spec["name"])
        """Of the robot."""
        self.joints = tuple(str(joint["name"]) for joint in spec["joints"])
        self.sensors = tuple(str(sensor["name"]) for sensor in spec["sensors"])
        low = np.array([joint["low"] for joint in spec["joints"]])
        high = np.array([joint["high"] for joint in spec["joints"]])
        self.limits = (low, high)
        """[J] and [J], in each joint's unit."""
        self.substeps = 1 if robot is None else robot.robot_substeps
        """Commands in one control period."""
        self.command = "action" if robot is None else robot.robot_command
        """What an action is: `position`, `velocity` or `action`."""
        self._robot = robot
        said = ("reward", *ENDINGS)
        self._observed = [i for i, name in enumerate(self.sensors) if name not in said]
        """Sensors that are observations where the task does not say how samples are observed."""
        wrong = self._mismatch(str(spec["command"]))
        if wrong is None and self.between < rate.shortest_period:
            wrong = (
                f"the task commands every {self.between:g} s; this robot takes commands "
                f"{rate.shortest_period:.4f} s apart at least"
            )
        if wrong is not None:
            raise UserError(f"oracle robot: {wrong}")

    @property
    def between(self) -> float:
        """Return the seconds between two commands."""
        return self.task.control_period / self.substeps

    def first_target(self, candidate: Candidate) -> Array:
        """Return the pose [J] that a rollout begins at; empty where its context has none."""
        return np.array(candidate.context.options.get("joints", ()), np.float64)

    def targets(self, start: Array, actions: Float[np.ndarray, "T A"]) -> Array:
        """Return what actions command [T, J] from a pose [J]."""
        clipped: Array = np.clip(actions, self.task.action_low, self.task.action_high)
        if self.command != "velocity":
            return clipped
        targets, target = np.empty_like(clipped), start
        for k, action in enumerate(clipped):
            target = self._after(target, action)
            targets[k] = target
        return targets

    def target(self, before: Array, action: Float[np.ndarray, " A"]) -> Array:
        """Return what one action commands [J] after the target before it."""
        target: Array = self.targets(before, action[None])[0]
        return target

    def actions(self, start: Array, sent: Float[np.ndarray, "T J"]) -> Array:
        """Return the actions [T, A] that explain what was sent after a pose [J]."""
        if self.command != "velocity":
            return sent
        before = np.concatenate([start[None], sent])[:-1]
        moved: Array = (sent - before) / self.task.control_period
        return moved

    def observe(
        self, arrays: Mapping[str, NDArray[Any]], targets: Array, options: Mapping[str, Any]
    ) -> Array:
        """Return what the task observes [..., O].

        Args:
            arrays: measured `positions`, `velocities` [..., J] and `sensors` [..., S].
            targets: [..., J] commanded last.
            options: of the context that the rollout started from.
        """
        if self._robot is None:
            sensed: Array = arrays["sensors"][..., self._observed]
            return sensed
        observed: Array = self._robot.robot_observation(  # type: ignore[no-untyped-call]
            arrays["positions"], arrays["velocities"], arrays["sensors"], targets, options
        )
        return observed

    def try_observing(self, options: Mapping[str, Any]) -> None:
        """Try what the task observes, on one reading and on two, before anything moves.

        Args:
            options: of a context of the task.

        Raises:
            ValueError: it is not what the task's env observes.
        """
        size, joints = len(self.task.channels), len(self.joints)
        for several in ((), (2,)):
            shapes = {"positions": joints, "velocities": joints, "sensors": len(self.sensors)}
            arrays = {name: np.zeros((*several, width)) for name, width in shapes.items()}
            shape = np.shape(self.observe(arrays, np.zeros((*several, joints)), options))
            if shape != (*several, size):
                raise ValueError(
                    f"of readings of shape {(*several, joints)} it observes {shape}; the env "
                    f"observes {(*several, size)}"
                )

    def measured_rewards(self, sensors: Array) -> Array | None:
        """Return the rewards [T] that the robot measures; None where it measures none."""
        if "reward" not in self.sensors:
            return None
        return np.array(sensors[1:, self.sensors.index("reward")], np.float64)

    def said(self, name: str, sensors: Array) -> Bool[np.ndarray, " T"]:
        """Return after which steps a sensor said yes; one that the robot lacks never does."""
        if name not in self.sensors:
            return np.zeros(len(sensors) - 1, bool)
        said: NDArray[np.bool_] = sensors[1:, self.sensors.index(name)] > 0.5
        return said

    def _after(self, target: Array, velocity: Array) -> Array:
        """Return the next target, which stays within the joints' limits."""
        moved: Array = np.clip(target + velocity * self.task.control_period, *self.limits)
        return moved

    def _mismatch(self, command: str) -> str | None:
        """Return why the task cannot use a robot that takes such commands."""
        robot, name, env = self._robot, self.name, self.task.env.name
        if robot is None:
            channels, actions = len(self.task.channels), len(self.task.action_low)
            if command != "action":
                return (
                    f"env {env} does not say how it is done on a robot; give it `joints`,"
                    " `robot_command` and `robot_observation`"
                )
            if len(self._observed) != channels or len(self.joints) != actions:
                return (
                    f"{name} has {len(self._observed)} sensors and {len(self.joints)} joints; env "
                    f"{env} has {channels} observations and {actions} actions"
                )
            return None
        if command == "action" and robot.robot_command != "action":
            return f"{name} takes actions, and env {env} commands {robot.robot_command}"
        if tuple(robot.joints) != self.joints:
            return (
                f"env {env} has the joints {', '.join(robot.joints)}; {name} has "
                f"{', '.join(self.joints)}, in this order"
            )
        return None
