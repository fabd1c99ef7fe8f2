"""Where the time goes: seconds of wall-clock time by activity."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

ACTIVITIES = ("feedback", "propose", "imagine", "select", "train", "evaluate", "other")
"""`feedback` is waiting for rollouts; `other` is everything that has no name."""


class Clock:
    """Sums up seconds; exactly one activity goes on at any moment.

    Args:
        seconds: what earlier openings of the same campaign took.
        changed: told the name of each activity that begins.
        cpu_seconds: of this process in those openings, evaluations left out.
        advanced: told, by whoever works, how many of how many steps of the activity are done.
    """

    def __init__(
        self,
        seconds: Mapping[str, float],
        changed: Callable[[str], None] = lambda name: None,
        cpu_seconds: float = 0.0,
        advanced: Callable[[int, int], None] = lambda step, steps: None,
    ) -> None:
        self._seconds = dict.fromkeys(ACTIVITIES, 0.0) | dict(seconds)
        self._cpu, self._cpu_since = cpu_seconds, time.process_time()
        self._current = "other"
        self._since = time.monotonic()
        self.changed = changed
        self.advanced = advanced

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds for each activity until now."""
        self._switch(self._current)
        return dict(self._seconds)

    @property
    def cpu_seconds(self) -> float:
        """Seconds that processors worked for this process until now, evaluations left out."""
        self._switch(self._current)
        return self._cpu

    @contextmanager
    def activity(self, name: str) -> Iterator[None]:
        """Count what happens inside as one activity, and not as the one around it."""
        before = self._switch(name)
        self.changed(name)
        try:
            yield
        finally:
            self._switch(before)

    def go_on(self, name: str) -> None:
        """Count what comes from now on, until something else begins, as an activity."""
        self._switch(name)

    def _switch(self, name: str) -> str:
        assert name in ACTIVITIES
        now, before = time.monotonic(), self._current
        self._seconds[before] += now - self._since
        cpu = time.process_time()
        if before != "evaluate":
            self._cpu += cpu - self._cpu_since
        self._cpu_since = cpu
        self._since, self._current = now, name
        return before
