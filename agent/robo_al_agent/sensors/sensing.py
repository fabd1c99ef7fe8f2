"""Sensors beside the robot: each is read by a thread of its own, so that none delays the control.

The control loop only looks at the newest reading of each. One that is silent, stale, gone or hangs
is named; where it is `required`, which is the default, that is a fault of the robot like any other,
and otherwise its numbers are nan until it is back. A sensor that went wrong is connected anew every
second, whatever is latched.

While a rollout or a recording runs, every reading of a sensor is kept with it, at the sensor's own
rate: numbers in memory, a camera's frames as files (`footage`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from robo_al_agent.guard import Call
from robo_al_agent.protocol.wire import MAX_MESSAGE, Message
from robo_al_agent.robot import Array, Fault, Sensor
from robo_al_agent.sensors.footage import Film, left_behind
from robo_al_agent.sensors.tracks import Kept, Numbers
from robo_al_agent.sensors.watched import AGAIN_SECONDS, Watched

MOST = 8
"""Sensors of one agent: each adds an array to a rollout's result."""
MOST_BYTES = MAX_MESSAGE // 4
"""Of all sensors' numbers in one result."""


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
