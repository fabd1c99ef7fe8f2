"""Does a driver keep its contract? The check that `robo-al check my/robot.py:MyRobot` runs.

`check_driver` calls what `robo_al_agent.driver` asks for on the connected robot, and raises
`ConformanceError` naming the class, the method and what was wrong. Without `move` the robot is only
told to hold the position that it has; with `move=True` each joint in turn goes a few degrees
towards the middle of its range and back: somebody stands beside it, with the emergency stop.

Axes: J joints, S sensors, as in `robo_al_agent.robot`.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from typing import Any, get_args

import numpy as np

from robo_al_agent import conformance_motion
from robo_al_agent.driver import RobotDriver, TrajectoryDriver
from robo_al_agent.errors import AgentError
from robo_al_agent.robot import Array, Fault, RobotSpec, Sample, WatchdogKind

OLDEST = 0.5
"""Seconds of age above which a reading was not taken now."""


class ConformanceError(AgentError):
    """A driver does not keep its contract."""


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

    def __str__(self) -> str:
        """Return one line for people."""
        spec = self.spec
        watchdog = "no watchdog: after this program's death nothing stops the robot"
        if spec.watchdog_seconds is not None:
            watchdog = f"watchdog of the {spec.watchdog} after {spec.watchdog_seconds:g} s"
        return (
            f"{spec.name}: {len(spec.joints)} joints, {spec.rate:g} Hz; read and hold "
            f"{self.cycle_p50 * 1e3:.2f} ms (p50), {self.cycle_p99 * 1e3:.2f} ms (p99) "
            f"over {self.cycles} cycles; {watchdog}"
            f"{'' if self.moved else '; not moved: order and signs of the joints are unchecked'}"
        )


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
    check.methods()
    check.description()
    try:
        check.connection()
        check.readings()
        seconds = check.holding(cycles)
        if move and check.spec.command == "position":
            conformance_motion.joints(check)
            conformance_motion.stop_in_motion(check)
            if isinstance(driver, TrajectoryDriver):
                conformance_motion.trajectories(check)
        check.stopping()
        check.closing()
    except BaseException:
        for end in (driver.safe_stop, driver.close):
            with suppress(Exception):
                end()
        raise
    p50, p99 = np.quantile(seconds, [0.5, 0.99])
    return ConformanceReport(check.spec, cycles, float(p50), float(p99), move)


class Check:
    """The driver under test, what it said of itself, and the method that is being tried."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.method = "__init__"
        self.spec: RobotSpec
        self.low: Array
        self.width: Array
        self.step: Array
        """[J] how far each joint may be moved."""

    def need(self, condition: Any, wrong: str) -> None:
        """Raise `ConformanceError` unless the condition holds."""
        if not condition:
            raise ConformanceError(f"{type(self.driver).__qualname__}.{self.method}: {wrong}")

    @contextmanager
    def trying(self, method: str) -> Iterator[None]:
        """Name the method in whatever goes wrong inside."""
        self.method = method
        try:
            yield
        except ConformanceError:
            raise
        except Exception as error:
            wrong = f"raised {type(error).__name__}: {error}"
            where = f"{type(self.driver).__qualname__}.{method}"
            raise ConformanceError(f"{where}: {wrong}") from error

    def methods(self) -> None:
        """Every method of the contract is there."""
        for name in sorted(set(vars(RobotDriver)) & set(dir(RobotDriver))):
            if not name.startswith("_"):
                self.method = name
                self.need(callable(getattr(self.driver, name, None)), "there is no such method")

    def description(self) -> None:
        """`describe` is complete before `connect`, and says the same twice."""
        need = self.need
        with self.trying("describe"):
            spec = self.driver.describe()
            need(isinstance(spec, RobotSpec), f"returned a {type(spec).__name__}; a RobotSpec")
            need(spec == self.driver.describe(), "says something else when asked again")
        need(spec.joints, "no joints")
        for kind in ("joints", "sensors"):
            names = [thing.name for thing in getattr(spec, kind)]
            need(all(names), f"{kind} without a name: {names}")
            need(len(set(names)) == len(names), f"{kind} of the same name: {names}")
        for joint in spec.joints:
            at = f"joint {joint.name}: "
            finite = math.isfinite(joint.low) and math.isfinite(joint.high)
            need(finite, f"{at}limits [{joint.low}, {joint.high}] are not finite")
            need(joint.low < joint.high, f"{at}low {joint.low} is not below high {joint.high}")
            need(joint.unit in ("rad", "m", "1"), f"{at}unit {joint.unit!r}; one of rad, m, 1")
            need(joint.velocity > 0, f"{at}velocity {joint.velocity}; above 0")
            need(joint.effort > 0, f"{at}effort {joint.effort}; above 0")
        for name in ("rate", "stop_seconds"):
            value = getattr(spec, name)
            need(math.isfinite(value) and value > 0, f"{name} is {value}; finite and above 0")
        kinds = get_args(WatchdogKind)
        need(spec.watchdog in kinds, f"watchdog {spec.watchdog!r}; one of {', '.join(kinds)}")
        after = spec.watchdog_seconds
        honest = after is None if spec.watchdog == "none" else after is not None and after > 0
        need(honest, f"watchdog {spec.watchdog!r} with watchdog_seconds {after}")
        self.spec = spec
        self.low = np.array([joint.low for joint in spec.joints])
        self.width = np.array([joint.high for joint in spec.joints]) - self.low
        most = np.array([0.02 if joint.unit == "m" else 0.1 for joint in spec.joints])
        self.step = np.minimum(0.04 * self.width, most)

    def connection(self) -> None:
        """Nothing is read before `connect`; afterwards the robot is healthy."""
        self.refused("read", "before connect")
        with self.trying("connect"):
            self.driver.connect()
        self.healthy()

    def refused(self, method: str, when: str, *arguments: Any) -> None:
        """A call that must raise."""
        self.method = method
        try:
            getattr(self.driver, method)(*arguments)
        except Exception:
            return
        self.need(False, f"did not raise {when}: nothing real can be answered then")

    def healthy(self) -> None:
        """No fault is latched."""
        with self.trying("fault"):
            fault = self.driver.fault()
            self.need(
                fault is None or isinstance(fault, Fault), f"returned {fault!r}; Fault or None"
            )
            self.need(fault is None, f"says {getattr(fault, 'code', '')}: clear it first: {fault}")

    def array(self, what: str, value: Any, length: int) -> None:
        """Need a finite float64 array [length]."""
        kind = type(value).__name__
        self.need(isinstance(value, np.ndarray), f"{what} is a {kind}; a NumPy array")
        self.need(value.dtype == np.float64, f"{what} has dtype {value.dtype}; float64")
        self.need(value.shape == (length,), f"{what} has shape {value.shape}, not {(length,)}")
        self.need(np.isfinite(value).all(), f"{what} is not finite: {value}")

    def read(self) -> Sample:
        """Return a reading that was checked."""
        with self.trying("read"):
            before = time.monotonic_ns()
            sample = self.driver.read()
            after = time.monotonic_ns()
        self.need(isinstance(sample, Sample), f"returned a {type(sample).__name__}; a Sample")
        for name in ("time_ns", "sequence"):
            value = getattr(sample, name)
            self.need(isinstance(value, int), f"{name} is a {type(value).__name__}; an int")
        clock = "time_ns {} s {} now; is it this machine's time.monotonic_ns()?"
        ahead = (sample.time_ns - after) / 1e9
        self.need(ahead <= 0, clock.format(f"is {ahead:.3g}", "ahead of"))
        age = (before - sample.time_ns) / 1e9
        self.need(age <= OLDEST, clock.format(f"is {age:.3g}", "before"))
        for name in ("positions", "velocities", "efforts"):
            self.array(name, getattr(sample, name), len(self.spec.joints))
        self.array("sensors", sample.sensors, len(self.spec.sensors))
        assert isinstance(sample, Sample)
        return sample

    def wait(self, seconds: float) -> Sample:
        """Return the last of the readings that are taken for so long, lest a watchdog trips."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read()
            time.sleep(min(1 / self.spec.rate, max(0.0, end - time.monotonic())))
        return self.read()

    def readings(self) -> None:
        """Readings are new, are kept apart, and lie within the limits."""
        one = self.read()
        kept = one.positions.copy()
        sequence = one.sequence
        for _ in range(5):
            other = self.wait(2 / self.spec.rate)
            told = f"sequence {other.sequence} after {sequence}, two periods later: it must grow"
            self.need(other.sequence > sequence, told)
            sequence = other.sequence
        arrays = [
            field.name for field in fields(Sample) if field.name not in ("time_ns", "sequence")
        ]
        for name in arrays:
            shared = np.shares_memory(getattr(one, name), getattr(other, name))
            self.need(not shared, f"{name} of two readings share memory: copy them")
        self.need(np.array_equal(kept, one.positions), "changed a reading that was handed out")
        if self.spec.command == "position":
            self.plausible(other.positions)

    def plausible(self, positions: Array) -> None:
        """Positions are in the unit of the limits."""
        margin = 0.01 * self.width
        low, high = self.low - margin, self.low + self.width + margin
        outside = (positions < low) | (positions > high)
        if not outside.any():
            return
        radians = np.radians(positions)
        degrees = bool(((radians >= low) & (radians <= high)).all())
        joint = self.spec.joints[int(np.argmax(outside))]
        at = float(positions[int(np.argmax(outside))])
        hint = "does it read degrees?" if degrees else "move it inside by hand, or calibrate"
        limits = f"[{joint.low:g}, {joint.high:g}] {joint.unit}"
        self.need(False, f"joint {joint.name} is at {at:g}, outside its limits {limits}: {hint}")

    def send(self, target: Array, seconds: float) -> None:
        """Send a command, and check what is said to have been sent."""
        asked = target.copy()
        with self.trying("command"):
            sent = self.driver.command(target, seconds)
        self.array("what was sent", sent, len(target))
        self.need(np.array_equal(asked, target), "changed the target that it was given")
        off = np.abs(sent - target) / self.width
        worst = int(np.argmax(off))
        told = (
            f"joint {self.spec.joints[worst].name}: {target[worst]:g} was asked for, within the "
            f"limits, and {sent[worst]:g} was sent, off by {off[worst]:.1%} of the joint's range"
        )
        self.need(off[worst] <= 0.005, told)

    def holding(self, cycles: int) -> Array:
        """Time readings, each followed by a command to stay; nothing moves."""
        seconds = np.empty(cycles)
        position = self.spec.command == "position"
        start = self.read().positions
        target = np.clip(start, self.low, self.low + self.width)
        sequence = -1
        for cycle in range(cycles):
            begin = time.perf_counter()
            sample = self.read()
            if position:
                self.send(target, 1 / self.spec.rate)
            seconds[cycle] = time.perf_counter() - begin
            self.method = "read"
            self.need(sample.sequence >= sequence, "its sequence went back")
            sequence = sample.sequence
            if position:
                self.method = "command"
                self.stayed(start, sample.positions, "was told to hold, and moved by")
        self.healthy()
        return seconds

    def stayed(self, start: Array, now: Array, told: str) -> None:
        """No joint moved by half a step."""
        off = np.abs(now - start) / self.step
        worst = int(np.argmax(off))
        moved = now[worst] - start[worst]
        self.need(off[worst] < 0.5, f"joint {self.spec.joints[worst].name} {told} {moved:.3g}")

    def stopping(self) -> None:
        """`safe_stop` comes back in time, and the robot is held where it is."""
        before = self.read().positions
        begin = time.monotonic()
        with self.trying("safe_stop"):
            self.driver.safe_stop()
        took = time.monotonic() - begin
        limit = self.spec.stop_seconds
        self.need(took <= limit + OLDEST, f"took {took:.2f} s; stop_seconds is {limit:g}")
        now = self.wait(limit - took).positions
        if self.spec.command == "position":
            self.method = "safe_stop"
            self.stayed(before, now, "was at rest; it must be held, torque on, and it moved by")

    def closing(self) -> None:
        """`close` may be called twice; afterwards nothing is read or sent."""
        with self.trying("close"):
            self.driver.close()
            self.driver.close()
        self.refused("read", "after close")
        self.refused("command", "after close", self.low + self.width / 2, 1.0)
