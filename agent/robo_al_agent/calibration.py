"""How fast a robot can be read and commanded, measured when it is connected."""

import time
from dataclasses import dataclass

import numpy as np

from robo_al_agent.driver import RobotDriver

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

    @property
    def shortest_period(self) -> float:
        """Seconds between two commands that rollouts may ask for."""
        return self.p99 / SHARE


def calibrate(driver: RobotDriver, cycles: int = CYCLES) -> Rate:
    """Read, and command the pose that was read first, again and again: nothing moves.

    Args:
        driver: connected.
        cycles: how often.
    """
    spec = driver.describe()
    pose = driver.read().positions if spec.command == "position" else None
    seconds = np.empty(cycles)
    for i in range(cycles):
        began = time.monotonic()
        driver.read()
        if pose is not None:
            driver.command(pose, 1 / spec.rate)
        seconds[i] = time.monotonic() - began
    p50, p99 = np.percentile(seconds, [50, 99])
    late = int((seconds > 1 / spec.rate).sum())
    return Rate(float(p50), float(p99), float(seconds.max()), late, cycles)
