"""The part of the check that moves the robot: one joint at a time, a few degrees and back."""

import threading
import time

import numpy as np

from robo_al_agent.conformance.stopping import at_rest_after
from robo_al_agent.conformance.subject import Check
from robo_al_agent.robot import Array, Ended, JointTrajectory, Sample, Tolerance

RAMP = 0.5
"""Seconds over which a small step is commanded."""
SETTLE = 2.0
"""Seconds within which a joint has followed it."""
PLANNED = 2.0
"""Seconds of a trajectory."""
LATEST = 0.15
"""Seconds after a command within which a reading shows that the robot moves."""
BEGUN = 0.03
"""Share of a joint's way, above the noise of its readings."""
FEWEST = 5
"""Readings in motion, from which on velocities are compared with positions."""


def joints(check: Check) -> None:
    """The joint that is commanded moves, in the direction and as far as asked, and no other.

    Its velocities are those of its positions, and readings show the motion when it happens.
    """
    for index in range(len(check.spec.joints)):
        start = check.read().positions
        target = start.copy()
        target[index] += check.inward(start)[index]
        seen = ramp(check, start, target)
        moved = _settled(check, start, target, index, seen)
        _followed(check, target - start, moved, index)
        _prompt(check, seen, index)
        _velocities(check, seen, index)
        _settled(check, target, start, index, ramp(check, target, start))
    check.healthy()


def trajectories(check: Check) -> None:
    """A whole trajectory gets to its end, and another one is cancelled on the way."""
    start = check.read().positions
    there = start + check.inward(start)
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
    at_rest_after(check, "cancel", begin)
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
    tolerance = Tolerance(check.step, check.step / 2, SETTLE)
    samples: list[Sample] = []
    with check.trying("execute"):
        ended = check.driver.execute(trajectory, tolerance, samples.append)
    check.need(isinstance(ended, Ended), f"returned a {type(ended).__name__}; an Ended")
    return ended, samples


def ramp(check: Check, start: Array, target: Array) -> list[Sample]:
    """Command the way from start to target [J], evenly over `RAMP`.

    Returns:
        Every reading meanwhile, the first from before anything was sent.
    """
    steps = max(1, round(RAMP * check.spec.rate))
    seen = [check.read()]
    for step in range(1, 1 + steps):
        end = time.monotonic() + RAMP / steps
        check.send(start + step / steps * (target - start), RAMP / steps)
        seen.append(check.read())
        while time.monotonic() < end:
            seen.append(check.read())
            time.sleep(min(0.002, max(0.0, end - time.monotonic())))
    return seen


def _settled(check: Check, start: Array, target: Array, index: int, seen: list[Sample]) -> Array:
    """Return how far each joint went [J], once one of them followed or `SETTLE` is over.

    Readings on the way are added to those that were seen.
    """
    deadline = time.monotonic() + SETTLE
    while True:
        seen.append(check.read())
        moved = seen[-1].positions - start
        arrived = abs(moved[index] - (target - start)[index]) < 0.1 * check.step[index]
        if arrived or time.monotonic() > deadline:
            return moved
        time.sleep(0.005)


def _prompt(check: Check, seen: list[Sample], index: int) -> None:
    """The motion is seen to begin soon after it was commanded.

    Only the beginning tells readings that are late from a joint that follows softly.
    """
    seconds = np.array([sample.time_ns for sample in seen]) / 1e9
    way = np.array([sample.positions[index] for sample in seen])
    share = np.abs(way - way[0]) / np.abs(way[-1] - way[0])
    late = float(seconds[int(np.argmax(share >= BEGUN))] - seconds[0]) - BEGUN * RAMP
    check.method = "read"
    name = check.spec.joints[index].name
    told = (
        f"joint {name} is seen to follow {late:.2g} s after it was commanded: is each reading "
        "taken when it is asked for, and does the robot answer at once?"
    )
    check.need(late <= LATEST, told)


def _velocities(check: Check, seen: list[Sample], index: int) -> None:
    """The velocities that were read add up to the way that was seen."""
    seconds = np.array([sample.time_ns for sample in seen]) / 1e9
    way = np.array([sample.positions[index] for sample in seen])
    speeds = np.array([sample.velocities[index] for sample in seen])
    name = check.spec.joints[index].name
    if int((np.abs(np.diff(way)) > 0.01 * check.step[index]).sum()) < FEWEST:
        check.untried.append(f"the velocities of joint {name}, for too few readings saw it move")
        return
    went = float(way[-1] - way[0])
    summed = float((np.diff(seconds) * (speeds[1:] + speeds[:-1]) / 2).sum())
    ratio = summed / went
    check.method = "read"
    told = f"joint {name} moved by {went:.3g}, and its velocities add up to {summed:.3g}"
    check.need(
        abs(ratio) > 0.1,
        f"{told}: are they measured? Where the device does not, give the change of the positions "
        "by the time between two readings",
    )
    check.need(ratio > 0, f"{told}: their sign")
    check.need(ratio < 25, f"{told}: degrees for radians?")
    # A joint that jumps within each period is seen in motion too often, or too seldom.
    check.need(0.25 < ratio < 4, f"{told}: their unit or their scale")


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
