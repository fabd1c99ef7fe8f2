"""Reads a robot's geometry from MuJoCo's XML (MJCF).

Taken: bodies, joints, geoms, sites, default classes, `compiler` angle and eulerseq, and poses by
pos, quat, axisangle, xyaxes or euler. What cannot move or shape the robot is passed over (cameras,
lights, inertias, actuators); what could and is not supported is refused by name.

A geom that MuJoCo lets collide with nothing (contype and conaffinity 0) has no collision shape.
Beyond that, MuJoCo's masks and `contact` sections are not looked at: every shape counts.
Reference: https://mujoco.readthedocs.io/en/stable/XMLreference.html
"""

from collections.abc import Mapping
from typing import NoReturn, TypeAlias
from xml.etree.ElementTree import Element

import numpy as np

from robo_al_agent.errors import SetupError
from robo_al_agent.geometry.robot_model import (
    Body,
    Capsule,
    ModelJoint,
    Plane,
    RobotModel,
    about,
    described,
    enclosing,
    from_euler,
    from_quaternion,
    normalised,
    numbers,
)
from robo_al_agent.robot import Array

Attributes: TypeAlias = dict[str, str]
Class: TypeAlias = Mapping[str, Attributes]
"""Of a default class: the attributes of each kind of element."""

_PASSED_OVER = {"inertial", "camera", "light", "plugin"}
_MOVING = {"include", "deformable"}
"""Sections that could add to the robot."""
_ORIENTATIONS = ("quat", "axisangle", "xyaxes", "euler", "zaxis")
_SIZES = {"sphere": 1, "capsule": 2, "cylinder": 2, "box": 3}


def read_mjcf(root: Element, source: str) -> RobotModel:
    """Return the geometry of a model.

    Args:
        root: the `mujoco` element.
        source: the file, for messages.

    Raises:
        SetupError: something is wrong or not supported; names the element and attribute.
    """
    return _Reader(root, source).model()


class _Reader:
    """Walks through the bodies, depth first as MuJoCo does."""

    def __init__(self, root: Element, source: str) -> None:
        self._source = source
        self._degrees, self._sequence = True, "xyz"
        for element in root.iter():
            if element.tag in _MOVING:
                self._refuse(element, "is not supported: write what it stands for into the file")
        for compiler in root.iterfind("compiler"):
            self._degrees = (
                compiler.get("angle", "degree" if self._degrees else "radian") != "radian"
            )
            self._sequence = compiler.get("eulerseq", self._sequence)
        if len(self._sequence) != 3 or set(self._sequence.lower()) - set("xyz"):
            raise SetupError(f"{source}: <compiler>: eulerseq={self._sequence!r} is no sequence")
        self._classes: dict[str, Class] = {"main": {}}
        for default in root.iterfind("default"):
            self._add_class(default, self._classes["main"], "main")
        self._bodies = [Body("world", -1, np.zeros(3), np.eye(3))]
        self._sites: dict[str, tuple[int, Array]] = {}
        self._capsules: list[Capsule] = []
        self._planes: list[Plane] = []
        self._unusable: list[str] = []
        for world in root.iterfind("worldbody"):
            self._children(world, 0, world.get("childclass", "main"))

    def model(self) -> RobotModel:
        return RobotModel(
            self._source,
            tuple(self._bodies),
            self._sites,
            tuple(self._capsules),
            tuple(self._planes),
            tuple(self._unusable),
        )

    def _refuse(self, element: Element, why: str) -> NoReturn:
        raise SetupError(f"{self._source}: {described(element)}: {why}")

    # ------------------------------------------------------------ defaults

    def _add_class(self, element: Element, above: Class, name: str) -> None:
        own = {kind: dict(attributes) for kind, attributes in above.items()}
        for child in element:
            if child.tag in {"joint", "geom", "site"}:
                own[child.tag] = {**own.get(child.tag, {}), **child.attrib}
        self._classes[name] = self._classes[element.get("class", name)] = own
        for child in element.iterfind("default"):
            if child.get("class") is None:
                self._refuse(child, "a default inside another needs a class")
            self._add_class(child, own, child.attrib["class"])

    def _attributes(self, element: Element, inherited: str) -> Attributes:
        """Return an element's attributes, with those of its default class."""
        name = element.get("class", inherited)
        if name not in self._classes:
            self._refuse(element, f"class={name!r} is no default class of this file")
        own = element.attrib
        if any(key in own for key in _ORIENTATIONS):  # its own orientation replaces a default one
            kept = self._classes[name].get(element.tag, {}).items()
            return {**{key: value for key, value in kept if key not in _ORIENTATIONS}, **own}
        return {**self._classes[name].get(element.tag, {}), **own}

    # ------------------------------------------------------------ bodies

    def _children(self, element: Element, index: int, inherited: str) -> None:
        """Take what a body holds; joints were taken with the body itself."""
        for child in element:
            if child.tag == "body":
                self._body(child, index, child.get("childclass", inherited))
            elif child.tag == "geom":
                self._geom(child, index, self._attributes(child, inherited))
            elif child.tag == "site":
                self._site(child, index, self._attributes(child, inherited))
            elif child.tag not in _PASSED_OVER | {"joint", "freejoint"}:
                self._refuse(
                    child, "is not supported: write bodies, joints, geoms and sites out in full"
                )

    def _body(self, element: Element, parent: int, inherited: str) -> None:
        position, rotation = self._pose(element, dict(element.attrib))
        joints = [
            self._joint(child, self._attributes(child, inherited))
            for child in element
            if child.tag in {"joint", "freejoint"}
        ]
        if element.get("mocap", "false") == "true":
            nothing = np.zeros(3)
            joints.append(ModelJoint(element.get("name", ""), "mocap", nothing, nothing, 0.0))
        index = len(self._bodies)
        name = element.get("name", f"unnamed body {index}")
        self._bodies.append(Body(name, parent, position, rotation, tuple(joints)))
        self._children(element, index, inherited)

    def _joint(self, element: Element, attributes: Attributes) -> ModelJoint:
        name, nothing = attributes.get("name", ""), np.zeros(3)
        motion = attributes.get("type", "hinge") if element.tag == "joint" else "free"
        if motion in {"ball", "free"}:
            return ModelJoint(name, "ball" if motion == "ball" else "free", nothing, nothing, 0.0)
        if motion not in {"hinge", "slide"}:
            self._refuse(element, f"type={motion!r} is not supported: hinge or slide is needed")
        where = f"{self._source}: {described(element)}"
        axis = normalised(self._numbers(element, attributes, "axis", 3, np.array([0.0, 0, 1])))
        if axis is None:
            raise SetupError(f"{where}: axis={attributes['axis']!r} has no direction")
        anchor = self._numbers(element, attributes, "pos", 3, nothing)
        reference = float(self._numbers(element, attributes, "ref", 1, np.zeros(1))[0])
        if motion == "slide":
            return ModelJoint(name, "slide", axis, anchor, reference)
        return ModelJoint(name, "hinge", axis, anchor, float(self._radians(reference)))

    # ------------------------------------------------------------ what is fixed to a body

    def _site(self, element: Element, body: int, attributes: Attributes) -> None:
        if "fromto" in attributes:
            self._refuse(element, "fromto is not supported: give pos")
        if "name" in attributes:
            position = self._numbers(element, attributes, "pos", 3, np.zeros(3))
            self._sites[attributes["name"]] = (body, position)

    def _geom(self, element: Element, body: int, attributes: Attributes) -> None:
        if attributes.get("contype", "1") == attributes.get("conaffinity", "1") == "0":
            return
        kind = "mesh" if "mesh" in attributes else attributes.get("type", "sphere")
        where = f"{described(element)} of body {self._bodies[body].name}"
        if kind not in {*_SIZES, "plane"}:
            self._unusable.append(
                f"{where} is a {kind}: give a sphere, capsule, cylinder or box for it, and "
                'contype="0" conaffinity="0" to what is only seen'
            )
            return
        if kind == "plane":
            position, rotation = self._pose(element, attributes)
            self._planes.append(Plane(body, position, rotation[:, 2]))
            return
        stretched = "fromto" in attributes
        if stretched and kind not in {"capsule", "cylinder"}:
            self._refuse(element, f"fromto of a {kind} is not supported: give pos and size")
        count = 1 if stretched else _SIZES[kind]
        size = self._numbers(element, attributes, "size")[:count]
        if len(size) < count or not (size > 0).all():
            self._refuse(element, f"size={attributes['size']!r}: {count} above 0 are needed")
        if stretched:
            ends = self._numbers(element, attributes, "fromto", 6)
            self._capsules.append(Capsule(body, ends[:3], ends[3:], float(size[0])))
        else:
            position, rotation = self._pose(element, attributes)
            self._capsules.append(enclosing(kind, size, body, position, rotation))

    # ------------------------------------------------------------ poses

    def _pose(self, element: Element, attributes: Attributes) -> tuple[Array, Array]:
        """Return position [3] and rotation [3, 3]."""
        position = self._numbers(element, attributes, "pos", 3, np.zeros(3))
        given = [key for key in _ORIENTATIONS if key in attributes]
        if len(given) > 1:
            self._refuse(element, f"{' and '.join(given)} contradict: give one of them")
        rotation = self._rotation(element, attributes, given[0]) if given else np.eye(3)
        if rotation is None:
            self._refuse(element, f"{given[0]}={attributes[given[0]]!r} is no orientation")
        return position, rotation

    def _rotation(self, element: Element, attributes: Attributes, key: str) -> Array | None:
        if key == "zaxis":
            self._refuse(element, "zaxis is not supported: give quat, axisangle, xyaxes or euler")
        count = {"quat": 4, "axisangle": 4, "xyaxes": 6, "euler": 3}[key]
        values = self._numbers(element, attributes, key, count)
        if key == "quat":
            unit = normalised(values)
            return None if unit is None else from_quaternion(unit)
        if key == "euler":
            return from_euler(self._radians(values), self._sequence)
        first = normalised(values[:3])
        if first is None:
            return None
        if key == "axisangle":
            return about(first, np.asarray(self._radians(values[3])))
        second = normalised(values[3:] - first * (first @ values[3:]))
        return None if second is None else np.stack([first, second, np.cross(first, second)], 1)

    def _radians(self, value: Array | float) -> Array:
        return np.asarray(np.deg2rad(value) if self._degrees else value)

    def _numbers(
        self,
        element: Element,
        attributes: Attributes,
        key: str,
        count: int | None = None,
        default: Array | None = None,
    ) -> Array:
        where = f"{self._source}: {described(element)}"
        return numbers(where, key, attributes.get(key, ""), count, default)
