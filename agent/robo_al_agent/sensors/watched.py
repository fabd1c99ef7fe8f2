"""One sensor beside the robot, and the thread that reads it."""

import contextlib
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

from robo_al_agent.errors import SetupError
from robo_al_agent.guard import Call, Faulted, Guard, named
from robo_al_agent.robot import Array, Fault, Sensor
from robo_al_agent.sensor import Frame, Measurement, SensorDriver, SensorSpec
from robo_al_agent.sensors.measurements import wrong_description, wrong_measurement
from robo_al_agent.sensors.tracks import Track

AGAIN_SECONDS = 1.0
"""After which a sensor that went wrong is connected anew."""


@dataclass(frozen=True)
class Entry:
    """What AGENT.yaml says of a sensor."""

    name: str
    driver: SensorDriver
    required: bool
    oldest: float | None
    """s that its newest reading may be old; None: five periods, 0.2 s at least."""


class Watched:
    """One sensor, and the thread that reads it.

    Args:
        entry: what AGENT.yaml says of it.

    Raises:
        SetupError: it cannot describe itself.
    """

    def __init__(self, entry: Entry) -> None:
        self.name = entry.name
        self.required = entry.required
        try:
            self.spec: SensorSpec = entry.driver.describe()
        except Exception as error:
            raise SetupError(f"sensor {entry.name}: describe: {error}") from error
        wrong = wrong_description(self.spec)
        if wrong is not None:
            raise SetupError(f"sensor {entry.name}: describe: {wrong}")
        self.numbers = tuple(
            Sensor(f"{entry.name}.{one.name}", one.unit) for one in self.spec.numbers
        )
        self.track: Track | None = None
        """Where readings are kept just now: replaced by the control loop."""
        self.failures = 0
        """How often it could not be connected or read."""
        self.again = threading.Event()
        """Set: it is connected anew at once."""
        self._driver = entry.driver
        self._oldest = entry.oldest or max(0.2, 5 / self.spec.rate)
        self._guard = Guard()
        self._newest: Measurement | Frame | None = None
        self._wrong: Fault | None = Fault("sensor", "it is not connected")
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to read it, unless that has begun."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name=self.name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Let go of it; one that hangs is left alone."""
        self._ending.set()
        self.again.set()
        if self._thread is not None:
            self._thread.join(AGAIN_SECONDS)

    def wrong(self, now_ns: int) -> Fault | None:
        """Return what is wrong with it."""
        hanging, wrong, newest = self.overdue(), self._wrong, self._newest
        if hanging is not None:
            return hanging[1]
        if wrong is not None:
            return self._mine(wrong)
        assert newest is not None
        age = (now_ns - newest.time_ns) / 1e9
        if age <= self._oldest:
            return None
        told = f"its newest reading is {age:.3g} s old; limit {self._oldest:g}"
        return self._mine(Fault("stale", told))

    def _mine(self, fault: Fault) -> Fault:
        return Fault(fault.code, f"sensor {self.name}: {fault.message}")

    def overdue(self) -> tuple[Call, Fault] | None:
        """Return the call that hangs, if one does."""
        found = self._guard.overdue()
        return None if found is None else (found[0], self._mine(found[1]))

    def values(self) -> Array:
        """Return its newest numbers [S]."""
        newest = self._newest
        assert isinstance(newest, Measurement)
        return newest.values

    def _live(self) -> None:
        """The life of its thread."""
        while not self._ending.is_set():
            self.again.clear()
            try:
                self._guard.make("connect", self.spec.connect_seconds, self._driver.connect)
                while not self._ending.is_set():
                    self._take(self._guard.make("read", self.spec.call_seconds, self._driver.read))
            except Exception as error:
                self._wrong = named("", error)
            with contextlib.suppress(Faulted):
                self._guard.make("close", self.spec.connect_seconds, self._driver.close)
            self.failures += 1
            self.again.wait(AGAIN_SECONDS)

    def _take(self, reading: Any) -> None:
        """Believe a reading, and keep it; raises `Faulted`."""
        wrong = wrong_measurement(self.spec, reading, self._newest, time.monotonic_ns())
        if wrong is not None:
            raise Faulted(wrong)
        if isinstance(reading, Measurement):
            reading = replace(reading, values=reading.values.copy())
        track = self.track
        if track is not None:
            track.add(reading)
        self._newest = reading
        self._wrong = None
