"""A robot that is stopped stays where it is: at rest, on its way, and when its commands cease."""

import os
import signal
import time
from contextlib import suppress

import numpy as np

from robo_al_agent.conformance.subject import OLDEST, Check, ConformanceError
from robo_al_agent.robot import Array, Sample

LEAP = 1.0
"""Seconds that a whole step is given, when the robot is stopped on the way."""
REST = 0.2
"""Seconds over which a robot at rest does not move."""
LONGEST = 10.0
"""Seconds of a watchdog that is waited for."""
OPERATOR = "conformance check"


def at_rest(check: Check) -> None:
    """`safe_stop` comes back in time, and the robot is held where it is."""
    before = check.read().positions
    begin = time.monotonic()
    with check.trying("safe_stop"):
        check.driver.safe_stop()
    took = time.monotonic() - begin
    limit = check.spec.stop_seconds
    check.need(took <= limit + OLDEST, f"took {took:.2f} s; stop_seconds is {limit:g}")
    now = check.wait(limit - took).positions
    if check.spec.command == "position":
        check.method = "safe_stop"
        check.stayed(before, now, "was at rest; it must be held, torque on, and it moved by")


def in_motion(check: Check) -> None:
    """A robot that is stopped on its way is at rest after `stop_seconds`, and does not go on.

    A quick robot may come to rest just where it was sent, for it needs that far to brake. So one
    that was there is sent another way, to a nearer goal: only one that goes on is there again.
    """
    start = check.read().positions
    for part in (1.0, 0.6):
        before = check.read().positions
        goal = before + part * check.inward(before)
        sample = _begin(check, before, goal)
        begin, covered = time.monotonic(), _share(before, goal, sample.positions).max()
        with check.trying("safe_stop"):
            check.driver.safe_stop()
        at_rest_after(check, "safe_stop", begin)
        ended = _share(before, goal, check.wait(LEAP).positions)
        arrived = bool((np.abs(ended - 1) < 0.05).all())
        if covered > 0.7 or not arrived:
            break
    if covered > 0.7:
        check.untried.append("whether a stop ends a motion, for the robot was there at once")
    else:
        check.method = "safe_stop"
        told = f"the robot was stopped after {covered:.0%} of its way, twice, and went on to its"
        check.need(not arrived, f"{told} goal: it must not reach one after it was stopped")
    check.healthy()
    _back(check, start)


def watchdog(check: Check) -> None:
    """A robot whose commands cease stops by itself, after the time that the driver declares."""
    after = check.spec.watchdog_seconds
    if after is None:
        return
    if after > LONGEST:
        check.untried.append(f"the watchdog, for it takes {after:g} s")
        return
    quiet = 1.5 * after + check.spec.stop_seconds + 0.2
    start = check.read().positions
    goal = start + check.inward(start)
    if check.spec.watchdog == "device":
        check.send(goal, 2 * quiet)
        time.sleep(quiet)  # not even a reading: some devices take any message for a sign of life
    elif not _left_by_a_dead_process(check, goal, quiet):
        return
    stopped = _stopped(check, start, goal)
    if not stopped and _arrives(check, start, 2 * quiet) < after:
        check.untried.append(
            "the watchdog, for the robot is at its goal before it could act, whatever time a "
            "command gives it: pull the cable while it moves, and see that it stops"
        )
        return
    check.method = "describe"
    told = (
        f"watchdog_seconds is {after:g}; {quiet:.2g} s after the last command the robot went on, "
        "or had reached its goal, and no fault says that a watchdog acted"
    )
    check.need(stopped, told)
    with check.trying("clear_fault"):
        check.driver.clear_fault(OPERATOR)
    check.healthy()
    _back(check, start)


def at_rest_after(check: Check, method: str, begin: float) -> None:
    """Nothing moves `stop_seconds` after the beginning (on the monotonic clock) of a stop."""
    one = check.wait(check.spec.stop_seconds - (time.monotonic() - begin)).positions
    other = check.wait(REST).positions
    speed = np.abs(other - one) / check.step
    joint = check.spec.joints[int(np.argmax(speed))]
    check.method = method
    late = f"joint {joint.name} still moves after stop_seconds ({check.spec.stop_seconds:g})"
    check.need(speed.max() < 0.1, late)


def _begin(check: Check, start: Array, goal: Array) -> Sample:
    """Send the robot to a goal [J], slowly, and return the first reading that sees it move."""
    end = time.monotonic() + LEAP
    while True:
        # again and again, lest a watchdog stops what is to be stopped here
        check.send(goal, max(end - time.monotonic(), 1 / check.spec.rate))
        sample = check.read()
        if _share(start, goal, sample.positions).max() > 0.15 or time.monotonic() > end:
            return sample
        time.sleep(0.5 / check.spec.rate)


def _share(start: Array, goal: Array, now: Array) -> Array:
    """Return what share of its way each joint has covered [J]."""
    share: Array = (now - start) / (goal - start)
    return share


def _left_by_a_dead_process(check: Check, goal: Array, quiet: float) -> bool:
    """Let another process command the robot and be killed; return whether that moved the robot.

    A controller's watchdog acts when the program that commands is gone, not when it says nothing.
    """
    start = check.read().positions
    check.driver.close()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            check.driver.connect()
            check.driver.read()
            check.driver.command(goal, 2 * quiet)
            time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    time.sleep(quiet)
    with check.trying("connect"):
        check.driver.connect()
    if (np.abs(check.read().positions - start) > 0.02 * check.step).any():
        return True
    check.untried.append("the watchdog, for a program that commanded and was killed moved nothing")
    return False


def _stopped(check: Check, start: Array, goal: Array) -> bool:
    """Whether a watchdog acted: it is latched, or says so, or the robot is at rest on its way."""
    try:
        one = check.read().positions
        if check.latched() is not None:
            return True
        other = check.wait(REST).positions
        check.send(other, 1 / check.spec.rate)
    except ConformanceError:  # nothing can be read or sent: that is what it did
        return True
    resting = (np.abs(other - one) < 0.05 * check.step).all()
    return bool(resting and _share(start, goal, other).max() < 0.9)


def _arrives(check: Check, goal: Array, seconds: float) -> float:
    """Return after how many seconds the robot is at a goal [J] that it is given `seconds` for."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        check.send(goal, max(seconds - passed, 1 / check.spec.rate))
        if np.abs(check.read().positions - goal).max() < 0.1 * check.step.min():
            return passed
        time.sleep(0.5 / check.spec.rate)
    return seconds


def _back(check: Check, start: Array) -> None:
    """Bring the robot back to a pose [J], evenly."""
    now = check.read().positions
    steps = max(1, round(LEAP * check.spec.rate))
    for step in range(1, 1 + steps):
        check.send(now + step / steps * (start - now), LEAP / steps)
        check.wait(LEAP / steps)
