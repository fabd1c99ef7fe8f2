"""Readings are new, plausible and quick, and a robot that is told to hold does not move."""

import time
from dataclasses import fields

import numpy as np

from robo_al_agent.conformance.subject import Check
from robo_al_agent.robot import Array, Sample

SLOWEST = 1.0
"""Periods of the declared rate that half of the readings and commands may take."""


def readings(check: Check) -> None:
    """Readings are new, are kept apart, and lie within the limits."""
    one = check.read()
    kept, before = one.positions.copy(), one
    for _ in range(5):
        other = check.wait(2 / check.spec.rate)
        told = f"sequence {other.sequence} after {before.sequence}, two periods later: it must grow"
        check.need(other.sequence > before.sequence, told)
        later = other.time_ns > before.time_ns
        check.need(later, "time_ns did not grow between two readings: it is when one was taken")
        before = other
    arrays = [field.name for field in fields(Sample) if field.name not in ("time_ns", "sequence")]
    for name in arrays:
        shared = np.shares_memory(getattr(one, name), getattr(other, name))
        check.need(not shared, f"{name} of two readings share memory: copy them")
    check.need(np.array_equal(kept, one.positions), "changed a reading that was handed out")
    if check.spec.command == "position":
        _plausible(check, other.positions)


def _plausible(check: Check, positions: Array) -> None:
    """Positions [J] are in the unit of the limits, and within them but for a device's rounding."""
    margin = 0.002 * check.width
    low, high = check.low - margin, check.low + check.width + margin
    outside = (positions < low) | (positions > high)
    if not outside.any():
        return
    radians = np.radians(positions)
    degrees = bool(((radians >= low) & (radians <= high)).all())
    joint = check.spec.joints[int(np.argmax(outside))]
    at = float(positions[int(np.argmax(outside))])
    hint = "does it read degrees?" if degrees else "move it inside by hand, or calibrate"
    limits = f"[{joint.low:g}, {joint.high:g}] {joint.unit}"
    check.need(False, f"joint {joint.name} is at {at:g}, outside its limits {limits}: {hint}")


def holding(check: Check, cycles: int) -> Array:
    """Time readings, each followed by a command to stay; nothing moves.

    Returns:
        [cycles] seconds that each took.
    """
    seconds = np.empty((cycles, 2))
    position = check.spec.command == "position"
    start = check.read().positions
    sequence = -1
    for cycle in range(cycles):
        begin = time.perf_counter()
        sample = check.read()
        between = time.perf_counter()
        if position:
            check.send(start.copy(), 1 / check.spec.rate)  # where it is: never clamped
        seconds[cycle] = between - begin, time.perf_counter() - between
        check.method = "read"
        check.need(sample.sequence >= sequence, "its sequence went back")
        sequence = sample.sequence
        if position:
            check.method = "command"
            check.stayed(start, sample.positions, "was told to hold, and moved by")
    _quick(check, seconds)
    check.healthy()
    whole: Array = seconds.sum(-1)
    return whole


def _quick(check: Check, seconds: Array) -> None:
    """Half of the cycles keep the rate that is declared; seconds [cycles, read and command]."""
    period, usual = 1 / check.spec.rate, float(np.median(seconds.sum(-1)))
    check.method = "read" if seconds[:, 0].sum() > seconds[:, 1].sum() else "command"
    took = float(np.median(seconds[:, 0 if check.method == "read" else 1]))
    told = (
        f"takes {took * 1e3:.3g} ms; a reading and a command take {usual * 1e3:.3g} ms together, "
        f"longer than the {period * 1e3:.3g} ms of rate {check.spec.rate:g} Hz: do not wait in it, "
        "or declare the rate that it keeps"
    )
    check.need(usual <= SLOWEST * period, told)
