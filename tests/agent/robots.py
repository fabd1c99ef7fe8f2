"""A driver that needs no device: two joints that are at their targets at once, or break.

`faults` is a file: what is written there becomes the robot's fault; `silent` freezes readings,
`slow` makes every reading take 0.1 s.
"""

import time
from pathlib import Path

import numpy as np

from robo_al_agent.robot import Fault, Joint, RobotSpec, Sample


class Slider:
    def __init__(self, faults: str, log: str = "/dev/null") -> None:
        self._faults, self._log = Path(faults), Path(log)
        self._position = np.zeros(2)
        self._sequence = 0
        self._open = False

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
        now = time.monotonic_ns()
        return Sample(now, self._sequence, self._position.copy(), zeros, zeros, np.zeros(0))

    def command(self, target: np.ndarray, seconds: float) -> np.ndarray:
        sent = np.round(target, 3)
        self._position = sent
        self._write("command " + " ".join(map(str, sent)))
        return sent

    def safe_stop(self) -> None:
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
        return self._faults.read_text().strip() if self._faults.exists() else ""

    def _write(self, line: str) -> None:
        with self._log.open("a") as file:
            file.write(f"{time.monotonic_ns()} {line}\n")
