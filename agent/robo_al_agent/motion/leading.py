"""Slow motions that a person asks for: to the park pose, or of one joint by a little.

They keep to the envelope but for its `duration`, and are watched at each step as a rollout is.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from robo_al_agent.devices.door import Door
from robo_al_agent.envelope.envelope import Envelope, check_trajectory
from robo_al_agent.errors import SetupError
from robo_al_agent.guard import Faulted
from robo_al_agent.motion.paths import approach
from robo_al_agent.motion.recovery import follow, misplaced, slow
from robo_al_agent.robot import Array, RobotSpec

Goal: TypeAlias = Callable[[Array], Array]
"""Says which pose [J] to go to from the one that is measured [J]."""

FARTHEST = {"rad": 0.2, "m": 0.05, "%": 20.0, "1": 0.0}
"""By unit: how far a joint is moved at a time."""


def park_pose(park: Mapping[str, float], spec: RobotSpec, envelope: Envelope) -> Array | None:
    """Return the pose [J] that `park` of AGENT.yaml names; None where it names none.

    Raises:
        SetupError: naming each joint that is missing, unknown or outside its limits.
    """
    if not park:
        return None
    names = [joint.name for joint in spec.joints]
    wrong = [f"park.{name}: the robot has no such joint" for name in park if name not in names]
    wrong += [
        f"park.{name}: missing, it is a joint of the robot" for name in names if name not in park
    ]
    for name, low, high in zip(names, envelope.low, envelope.high, strict=True):
        if not low <= park.get(name, low) <= high:
            wrong.append(f"park.{name}: {park[name]:g} is not from {low:g} to {high:g}")
    if wrong:
        raise SetupError("AGENT.yaml: " + "\n  ".join(wrong))
    return np.array([park[name] for name in names])


def park_goal(pose: Array | None) -> Goal:
    """Return the goal of `park`.

    Raises:
        SetupError: there is no park pose.
    """
    if pose is None:
        raise SetupError("AGENT.yaml names no park pose: park: {JOINT: POSITION, ...}, every joint")
    return lambda here: pose


def jog_goal(spec: RobotSpec, joint: str, delta: float) -> Goal:
    """Return the goal of `jog`: a joint by `delta` (its unit), the others where they are.

    Raises:
        SetupError: there is no such joint, or it is too far.
    """
    names = [one.name for one in spec.joints]
    if joint not in names:
        raise SetupError(f"joint {joint}: this robot's are {', '.join(names)}")
    j = names.index(joint)
    unit, most = spec.joints[j].unit, FARTHEST[spec.joints[j].unit]
    if not 0 < abs(delta) <= most:
        raise SetupError(f"joint {joint} by {delta:g} {unit}: up to {most:g} at a time, and not 0")

    def goal(here: Array) -> Array:
        moved = here.copy()
        moved[j] += delta
        return moved

    return goal


def lead(door: Door, envelope: Envelope, goal: Goal, interrupted: Callable[[], bool]) -> Array:
    """Bring the robot to a pose slowly; return where it is measured then [J].

    Args:
        door: of a driver that is connected.
        envelope: with the limits.
        goal: where to.
        interrupted: whether a person has said stop.

    Raises:
        SetupError: the way leaves the envelope, or the robot has no positions; nothing moved.
        Faulted: it did not get there; the robot was stopped.
    """
    spec = door.spec
    if spec.command != "position":
        raise SetupError(f"{spec.name} takes actions, and nobody knows where they lead")
    here = door.read().positions
    wrong = door.fault() or misplaced(envelope, spec, here)
    if wrong is not None:
        raise Faulted(wrong)
    period, pose = 1 / spec.rate, goal(here)
    for joint, at, low, high in zip(spec.joints, pose, envelope.low, envelope.high, strict=True):
        if not low <= at <= high:
            limits = f"it may be from {low:g} to {high:g}"
            raise SetupError(f"nothing moved: {joint.name} to {at:.4g} {joint.unit}; {limits}")
    way = approach(here, pose, envelope, period, slow(envelope, spec))
    if not len(way):
        return here
    patient = envelope.model_copy(update={"duration": float("inf")})
    violation = check_trajectory(patient, way, period, here)
    if violation is not None:
        raise SetupError(f"nothing moved, for the way there leaves the envelope: {violation}")
    try:
        follow(door, envelope, list(way), interrupted, door.command)
    finally:
        door.stop()
    return door.read().positions
