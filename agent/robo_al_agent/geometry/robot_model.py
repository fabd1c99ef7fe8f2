"""A robot's rigid bodies, as MJCF and URDF files both describe them.

Lengths in m, angles in rad; a pose is a position [3] and a rotation matrix [3, 3], given in the
frame of the parent body. Body 0 is the world.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias
from xml.etree.ElementTree import Element

import numpy as np

from robo_al_agent.errors import SetupError
from robo_al_agent.robot import Array

Motion: TypeAlias = Literal["hinge", "slide", "ball", "free", "mocap"]
"""The last three only for what is not the robot: objects of the scene."""


@dataclass(frozen=True)
class ModelJoint:
    """Moves a body in its parent."""

    name: str
    motion: Motion
    axis: Array
    """[3] of length 1, in the body's frame."""
    anchor: Array
    """[3] a point of the axis, in the body's frame."""
    reference: float
    """Joint position at which the body is as the file places it (rad or m)."""


@dataclass(frozen=True)
class Body:
    """A body (MJCF) or link (URDF)."""

    name: str
    parent: int
    """Its index, smaller than this body's; -1 for the world."""
    position: Array
    rotation: Array
    joints: tuple[ModelJoint, ...] = ()
    """In the order in which they act."""


@dataclass(frozen=True)
class Capsule:
    """All points within `radius` of a segment: encloses a collision shape of a body."""

    body: int
    start: Array
    """[3] in the body's frame."""
    end: Array
    radius: float


@dataclass(frozen=True)
class Plane:
    """A half-space that is solid on the far side of its normal: a floor, a wall."""

    body: int
    point: Array
    """[3] in the body's frame."""
    normal: Array
    """[3] of length 1."""


@dataclass(frozen=True)
class RobotModel:
    """What a file says of a robot's geometry."""

    source: str
    bodies: tuple[Body, ...]
    """Parents before children."""
    sites: Mapping[str, tuple[int, Array]]
    """Named points: their body, and where they are in its frame."""
    capsules: tuple[Capsule, ...]
    planes: tuple[Plane, ...]
    unusable: tuple[str, ...]
    """Collision shapes that are neither, and what to do about each."""


# ---------------------------------------------------------------- rotations


def about(axis: Array, angle: Array) -> Array:
    """Return rotations [..., 3, 3] about an axis [3] of length 1 by angles [...] (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    sine, cosine = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]
    return np.asarray(np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross))


def from_quaternion(quaternion: Array) -> Array:
    """Return the rotation [3, 3] of a quaternion w, x, y, z of any length but 0."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def from_euler(angles: Array, sequence: str) -> Array:
    """Return the rotation [3, 3] by angles [3] about axes such as `xyz`.

    A small letter turns about the axis as turned so far, a capital one about the fixed axis.
    """
    rotation = np.eye(3)
    for letter, angle in zip(sequence, angles, strict=True):
        turn = about(np.eye(3)["xyz".index(letter.lower())], np.asarray(angle))
        rotation = rotation @ turn if letter.islower() else turn @ rotation
    return rotation


def normalised(vector: Array) -> Array | None:
    """Return a vector of length 1, or None where there is no direction."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-10 else None


# ---------------------------------------------------------------- shapes and numbers


def enclosing(kind: str, size: Array, body: int, position: Array, rotation: Array) -> Capsule:
    """Return a capsule around a shape: no point of the shape is outside.

    Args:
        kind: `sphere` of radius size[0]; `capsule` or `cylinder` of radius size[0] along z, half
            length size[1]; `box` of half sizes size [3].
        size: as above (m).
        body: that it belongs to.
        position: [3] its centre in the body's frame.
        rotation: [3, 3] its axes in the body's frame.
    """
    if kind == "sphere":
        half, radius, along = 0.0, float(size[0]), 2
    elif kind == "box":
        along = int(size.argmax())
        half, radius = float(size[along]), float(np.hypot(*np.delete(size, along)))
    else:
        half, radius, along = float(size[1]), float(size[0]), 2
    offset = half * rotation[:, along]
    return Capsule(body, position - offset, position + offset, radius)


def described(element: Element) -> str:
    """Return how to find an element in its file."""
    name = element.get("name")
    return f"<{element.tag} name={name!r}>" if name else f"<{element.tag}>"


def numbers(
    where: str, key: str, text: str, count: int | None = None, default: Array | None = None
) -> Array:
    """Return the finite numbers of an attribute.

    Args:
        where: the file and element, for the message.
        key: the attribute's name.
        text: its value; empty for the default.
        count: how many there must be; None: at least one.
        default: what an empty text means.

    Raises:
        SetupError: other than that.
    """
    if not text and default is not None:
        return default
    try:
        values = np.array([float(word) for word in text.split()])
    except ValueError:
        values = np.array([])
    if not len(values) or not np.isfinite(values).all() or count not in (None, len(values)):
        wanted = "finite numbers" if count is None else f"{count} finite numbers"
        raise SetupError(f"{where}: {key}={text!r} must be {wanted}")
    return values
