"""Reads a robot's geometry from URDF.

Taken: links, fixed, revolute, continuous and prismatic joints, and collision shapes that are
spheres, cylinders or boxes. Transmissions, inertias and what is only seen are passed over.
Reference: https://wiki.ros.org/urdf/XML
"""

from typing import NoReturn
from xml.etree.ElementTree import Element

import numpy as np

from robo_al_agent.errors import SetupError
from robo_al_agent.geometry.robot_model import (
    Body,
    Capsule,
    ModelJoint,
    RobotModel,
    described,
    enclosing,
    from_euler,
    normalised,
    numbers,
)
from robo_al_agent.robot import Array

_FIXED, _TURNING, _SLIDING = {"fixed"}, {"revolute", "continuous"}, {"prismatic"}


def read_urdf(root: Element, source: str) -> RobotModel:
    """Return the geometry of a robot; its root link stands in the world's origin.

    Args:
        root: the `robot` element.
        source: the file, for messages.

    Raises:
        SetupError: something is wrong or not supported; names the element and attribute.
    """
    return _Reader(root, source).model()


class _Reader:
    """Puts links in order, parents before children."""

    def __init__(self, root: Element, source: str) -> None:
        self._source = source
        self._links: dict[str, Element] = {}
        for link in root.iterfind("link"):
            if link.get("name", "") in self._links:
                self._refuse(link, "there are two links of this name")
            self._links[link.get("name", "")] = link
        self._joints: dict[str, list[Element]] = {name: [] for name in self._links}
        """By the link that they move in."""
        children = set()
        for joint in root.iterfind("joint"):
            parent, child = self._link_of(joint, "parent"), self._link_of(joint, "child")
            if child in children:
                self._refuse(joint, f"link {child} hangs on two joints; one is allowed")
            children.add(child)
            self._joints[parent].append(joint)
        self._roots = [name for name in self._links if name not in children]
        if len(self._roots) != 1:
            raise SetupError(
                f"{source}: {len(self._roots)} links hang on no joint ({', '.join(self._roots)}); "
                "one, the root, is needed"
            )

    def model(self) -> RobotModel:
        bodies = [Body("world", -1, np.zeros(3), np.eye(3))]
        bodies.append(Body(self._roots[0], 0, np.zeros(3), np.eye(3)))
        for index, body in enumerate(bodies):  # the list grows on the way
            for joint in self._joints.get(body.name, []) if index else []:
                bodies.append(self._moved(joint, index))
        if len(bodies) != len(self._links) + 1:
            raise SetupError(f"{self._source}: some links hang on each other in a circle")
        capsules, unusable = self._shapes([body.name for body in bodies])
        return RobotModel(self._source, tuple(bodies), {}, capsules, (), unusable)

    def _refuse(self, element: Element, why: str) -> NoReturn:
        raise SetupError(f"{self._source}: {described(element)}: {why}")

    def _link_of(self, joint: Element, side: str) -> str:
        element = joint.find(side)
        name = "" if element is None else element.get("link", "")
        if name not in self._links:
            self._refuse(joint, f"its {side} {name!r} is no link of this file")
        return name

    def _moved(self, joint: Element, parent: int) -> Body:
        """Return the link that a joint moves."""
        position, rotation = self._origin(joint)
        kind, name = joint.get("type", ""), joint.get("name", "")
        child = self._link_of(joint, "child")
        if kind in _FIXED:
            return Body(child, parent, position, rotation)
        if kind not in _TURNING | _SLIDING:
            self._refuse(
                joint, f"type={kind!r} is not supported: revolute, continuous, prismatic or fixed"
            )
        element = joint.find("axis")
        given = "" if element is None else element.get("xyz", "")
        axis = normalised(self._numbers(joint, "axis xyz", given, np.array([1.0, 0, 0])))
        if axis is None:
            self._refuse(joint, f"axis xyz={given!r} has no direction")
        motion = ModelJoint(name, "slide" if kind in _SLIDING else "hinge", axis, np.zeros(3), 0.0)
        return Body(child, parent, position, rotation, (motion,))

    def _shapes(self, names: list[str]) -> tuple[tuple[Capsule, ...], tuple[str, ...]]:
        """Return what encloses the links, and what cannot be enclosed."""
        capsules, unusable = [], []
        for body, name in enumerate(names):
            for collision in self._links[name].iterfind("collision") if body else []:
                geometry = collision.find("geometry")
                shape = None if geometry is None else next(iter(geometry), None)
                if shape is None:
                    self._refuse(collision, f"of link {name} has no geometry")
                if shape.tag not in {"sphere", "cylinder", "box"}:
                    unusable.append(
                        f"the collision shape of link {name} is a {shape.tag}: give spheres, "
                        "cylinders or boxes that enclose it"
                    )
                    continue
                position, rotation = self._origin(collision)
                capsules.append(
                    enclosing(shape.tag, self._size(shape, name), body, position, rotation)
                )
        return tuple(capsules), tuple(unusable)

    def _size(self, shape: Element, link: str) -> Array:
        """Return the size as `enclosing` takes it."""
        where = f"{self._source}: <{shape.tag}> of link {link}"
        if shape.tag == "box":
            size = numbers(where, "size", shape.get("size", ""), 3) / 2
        else:
            size = numbers(where, "radius", shape.get("radius", ""), 1)
            if shape.tag == "cylinder":
                size = np.append(size, numbers(where, "length", shape.get("length", ""), 1) / 2)
        if not (size > 0).all():
            raise SetupError(f"{where}: its size must be above 0")
        return size

    def _origin(self, element: Element) -> tuple[Array, Array]:
        origin = element.find("origin")
        if origin is None:
            return np.zeros(3), np.eye(3)
        position = self._numbers(element, "origin xyz", origin.get("xyz", ""), np.zeros(3))
        turned = self._numbers(element, "origin rpy", origin.get("rpy", ""), np.zeros(3))
        return position, from_euler(turned, "XYZ")

    def _numbers(self, element: Element, key: str, text: str, default: Array) -> Array:
        return numbers(f"{self._source}: {described(element)}", key, text, 3, default)
