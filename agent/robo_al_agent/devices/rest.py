"""Whether a robot stands still, by what is measured and by nothing that was said or asked."""

import time
from collections.abc import Callable

import numpy as np

from robo_al_agent.errors import DriverError
from robo_al_agent.robot import Array, RobotSpec, Sample

REST = {"rad": 0.05, "m": 0.05, "%": 5.0, "1": float("inf")}
"""Rate (unit/s), by unit, below which a joint is at rest; an action is no motion."""
WINDOW = 0.1
"""Seconds over which positions are compared: one tick of 4096 then is 0.015 rad/s."""
PAUSE = 0.005
"""Seconds between two readings."""
LATEST = 0.5
"""Seconds after `stop_seconds` in which a robot that can hardly be read may still be read."""


def rest_rates(spec: RobotSpec) -> Array:
    """Return the rates [J] below which the joints are at rest."""
    return np.array([REST[joint.unit] for joint in spec.joints])


def await_rest(read: Callable[[], Sample], spec: RobotSpec, began: float) -> None:
    """Wait until the robot is measured to be at rest.

    That is: the rates that it reports, and those that its positions make over `WINDOW`, are below
    `REST`. A motor whose speed reads 0 while it moves is found out by its positions.

    Args:
        read: returns a new reading.
        spec: of the robot; it has `stop_seconds`.
        began: `time.monotonic()` when it was told to stop.

    Raises:
        DriverError: it still moves over a whole `WINDOW` after `stop_seconds`; the joint, and how
            fast.
    """
    limits, samples = rest_rates(spec), [read()]
    while True:
        time.sleep(PAUSE)
        samples.append(read())
        oldest, newest = samples[0], samples[-1]
        seconds = (newest.time_ns - oldest.time_ns) / 1e9
        if seconds < WINDOW:
            if time.monotonic() - began > spec.stop_seconds + LATEST:
                raise DriverError(f"{spec.name}: whether it stopped is unknown: its time stands")
            continue
        moved = np.abs(newest.positions - oldest.positions) / seconds
        rates = np.maximum(np.abs(newest.velocities), moved)
        if (rates <= limits).all():
            return
        if oldest.time_ns / 1e9 - began > spec.stop_seconds:
            worst = int((rates / limits).argmax())
            joint = spec.joints[worst]
            told = f"joint {joint.name} still moves at {rates[worst]:.3g} {joint.unit}/s"
            least = f"at rest is below {limits[worst]:g}"
            raise DriverError(
                f"{spec.name}: the stop failed: {told}, {spec.stop_seconds:g} s after it ({least})"
            )
        while (newest.time_ns - samples[1].time_ns) / 1e9 >= WINDOW:
            samples.pop(0)


def need_new_readings(read: Callable[[], Sample], name: str) -> None:
    """Read twice, and need two readings: what stands still is no robot that works.

    Raises:
        DriverError: the second reading is the first one.
    """
    one, other = read(), read()
    if other.sequence <= one.sequence or other.time_ns <= one.time_ns:
        raise DriverError(f"{name}: its readings stand still: nothing is known of it")
