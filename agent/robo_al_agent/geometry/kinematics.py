"""Where a robot's bodies are, for given joint positions: forward kinematics with numpy alone.

    p_child = p_parent + R_parent p,   R_child = R_parent R,   then the body's joints in order:
    slide:  p += R axis (q - q_ref)
    hinge:  R' = R exp([axis] (q - q_ref)),   p += R anchor - R' anchor

as in MuJoCo (`mj_kinematics`), which URDF's joints are a special case of (anchor 0, q_ref 0).

Axes: M configurations, B bodies, J joints.
"""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from robo_al_agent.errors import SetupError
from robo_al_agent.geometry.mjcf import read_mjcf
from robo_al_agent.geometry.robot_model import Body, RobotModel, about
from robo_al_agent.geometry.urdf import read_urdf
from robo_al_agent.robot import Array


def read_model(path: Path) -> RobotModel:
    """Return what a file, MJCF or URDF, says of a robot's geometry.

    Raises:
        SetupError: there is no such file, or something in it is wrong or not supported.
    """
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except (OSError, ElementTree.ParseError, LookupError, ValueError) as error:
        raise SetupError(f"{path}: {error}") from None
    if root.tag == "mujoco":
        return read_mjcf(root, str(path))
    if root.tag == "robot":
        return read_urdf(root, str(path))
    raise SetupError(f"{path}: <{root.tag}> is neither MJCF (<mujoco>) nor URDF (<robot>)")


class Kinematics:
    """Forward kinematics of the bodies that the robot's joints move, and of what stands still.

    Bodies that hang on the world by joints of their own are objects of the scene and left out:
    nobody knows where they are.

    Args:
        model: what the file says.
        joints: names of the robot's joints, in the order of its commands.

    Raises:
        SetupError: the model lacks one of the joints, or has one more between its bodies.
    """

    def __init__(self, model: RobotModel, joints: tuple[str, ...]) -> None:
        self.model, self.joints = model, joints
        self._order = {name: index for index, name in enumerate(joints)}
        found = [joint.name for body in model.bodies for joint in body.joints]
        for name in joints:
            if found.count(name) != 1:
                raise SetupError(
                    f"{model.source}: {found.count(name)} joints are called {name}, which is a "
                    f"joint of the robot; the file's joints: {', '.join(filter(None, found))}"
                )
        self.present = self._without_scenery()
        """For each body of the model whether it is part of the robot, or stands still."""
        for body, present in zip(model.bodies, self.present, strict=True):
            for joint in body.joints if present else ():
                if joint.name not in self._order or joint.motion not in {"hinge", "slide"}:
                    raise SetupError(
                        f"{model.source}: joint {joint.name or '(unnamed)'} ({joint.motion}) of "
                        f"body {body.name} is none that the robot's driver reads, so what hangs on "
                        "it could be anywhere: make it fixed in a copy of the file for the envelope"
                    )

    def _without_scenery(self) -> tuple[bool, ...]:
        tops: list[int] = []
        """For each body the one below the world that it hangs on."""
        for index, body in enumerate(self.model.bodies):
            tops.append(tops[body.parent] if body.parent > 0 else index)
        names: dict[int, list[str]] = {top: [] for top in tops}
        for body, top in zip(self.model.bodies, tops, strict=True):
            names[top] += [joint.name for joint in body.joints]
        return tuple(
            not names[top] or any(name in self._order for name in names[top]) for top in tops
        )

    def index(self, name: str) -> int:
        """Return a body's index in the model.

        Raises:
            SetupError: there is none of this name, or it is an object of the scene.
        """
        names = [body.name for body in self.model.bodies]
        if name not in names:
            raise SetupError(f"{self.model.source}: no body {name}; there are {', '.join(names)}")
        index = names.index(name)
        if not self.present[index]:
            raise SetupError(f"{self.model.source}: body {name} is not moved by the robot's joints")
        return index

    def frame(self, name: str) -> tuple[int, Array]:
        """Return the body, and the point [3] in it, of a site, a body or a link.

        Raises:
            SetupError: there is none of this name, or two.
        """
        bodies = [body.name for body in self.model.bodies]
        if name in self.model.sites and name in bodies:
            raise SetupError(f"{self.model.source}: {name} is both a site and a body: rename one")
        if name in self.model.sites:
            body, point = self.model.sites[name]
            return self.index(bodies[body]), point
        if name not in bodies:
            known = ", ".join([*self.model.sites, *bodies])
            raise SetupError(f"{self.model.source}: no site or body {name}; there are {known}")
        return self.index(name), np.zeros(3)

    def poses(self, positions: Array) -> tuple[Array, Array]:
        """Return where all bodies are.

        Args:
            positions: [M, J] of the joints (rad or m).

        Returns:
            Positions [B, M, 3] (m) and rotations [B, M, 3, 3]; of objects of the scene, nan.
        """
        count = len(positions)
        places = np.full((len(self.model.bodies), count, 3), np.nan)
        turns = np.full((len(self.model.bodies), count, 3, 3), np.nan)
        places[0], turns[0] = 0, np.eye(3)
        for index, body in enumerate(self.model.bodies[1:], 1):
            if self.present[index]:
                place, turn = places[body.parent], turns[body.parent]
                places[index], turns[index] = self._moved(body, place, turn, positions)
        return places, turns

    def _moved(
        self, body: Body, place: Array, turn: Array, positions: Array
    ) -> tuple[Array, Array]:
        """Return place [M, 3] and turn [M, 3, 3] of a body from those of its parent."""
        place, turn = place + turn @ body.position, turn @ body.rotation
        for joint in body.joints:
            value = positions[:, self._order[joint.name]] - joint.reference
            if joint.motion == "slide":
                place = place + (turn @ joint.axis) * value[:, None]
            else:
                turned = turn @ about(joint.axis, value)
                place = place + turn @ joint.anchor - turned @ joint.anchor
                turn = turned
        return place, turn
