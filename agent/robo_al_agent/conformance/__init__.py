"""Does a driver keep its contract? The check that `robo-al-agent check my/robot.py:MyRobot` runs.

`check_driver` calls what `robo_al_agent.driver` asks for on the connected robot, and raises
`ConformanceError` naming the class, the method and what was wrong. Without `move` the robot is only
told to hold the position that it has. With `move=True` each joint in turn goes a few degrees
towards the middle of its range and back, the robot is stopped on its way, connected a second time,
left alone for as long as its watchdog takes, and its cable is cut at the end: somebody stands
beside it, with the emergency stop. What could not be tried is said in the report.

Axes: J joints, S sensors, as in `robo_al_agent.robot`.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from robo_al_agent.conformance import contact, description, motion, readings, stopping
from robo_al_agent.conformance.subject import Check, ConformanceError
from robo_al_agent.driver import SupportsLeading, TrajectoryDriver
from robo_al_agent.robot import RobotSpec

__all__ = ["ConformanceError", "ConformanceReport", "check_driver"]


@dataclass(frozen=True)
class ConformanceReport:
    """What was seen of a driver that keeps its contract."""

    spec: RobotSpec
    cycles: int
    """Readings, each followed by a command to hold, that the figures below are of."""
    cycle_p50: float
    """Seconds that half of the cycles stayed below."""
    cycle_p99: float
    moved: bool
    """Whether the checks that move the robot were made."""
    untried: tuple[str, ...] = ()
    """What the check could not find out, in whole sentences."""

    def __str__(self) -> str:
        """Return a line of figures, and one for each thing that was not tried."""
        spec = self.spec
        watchdog = "no watchdog: after this program's death nothing stops the robot"
        if spec.watchdog_seconds is not None:
            watchdog = f"watchdog of the {spec.watchdog} after {spec.watchdog_seconds:g} s"
        figures = (
            f"{spec.name}: {len(spec.joints)} joints, {spec.rate:g} Hz; read and hold "
            f"{self.cycle_p50 * 1e3:.2f} ms (p50), {self.cycle_p99 * 1e3:.2f} ms (p99) "
            f"over {self.cycles} cycles; {watchdog}"
        )
        return "\n".join([figures, *(f"  not tried: {told}" for told in self.untried)])


def check_driver(driver: Any, *, move: bool = False, cycles: int = 100) -> ConformanceReport:
    """Check a driver that is not yet connected; it is stopped and closed afterwards.

    Args:
        driver: the object to check.
        move: whether the robot may move, by 0.1 rad, 2 cm or 4 % of a joint's range at most.
        cycles: how many readings, each followed by a command to hold, are timed.

    Raises:
        ConformanceError: naming the class, the method and what was wrong with it.
    """
    check = Check(driver)
    description.methods(check)
    description.description(check)
    moving = move and check.spec.command == "position"
    try:
        contact.connection(check)
        readings.readings(check)
        seconds = readings.holding(check, cycles)
        if moving:
            motion.joints(check)
            stopping.in_motion(check)
            if isinstance(driver, TrajectoryDriver):
                motion.trajectories(check)
            contact.again(check)
            stopping.watchdog(check)
        stopping.at_rest(check)
        contact.closing(check)
        if moving:
            contact.cut(check)
    except BaseException:
        for end in (driver.safe_stop, driver.close):
            with suppress(Exception):
                end()
        raise
    if not moving:
        check.untried.append(
            "anything that moves: the order, signs and units of the joints, velocities, a stop "
            "in motion, the watchdog, a cut cable"
        )
    by_hand = " and leading by hand" if isinstance(driver, SupportsLeading) else ""
    check.untried.append(f"release{by_hand}, since an arm falls when its torque goes")
    p50, p99 = np.quantile(seconds, [0.5, 0.99])
    untried = tuple(check.untried)
    return ConformanceReport(check.spec, cycles, float(p50), float(p99), moving, untried)
