"""What comes in on the topic `joint_states`: newest reading, its age, and what is wrong with it."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robo_al_agent.robot import Array, Fault, Sample


class JointStates:
    """Filled by the client's thread, read by the driver's.

    A message with none of the joints is of another publisher, and a message that is not later than
    the one before it is not new. Velocities that the robot does not measure are positions'
    differences.

    Args:
        joints: their names in the order of the driver, and whether their efforts are told.
    """

    def __init__(self, joints: Mapping[str, bool]) -> None:
        self._names = list(joints)
        self._with_effort = np.array(list(joints.values()))
        self._changed = threading.Condition()
        self._sample: Sample | None = None
        self._stamp = 0
        self._before: Array | None = None
        self._wrong: Fault | None = None
        self._began_ns = time.monotonic_ns()
        self._handed = 0

    def take(self, message: Mapping[str, Any]) -> None:
        """Take a `sensor_msgs/JointState`."""
        columns = {name: column for column, name in enumerate(message["name"])}
        if not any(name in columns for name in self._names):
            return
        missing = [name for name in self._names if name not in columns]
        with self._changed:
            if missing:
                told = f"the joint states lack {', '.join(missing)}"
                self._wrong = Fault("missing_joints", told)
            else:
                self._store(message, [columns[name] for name in self._names])
            self._changed.notify_all()

    def wait(self, handed: int, seconds: float) -> None:
        """Wait for a reading newer than a sequence number, or for something wrong."""
        with self._changed:
            self._changed.wait_for(lambda: self._wrong is not None or self._newer(handed), seconds)

    def next(self, seconds: float) -> Sample | None:
        """Return the newest reading once it is one that was not returned before, or None."""
        self.wait(self._handed, seconds)
        with self._changed:
            if self._sample is None or not self._newer(self._handed):
                return None
            self._handed = self._sample.sequence
            return self._sample

    def latest(self) -> Sample | None:
        """Return the newest reading, whether or not it was returned before."""
        with self._changed:
            return self._sample

    def trouble(self, stale_seconds: float) -> Fault | None:
        """Return what is wrong with what came in."""
        with self._changed:
            since = self._began_ns if self._sample is None else self._sample.time_ns
            age = (time.monotonic_ns() - since) / 1e9
            if self._wrong is None and age > stale_seconds:
                return Fault("stale", f"there was no new joint state for {age:.2f} s")
            return self._wrong

    def _newer(self, handed: int) -> bool:
        return self._sample is not None and self._sample.sequence > handed

    def _store(self, message: Mapping[str, Any], columns: list[int]) -> None:
        header = message["header"]["stamp"]
        stamp = header["sec"] * 10**9 + header["nanosec"]
        if stamp <= self._stamp:
            return
        positions = _numbers(message["position"], columns)
        if positions is None:
            self._wrong = Fault("bad_state", f"these positions are none: {message['position']}")
            return
        before, self._before, seconds = self._before, positions, (stamp - self._stamp) / 1e9
        self._stamp = stamp
        velocities = _numbers(message.get("velocity"), columns)
        if velocities is None and before is not None:
            velocities = (positions - before) / seconds
        if velocities is None:
            return  # the next message will tell
        efforts = _numbers(message.get("effort"), columns)
        if efforts is None and self._with_effort.any():
            names = ", ".join(np.array(self._names)[self._with_effort])
            told = f"the joint states tell no effort of {names}: leave `effort` out of the joints"
            self._wrong = Fault("no_effort", told)
            return
        sequence = 1 if self._sample is None else self._sample.sequence + 1
        self._sample = Sample(
            time.monotonic_ns(),
            sequence,
            positions,
            velocities,
            np.zeros(len(columns)) if efforts is None else np.where(self._with_effort, efforts, 0),
            np.zeros(0),
        )


def _numbers(values: Sequence[float | None] | None, columns: list[int]) -> Array | None:
    """Return the joints' numbers, or None where the robot does not measure them.

    Then there are none, or they are NaN, of which rosbridge makes null.
    """
    if not values or len(values) <= max(columns):
        return None
    numbers = np.array([values[column] for column in columns], np.float64)
    return numbers if np.isfinite(numbers).all() else None
