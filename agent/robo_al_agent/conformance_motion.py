"""The part of `check_driver` that moves the robot: one joint at a time, a few degrees and back."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from robo_al_agent.robot import Array, Ended, JointTrajectory, Sample, Tolerance

if TYPE_CHECKING:
    from robo_al_agent.conformance import Check

RAMP = 0.5
"""Seconds over which a small step is commanded."""
SETTLE = 2.0
"""Seconds within which a joint has followed it."""
PLANNED = 2.0
"""Seconds of a trajectory."""
REST = 0.2
"""Seconds over which a robot at rest does not move."""


def joints(check: Check) -> None:
    """The joint that is commanded moves, in the direction and as far as asked, and no other."""
    for index in range(len(check.spec.joints)):
        start = check.read().positions
        target = start.copy()
        target[index] += _inward(check, start)[index]
        _ramp(check, start, target)
        moved = _settled(check, start, target, index)
        _followed(check, target - start, moved, index)
        _ramp(check, target, start)
        _settled(check, target, start, index)
    check.healthy()


def stop_in_motion(check: Check) -> None:
    """A robot that is stopped while it moves is at rest after `stop_seconds`."""
    start = check.read().positions
    _ramp(check, start, start + _inward(check, start), share=0.5)
    begin = time.monotonic()
    with check.trying("safe_stop"):
        check.driver.safe_stop()
    _at_rest(check, "safe_stop", begin)
    check.healthy()


def trajectories(check: Check) -> None:
    """A whole trajectory gets to its end, and another one is cancelled on the way."""
    start = check.read().positions
    there = start + _inward(check, start)
    for origin, goal in ((start, there), (there, start)):
        ended, samples = _executed(check, origin, goal)
        check.need(ended.kind == "SUCCEEDED", f"ended as {ended.kind}: {ended.reason}")
        check.need(ended.fraction == 1, f"succeeded with fraction {ended.fraction}")
        kinds = {type(sample) for sample in samples}
        check.need(kinds == {Sample}, "on_sample was never called with a Sample")
        reached = check.read().positions
        check.method = "execute"
        check.stayed(goal, reached, "succeeded, and is off its goal by")
    start = check.read().positions
    wrong: list[Exception] = []
    cancelling = threading.Timer(PLANNED / 4, _cancel, (check, wrong))
    cancelling.start()
    try:
        ended, _ = _executed(check, start, there)
    finally:
        cancelling.cancel()
        cancelling.join()
    begin = time.monotonic()
    with check.trying("cancel"):
        for error in wrong:
            raise error
    check.method = "cancel"
    check.need(ended.kind != "SUCCEEDED", "the trajectory went on to its end")
    check.need(ended.fraction < 1, f"fraction is {ended.fraction} of a trajectory that was cut")
    _at_rest(check, "cancel", begin)
    check.healthy()


def _cancel(check: Check, wrong: list[Exception]) -> None:
    """Cancel, in a thread of its own, and keep what that raises."""
    try:
        check.driver.cancel()
    except Exception as error:
        wrong.append(error)


def _executed(check: Check, start: Array, goal: Array) -> tuple[Ended, list[Sample]]:
    """Execute a smooth trajectory from start to goal [J]; return how it ended, and its samples."""
    share = np.linspace(0.05, 1, 20)[:, None]
    trajectory = JointTrajectory(
        seconds=share[:, 0] * PLANNED,
        positions=start + (goal - start) * (1 - np.cos(np.pi * share)) / 2,
        velocities=(goal - start) * np.sin(np.pi * share) * np.pi / 2 / PLANNED,
    )
    step = float(check.step.max())
    samples: list[Sample] = []
    with check.trying("execute"):
        ended = check.driver.execute(trajectory, Tolerance(step, step / 2, SETTLE), samples.append)
    check.need(isinstance(ended, Ended), f"returned a {type(ended).__name__}; an Ended")
    return ended, samples


def _inward(check: Check, start: Array) -> Array:
    """Return a step [J] towards the middle of each joint's range."""
    return np.where(start < check.low + check.width / 2, check.step, -check.step)


def _at_rest(check: Check, method: str, begin: float) -> None:
    """Nothing moves `stop_seconds` after the beginning (on the monotonic clock) of a stop."""
    one = check.wait(check.spec.stop_seconds - (time.monotonic() - begin)).positions
    other = check.wait(REST).positions
    speed = np.abs(other - one) / check.step
    joint = check.spec.joints[int(np.argmax(speed))]
    check.method = method
    late = f"joint {joint.name} still moves after stop_seconds ({check.spec.stop_seconds:g})"
    check.need(speed.max() < 0.1, late)


def _ramp(check: Check, start: Array, target: Array, share: float = 1.0) -> None:
    """Command a share of the way from start to target [J], evenly over `RAMP`."""
    steps = max(1, round(RAMP * check.spec.rate))
    for step in range(1, 1 + round(share * steps)):
        begin = time.monotonic()
        goal = start + step / steps * (target - start)
        check.send(np.clip(goal, check.low, check.low + check.width), RAMP / steps)
        time.sleep(max(0.0, RAMP / steps - (time.monotonic() - begin)))


def _settled(check: Check, start: Array, target: Array, index: int) -> Array:
    """Return how far each joint went [J], once one of them followed or `SETTLE` is over."""
    deadline = time.monotonic() + SETTLE
    while True:
        moved = check.read().positions - start
        arrived = abs(moved[index] - (target - start)[index]) < 0.1 * check.step[index]
        if arrived or time.monotonic() > deadline:
            return moved
        time.sleep(0.02)


def _followed(check: Check, asked: Array, moved: Array, index: int) -> None:
    check.method = "command"
    name = check.spec.joints[index].name
    share = moved / check.step
    others = np.abs(np.delete(share, index, axis=0))
    if others.size and others.max() > 0.5:
        other = check.spec.joints[int(np.argmax(np.abs(np.where(asked == 0, share, 0))))].name
        check.need(False, f"joint {name} was commanded and {other} moved: order of the joints")
    ratio = float(moved[index] / asked[index])
    told = f"joint {name} was told to move by {asked[index]:.3g} and moved by {moved[index]:.3g}"
    check.need(ratio > -0.5, f"{told}: its sign")
    check.need(ratio > 0.5, f"{told}: is torque on, and the unit right?")
    check.need(ratio < 2, f"{told}: degrees for radians?")
