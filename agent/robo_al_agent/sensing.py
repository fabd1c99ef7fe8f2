"""Sensors beside the robot: each is read by a thread of its own, so that none delays the control.

The control loop only looks at the newest reading of each. One that is silent, stale, gone or hangs
is named; where it is `required`, which is the default, that is a fault of the robot like any other,
and otherwise its numbers are nan until it is back. A sensor that went wrong is connected anew every
second, whatever is latched.

While a rollout or a recording runs, every reading of a sensor is kept with it, at the sensor's own
rate: numbers in memory, a camera's frames as files (`footage`).
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from robo_al_agent.errors import SetupError
from robo_al_agent.footage import Film, left_behind
from robo_al_agent.guard import Call, Faulted, Guard, named
from robo_al_agent.robot import Array, Fault, Sensor
from robo_al_agent.sensor import Frame, Measurement, SensorDriver, SensorSpec
from robo_al_agent.wire import MAX_MESSAGE, Message

AGAIN_SECONDS = 1.0
"""After which a sensor that went wrong is connected anew."""
MOST = 8
"""Sensors of one agent: each adds an array to a rollout's result."""
MOST_BYTES = MAX_MESSAGE // 4
"""Of all sensors' numbers in one result."""


Kept: TypeAlias = tuple[dict[str, Any], NDArray[Any]]
"""What is said of a sensor's readings in one result, and an array of a row each."""


class Track(Protocol):
    """Keeps the readings of one sensor while a rollout or a recording runs."""

    def add(self, reading: Measurement | Frame) -> None:
        """Keep one more; called by the sensor's thread, raises `DriverError` where it cannot."""

    def end(self) -> Kept:
        """Return what was kept; returns at once."""


class Numbers:
    """Readings of numbers: rows of the time (ns) and what was measured, [N, 1 + S].

    Args:
        width: S.
        most: bytes; what comes later is left out.
    """

    def __init__(self, width: int, most: int) -> None:
        self._rows: list[Array] = []
        self._width = 1 + width
        self._most = most // (8 * self._width)
        self._cut = False

    def add(self, reading: Measurement | Frame) -> None:
        """See `Track`."""
        assert isinstance(reading, Measurement)
        if len(self._rows) < self._most:
            time_ns = np.array([reading.time_ns], float)  # exact up to 2^53 ns: 104 days
            self._rows.append(np.concatenate([time_ns, reading.values]))
        else:
            self._cut = True

    def end(self) -> Kept:
        """See `Track`."""
        rows = self._rows[:]
        return {"cut": self._cut}, np.array(rows, np.float64).reshape(len(rows), self._width)


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


def wrong_description(spec: SensorSpec) -> str | None:
    """Return why a sensor cannot be as it says it is."""
    if not isinstance(spec, SensorSpec):
        return f"returned a {type(spec).__name__}; a SensorSpec is needed"
    if not 0 < spec.rate < np.inf:
        return f"its rate is {spec.rate} Hz"
    if bool(spec.numbers) == (spec.frame is not None):
        return "it has either numbers or a frame"
    if len({one.name for one in spec.numbers}) < len(spec.numbers):
        return "two of its numbers have the same name"
    if not all(one.name and one.unit for one in spec.numbers):
        return "each of its numbers needs a name and a unit"
    return None


def wrong_measurement(
    spec: SensorSpec, reading: Any, last: Measurement | Frame | None, now_ns: int
) -> Fault | None:
    """Return why a sensor's reading cannot be used.

    Args:
        spec: of the sensor.
        reading: what it returned.
        last: the one before.
        now_ns: monotonic time after it came.
    """
    kind = Measurement if spec.frame is None else Frame
    if not isinstance(reading, kind):
        return Fault("reading", f"read returned a {type(reading).__name__}, no {kind.__name__}")
    found = reading.values if isinstance(reading, Measurement) else reading.pixels
    shape = (len(spec.numbers),) if spec.frame is None else (*spec.frame, 3)
    dtype = np.float64 if spec.frame is None else np.uint8
    if not isinstance(found, np.ndarray) or found.shape != shape or found.dtype != dtype:
        told = f"{getattr(found, 'dtype', type(found).__name__)} of shape {np.shape(found)}"
        return Fault("reading", f"read returned {told}; {np.dtype(dtype)} of shape {shape}")
    if spec.frame is None and not np.isfinite(found).all():
        return Fault("reading", "its reading is not finite")
    if reading.time_ns > now_ns:
        return Fault("reading", "its time is later than now: it is of `time.monotonic_ns()`")
    if last is not None and reading.time_ns <= last.time_ns:
        return Fault("stale", "its time stamp does not move: the same reading came again")
    return None


class Sensing:
    """All sensors beside the robot.

    Args:
        watched: none or more.
        journal: the folder beside which cameras' frames are kept.
    """

    def __init__(self, watched: Sequence[Watched] = (), journal: Path = Path()) -> None:
        self.watched = tuple(watched)
        self._journal = journal

    @property
    def numbers(self) -> tuple[Sensor, ...]:
        """Return all numbers, in the order of `values`."""
        return tuple(number for one in self.watched for number in one.numbers)

    def start(self) -> None:
        """Begin to read them."""
        for one in self.watched:
            one.start()

    def stop(self) -> None:
        """Let go of them."""
        for one in self.watched:
            one.stop()

    def fault(self, now_ns: int) -> Fault | None:
        """Return what is wrong with one that is required; from any thread, at once."""
        found = (one.wrong(now_ns) for one in self.watched if one.required)
        return next((fault for fault in found if fault is not None), None)

    def missing(self, now_ns: int) -> dict[str, str]:
        """Return what is wrong with each, by its name."""
        found = {one.name: one.wrong(now_ns) for one in self.watched}
        return {name: fault.message for name, fault in found.items() if fault is not None}

    def values(self, now_ns: int) -> Array:
        """Return the newest numbers [S]; nan of a sensor that is wrong."""
        parts = [
            np.full(len(one.numbers), np.nan) if one.wrong(now_ns) else one.values()
            for one in self.watched
            if one.numbers
        ]
        return np.concatenate([np.zeros(0), *parts])

    def settle(self, now_ns: Callable[[], int], sleep: Callable[[float], None]) -> None:
        """Wait until each required one is well, or was tried once more; nothing may move then."""
        for one in self.watched:
            failures, limit = one.failures, one.spec.connect_seconds + one.spec.call_seconds
            until_ns = now_ns() + round((limit + AGAIN_SECONDS) * 1e9)
            one.again.set()
            while one.required and one.wrong(now_ns()) and now_ns() < until_ns:
                if one.failures > failures + 1 or one.overdue() is not None:
                    break
                sleep(0.01)

    def overdue(self) -> tuple[Call, Fault] | None:
        """Return a call that hangs, if one does."""
        return next((found for one in self.watched if (found := one.overdue())), None)

    def begin(self, id: str) -> None:
        """Keep what is read from now on, for a rollout or a recording."""
        numbers = [one for one in self.watched if one.spec.frame is None]
        for one in numbers:
            one.track = Numbers(len(one.numbers), MOST_BYTES // len(numbers))
        for one in self.watched:
            if one.spec.frame is not None:
                one.track = Film(self._journal, id, one.name)

    def left_behind(self, id: str, result: Message) -> Message:
        """Return the result of a rollout that a killed agent left, with its cameras' frames."""
        cameras = [one.name for one in self.watched if one.spec.frame is not None]
        return _beside(result, {name: left_behind(self._journal, id, name) for name in cameras})

    def end(self, result: Message, now_ns: int) -> Message:
        """Return a result with what was read since `begin`; from any thread."""
        kept: dict[str, Kept] = {}
        for one in self.watched:
            track, one.track = one.track, None
            if track is not None:
                about, array = track.end()
                wrong = one.wrong(now_ns)
                about = {**about, "wrong": None if wrong is None else wrong.message}
                kept[one.name] = about, array
        return _beside(result, kept)


def _beside(result: Message, kept: Mapping[str, Kept]) -> Message:
    """Return a result with what was kept of each sensor, by its name."""
    if not kept:
        return result
    told = {name: about for name, (about, _) in kept.items()}
    arrays = {f"sensor.{name}": array for name, (_, array) in kept.items()}
    fields = {**result.fields, "beside": told}
    return replace(result, fields=fields, arrays={**result.arrays, **arrays})
