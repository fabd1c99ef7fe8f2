"""A joint that rests outside its limits: said, never corrected by chance, led back when asked.

A driver would clip a command to the limits, and the joint would then jump to its limit at full
speed. So nothing is sent to such a robot but, on a person's word, one slow way back.
"""

from collections.abc import Callable

import numpy as np

from robo_al_agent.devices.door import Door
from robo_al_agent.envelope.envelope import Envelope
from robo_al_agent.guard import Faulted
from robo_al_agent.motion.watching import deviation
from robo_al_agent.robot import Array, Fault, RobotSpec

SPEED = {"rad": 0.1, "m": 0.02, "%": 5.0, "1": 0.1}
"""unit/s of a slow way at most; where the envelope's limit is lower, a tenth of that."""
ABORTED = "aborted"
"""Code of what a person has stopped: nothing is wrong with the robot."""
INSIDE = 0.02
"""Share of a joint's range by which it ends inside its limit."""


def misplaced(envelope: Envelope, spec: RobotSpec, positions: Array) -> Fault | None:
    """Return which joints [J] rest outside the limits, where, and what a person can do."""
    if spec.command != "position":
        return None
    told = [
        f"joint {joint.name} is at {at:.4g} {joint.unit}; it may be from {low:g} to {high:g}"
        for joint, at, low, high in zip(
            spec.joints, positions, envelope.low, envelope.high, strict=True
        )
        if not low <= at <= high
    ]
    if not told:
        return None
    what = "bring it back slowly with `robo-al-agent recover AGENT.yaml`, or move it by hand"
    return Fault("outside_limits", f"{'; '.join(told)}: {what}")


def recover(door: Door, envelope: Envelope, interrupted: Callable[[], bool]) -> Array:
    """Lead every joint that is outside its limits back inside, slowly; return the pose then [J].

    The other joints are told to stay where they are. Before each command the robot is read: a stale
    reading, a tracking error, an effort or a fault ends it with a safe stop.

    Args:
        door: of a driver that is connected.
        envelope: with the limits.
        interrupted: whether a person has said stop.

    Raises:
        Faulted: it did not get inside; the robot was stopped.
    """
    spec = door.spec
    now = door.read().positions
    if misplaced(envelope, spec, now) is None:
        return now
    if not door.recovers:
        told = "this driver cannot lead a joint back: take torque off and move it by hand"
        raise Faulted(Fault("outside_limits", told))
    margin = INSIDE * (envelope.high - envelope.low)
    outside = (now < envelope.low) | (now > envelope.high)
    goal = np.where(outside, np.clip(now, envelope.low + margin, envelope.high - margin), now)
    period = 1 / spec.rate
    steps = int(np.ceil((np.abs(goal - now) / slow(envelope, spec)).max() / period))
    way = [now + (goal - now) * k / steps for k in range(1, steps + 1)]
    try:
        follow(door, envelope, way, interrupted, door.recover)
    finally:
        door.stop()
    pose = door.read().positions
    wrong = misplaced(envelope, spec, pose)
    if wrong is not None:
        raise Faulted(wrong)
    return pose


def slow(envelope: Envelope, spec: RobotSpec) -> Array:
    """Return the velocities [J] (unit/s) at which a joint is led on a person's word."""
    most = np.array([SPEED[joint.unit] for joint in spec.joints])
    speeds: Array = np.minimum(most, envelope.velocities / 10)
    return speeds


def follow(
    door: Door,
    envelope: Envelope,
    way: list[Array],
    interrupted: Callable[[], bool],
    send: Callable[[Array, float], Array],
) -> None:
    """Send a way pose by pose, watched before each.

    Args:
        door: of a driver that is connected.
        envelope: that each reading is held against.
        way: poses [J], one each period of the robot's rate.
        interrupted: whether a person has said stop.
        send: sends one: pose, s until it is to be there.

    Raises:
        Faulted: a person or what is measured ended it; the robot still has to be stopped.
    """
    period, due_ns = 1 / door.spec.rate, door.now_ns()
    target: Array | None = None
    for pose in way:
        sample = door.read()
        if interrupted():
            raise Faulted(Fault(ABORTED, "a person stopped it"))
        wrong = door.fault() or deviation(door.spec, envelope, sample, target, door.now_ns())
        if wrong is not None:
            raise Faulted(wrong)
        send(pose, period)
        target = pose
        due_ns += round(period * 1e9)
        door.sleep(max(0.0, (due_ns - door.now_ns()) / 1e9))
