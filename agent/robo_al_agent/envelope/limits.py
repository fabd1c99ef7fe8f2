"""The envelope's file: what a person wrote, checked against what the driver says of the robot."""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from robo_al_agent.robot import Joint, RobotSpec
from robo_al_agent.settings.files import Settings, problems


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _unit(value: object) -> object:
    return "1" if type(value) is int and value == 1 else value


Limit = Annotated[float, Field(gt=0)]
Interval = Annotated[tuple[float, float], BeforeValidator(_tuple)]
Point = Annotated[tuple[float, float, float], BeforeValidator(_tuple)]
Pair = Annotated[tuple[str, str], BeforeValidator(_tuple)]

UNLIMITED = math.inf
"""What an absent limit counts as: only a robot of actions has such."""

_DEVICE = "what its numbers do to the motion only the device knows"
_EMPTY = (
    "its driver measures none, so nothing could hold to it: leave this entry out, or let the "
    "driver measure it (an own driver: Joint(effort=...); docs/robots.md says how for the others)"
)
_NO_POSITION = "its commands are no positions that it could be away from"
OF_MOTION: dict[str, dict[str, str]] = {
    "joint": {
        "acceleration": _DEVICE,
        "jerk": _DEVICE,
        "effort": "its numbers may be efforts themselves, which `position` limits",
    },
    "place": {"start_distance": _NO_POSITION, "tracking_error": _NO_POSITION},
}
"""What a robot of positions needs and a robot of actions cannot have, and why: of each joint, and
what is one number where all joints have one unit, or one of each joint."""


class _Limits(Settings):
    @model_serializer(mode="wrap")
    def _without_unlimited(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """JSON has no infinity; an absent limit is read back as one."""
        return {key: value for key, value in handler(self).items() if value != UNLIMITED}


class JointLimits(_Limits):
    """What one joint may do; for a robot of actions, one of its numbers."""

    name: str
    unit: Annotated[str, BeforeValidator(_unit)]
    """`rad`, `m` or 1, as the driver has it."""
    position: Interval
    """Lowest and highest command."""
    velocity: Limit
    """unit/s; of an action, its rate of change."""
    acceleration: Limit = UNLIMITED
    """unit/s^2"""
    jerk: Limit = UNLIMITED
    """unit/s^3"""
    effort: Limit = UNLIMITED
    """N m or N, as measured; for a joint whose effort the driver measures, and for no other."""
    start_distance: Limit = UNLIMITED
    """unit; as that of the whole file, where joints differ."""
    tracking_error: Limit = UNLIMITED
    """unit; likewise."""

    @field_validator("position")
    @classmethod
    def _in_order(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not value[0] < value[1]:
            raise ValueError("[low, high] with low below high is needed")
        return value


class Box(Settings):
    """Where a frame may be."""

    frame: str
    """A site, body or link of the model: its origin."""
    low: Point
    """x, y, z in the model's world (m)."""
    high: Point

    @field_validator("high")
    @classmethod
    def _above(cls, value: Point, info: ValidationInfo) -> Point:
        low = info.data.get("low")
        if low is not None and not all(a < b for a, b in zip(low, value, strict=True)):
            raise ValueError("each number must be above that of `low`")
        return value


class Clearance(Settings):
    """How far the robot's bodies stay from each other."""

    margin: float = Field(ge=0)
    """m between the shapes that enclose two bodies."""
    allowed_collisions: Annotated[tuple[Pair, ...], BeforeValidator(_tuple)] = ()
    """Pairs of bodies that may touch; neighbours always may."""


class Geometry(Settings):
    """What the limits in space are computed with."""

    file: str
    """MJCF or URDF, relative to the envelope's file."""
    workspace: Box | None = None
    self_collision: Clearance | None = None

    @model_validator(mode="after")
    def _used(self) -> "Geometry":
        if self.workspace is None and self.self_collision is None:
            raise ValueError("neither workspace nor self_collision needs it: give one, or no model")
        return self


class Limits(_Limits):
    """The whole file."""

    joints: Annotated[tuple[JointLimits, ...], BeforeValidator(_tuple)]
    """In the order of the robot's commands."""
    duration: Limit
    """s, of a rollout."""
    start_distance: Limit = UNLIMITED
    """Of any joint, from where the robot is measured to the first command; in the one unit that
    all joints have, or given for each joint instead."""
    tracking_error: Limit = UNLIMITED
    """Of any joint, while it moves; likewise."""
    sample_age: Limit
    """s, of the newest reading while it moves."""
    missed_deadlines: int = Field(ge=0)
    """In a row while it moves."""
    model: Geometry | None = None
    """None: neither workspace nor self-collision is limited."""


def wrong_entries(data: Mapping[str, Any], spec: RobotSpec) -> list[str]:
    """Return one line for each entry of a file that is wrong in itself or for the robot."""
    rows = data.get("joints")
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    try:
        Limits.model_validate(data)
        lines = []
    except ValidationError as error:
        lines = [_named(line, data.get("joints")) for line in problems(error)]
    lines += _wrong_names([row.get("name") for row in rows], [joint.name for joint in spec.joints])
    lines += _of_places(data, rows, spec)
    if spec.command == "action" and "model" in data:
        lines.append(f"model: not for a robot of actions: {_NO_POSITION}")
    joints = {joint.name: joint for joint in spec.joints}
    for row in rows:
        joint = joints.get(str(row.get("name")))
        if joint is not None:
            unmeasured = {"effort"} if joint.effort is None else set()
            lines += _of_motion(row, spec, f"joints.{joint.name}.", unmeasured)
            lines += _beyond_device(row, joint)
    return lines


def _named(line: str, rows: Any) -> str:
    """Return a line with the joint's name for its number."""
    found = re.match(r"joints\.(\d+)", line)
    if not found or not isinstance(rows, list):
        return line
    row = rows[int(found[1])]
    name = row.get("name") if isinstance(row, dict) else None
    return f"joints.{name}{line[found.end() :]}" if isinstance(name, str) else line


def _wrong_names(given: Sequence[object], names: Sequence[str]) -> list[str]:
    """Return what is wrong with which joints there are."""
    lines = [f"joints.{name}: missing, it is a joint of the robot" for name in names]
    lines = [line for line, name in zip(lines, names, strict=True) if name not in given]
    for name in dict.fromkeys(name for name in given if isinstance(name, str)):
        near = difflib.get_close_matches(name, names, 1)
        if name not in names:
            hint = f"; did you mean {near[0]}?" if near else ""
            lines.append(f"joints.{name}: the robot has no such joint{hint}")
        elif given.count(name) > 1:
            lines.append(f"joints.{name}: given {given.count(name)} times")
    if not lines and list(given) != list(names):
        lines.append(f"joints: their order must be the robot's: {', '.join(names)}")
    return lines


def _of_motion(
    data: Mapping[str, Any], spec: RobotSpec, above: str, unmeasured: AbstractSet[str]
) -> list[str]:
    """Return which of a joint's limits of motion are missing, or are there and cannot be."""
    keys = OF_MOTION["joint"]
    if spec.command == "position":
        empty = [f"{above}{key}: {_EMPTY}" for key in unmeasured & data.keys()]
        missing = [key for key in keys if key not in data and key not in unmeasured]
        return [f"{above}{key}: missing" for key in missing] + empty
    refused = "not for a robot of actions"
    return [f"{above}{key}: {refused}: {why}" for key, why in keys.items() if key in data]


def _of_places(
    data: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], spec: RobotSpec
) -> list[str]:
    """Return what is wrong with the limits that are one number, or one of each joint."""
    units: dict[str, list[str]] = {}
    for joint in spec.joints:
        units.setdefault(joint.unit, []).append(joint.name)
    told = ", and ".join(f"{', '.join(names)} in {unit}" for unit, names in units.items())
    lines = []
    for key, why in OF_MOTION["place"].items():
        own = [str(row.get("name")) for row in rows if key in row]
        if spec.command == "action":
            given = [key] * (key in data) + [f"joints.{name}.{key}" for name in own]
            lines += [f"{one}: not for a robot of actions: {why}" for one in given]
        elif key in data and own:
            again = f"given for all joints, and for {', '.join(own)} again"
            lines.append(f"{key}: {again}: give one number, or one of each joint")
        elif key in data and len(units) > 1:
            lines.append(f"{key}: one number for {told}: give one of each joint instead")
        elif own:
            lacking = [joint.name for joint in spec.joints if joint.name not in own]
            lines += [
                f"joints.{name}.{key}: missing, for other joints have one" for name in lacking
            ]
        elif key not in data:
            lines.append(f"{key}: missing")
    return lines


def _beyond_device(row: Mapping[str, Any], joint: Joint) -> list[str]:
    """Return which limits of a joint, of those that are numbers, are beyond the device's own."""
    above, lines = f"joints.{joint.name}", []
    unit, interval = _unit(row.get("unit")), row.get("position")
    if isinstance(unit, str) and unit != joint.unit:
        lines.append(f"{above}.unit: the device has {joint.unit}, given {unit}")
    ends = interval if isinstance(interval, list) else []
    if not all(joint.low <= end <= joint.high for end in ends if _is_number(end)):
        device = f"[{joint.low!r}, {joint.high!r}] {joint.unit}"
        lines.append(f"{above}.position: the device itself takes {device}, given {interval}")
    for key, most in (("velocity", joint.velocity), ("effort", joint.effort)):
        value = row.get(key, 0)
        if most is not None and _is_number(value) and not value <= most:
            lines.append(f"{above}.{key}: the device itself allows {most}, given {value}")
    return lines


def _is_number(value: Any) -> bool:
    return type(value) in {int, float}
