"""What every part of the check uses: the driver under test, readings and commands that are checked.

Axes: J joints, S sensors, as in `robo_al_agent.robot`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from robo_al_agent.errors import AgentError
from robo_al_agent.robot import Array, Fault, RobotSpec, Sample

OLDEST = 0.1
"""Seconds of age above which a reading was not taken now."""


class ConformanceError(AgentError):
    """A driver does not keep its contract."""


class Check:
    """The driver under test, what it said of itself, and the method that is being tried."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.method = "__init__"
        self.untried: list[str] = []
        """What could not be found out, in whole sentences."""
        self.opened: frozenset[int] = frozenset()
        """File descriptors of the device, as `connect` opened them."""
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

    def refused(self, method: str, when: str, *arguments: Any) -> None:
        """Make a call that must raise."""
        self.method = method
        try:
            getattr(self.driver, method)(*arguments)
        except Exception:
            return
        self.need(False, f"did not raise {when}: nothing real can be answered then")

    def latched(self) -> Fault | None:
        """Return what `fault` says."""
        with self.trying("fault"):
            fault = self.driver.fault()
            valid = fault is None or isinstance(fault, Fault)
            self.need(valid, f"returned {fault!r}; Fault or None")
        return fault if isinstance(fault, Fault) else None

    def healthy(self) -> None:
        """Need that no fault is latched."""
        fault = self.latched()
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

    def send(self, target: Array, seconds: float) -> None:
        """Send a command [J] within the limits, and check what is said to have been sent."""
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

    def stayed(self, start: Array, now: Array, told: str) -> None:
        """Need that no joint moved by half a step between two poses [J]."""
        off = np.abs(now - start) / self.step
        worst = int(np.argmax(off))
        moved = now[worst] - start[worst]
        self.need(off[worst] < 0.5, f"joint {self.spec.joints[worst].name} {told} {moved:.3g}")

    def inward(self, start: Array) -> Array:
        """Return a step [J] towards the middle of each joint's range, from a pose [J]."""
        return np.where(start < self.low + self.width / 2, self.step, -self.step)
