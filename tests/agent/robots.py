"""A driver that needs no device: two joints that are at their targets at once, or break.

`faults` is a file: what is written there becomes the robot's fault; `silent` freezes readings,
`slow` makes every reading take 0.1 s, `fast` makes both joints be measured at 8 rad/s
until they are stopped.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from robo_al_agent.robot import Fault, Joint, RobotSpec, Sample, Sensor


class Slider:
    def __init__(self, faults: str, log: str = "/dev/null") -> None:
        self._faults, self._log = Path(faults), Path(log)
        self._position = np.zeros(2)
        self._sequence = 0
        self._open = False
        self._stopped = False

    def describe(self) -> RobotSpec:
        joints = (Joint("left", -1.0, 1.0), Joint("right", -1.0, 1.0))
        return RobotSpec("slider", joints, 100.0, "none", None, 0.1)

    def connect(self) -> None:
        self._open = True

    def read(self) -> Sample:
        if not self._open:
            raise RuntimeError("closed")
        said = self._said()
        if said == "slow":
            time.sleep(0.1)
        if said != "silent":
            self._sequence += 1
        zeros = np.zeros(2)
        speeds = np.full(2, 8.0) if said == "fast" and not self._stopped else zeros
        now = time.monotonic_ns()
        return Sample(now, self._sequence, self._position.copy(), speeds, zeros, np.zeros(0))

    def command(self, target: np.ndarray, seconds: float) -> np.ndarray:
        sent = np.round(target, 3)
        self._position = sent
        self._stopped = False
        self._write("command " + " ".join(map(str, sent)))
        return sent

    def safe_stop(self) -> None:
        self._stopped = True
        self._write("stop")

    def release(self) -> None:
        self._write("release")

    def fault(self) -> Fault | None:
        said = self._said()
        return Fault(said, "it was told so") if said in ("estop", "overload") else None

    def clear_fault(self, operator: str) -> None:
        self._write(f"clear {operator}")

    def close(self) -> None:
        self._open = False

    def _said(self) -> str:
        try:
            return self._faults.read_text().strip()
        except FileNotFoundError:
            return ""

    def _write(self, line: str) -> None:
        with self._log.open("a") as file:
            file.write(f"{time.monotonic_ns()} {line}\n")


class Reusing(Slider):
    """Hands out the same arrays again and again, and spoils the command that it is given."""

    def __init__(self, faults: str, log: str = "/dev/null") -> None:
        super().__init__(faults, log)
        self._shown = [np.zeros(2), np.zeros(2)]

    def read(self) -> Sample:
        sample = super().read()
        self._shown[0][:] = sample.positions
        return replace(sample, positions=self._shown[0])

    def command(self, target: np.ndarray, seconds: float) -> np.ndarray:
        self._shown[1][:] = super().command(target, seconds)
        target[:] = 7.0
        return self._shown[1]


class Slow(Slider):
    """Says that it takes no more than ten commands a second."""

    def describe(self) -> RobotSpec:
        return replace(super().describe(), rate=10.0)


class Fenced(Slider):
    """Says that it broke a rollout off after its third command."""

    def describe(self) -> RobotSpec:
        return replace(super().describe(), sensors=(Sensor("truncated", "1"),))

    def read(self) -> Sample:
        commands = self._log.read_text().count("command") if self._log.exists() else 0
        return replace(super().read(), sensors=np.array([float(commands >= 3)]))
