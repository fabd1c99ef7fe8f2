"""How fast a robot can be read and commanded, measured when it is connected."""

from dataclasses import dataclass

import numpy as np

from robo_al_agent.devices.door import Door

CYCLES = 500
SHARE = 0.8
"""Of the rate that 99 of 100 cycles reach, rollouts may use this much."""


@dataclass(frozen=True)
class Rate:
    """Seconds that reading and commanding the robot takes."""

    p50: float
    p99: float
    largest: float
    misses: int
    """Cycles longer than a period at the robot's own rate."""
    cycles: int
    declared: float
    """Period of the rate that the robot is made for: nothing is commanded faster."""

    @property
    def shortest_period(self) -> float:
        """Seconds between two commands that rollouts may ask for."""
        return max(self.p99 / SHARE, self.declared * (1 - 1e-9))


def calibrate(door: Door, cycles: int = CYCLES) -> Rate:
    """Read, and command the pose that was read first, again and again: nothing moves.

    The pose is sent as it was read. Where it lies outside the device's limits the door refuses to
    send it, for the device would move the joint to its limit.

    Args:
        door: of a driver that is connected.
        cycles: how often.

    Raises:
        Faulted: a call went wrong, or a joint is outside the limits.
    """
    spec = door.spec
    pose = door.read().positions if spec.command == "position" else None
    seconds = np.empty(cycles)
    for i in range(cycles):
        began_ns = door.now_ns()
        door.read()
        if pose is not None:
            door.command(pose, 1 / spec.rate)
        seconds[i] = (door.now_ns() - began_ns) / 1e9
    p50, p99 = np.percentile(seconds, [50, 99])
    late = int((seconds > 1 / spec.rate).sum())
    return Rate(float(p50), float(p99), float(seconds.max()), late, cycles, 1 / spec.rate)
