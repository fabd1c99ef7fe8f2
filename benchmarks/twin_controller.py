"""The twin as a robot whose controller takes whole trajectories: a driver for robot_faults.py."""

import threading
import time
from collections.abc import Callable

import numpy as np

from robo_al_agent.drivers.mujoco_twin import MujocoTwin
from robo_al_agent.robot import Ended, JointTrajectory, Sample, Tolerance

PERIOD = 0.02
"""Seconds between two targets that the controller sends to the servos."""


class TwinController(MujocoTwin):
    """Follows trajectories by itself; what was sent last goes on when this process is killed."""

    def __init__(self, socket: str) -> None:
        super().__init__(socket)
        self._cancelled = threading.Event()

    def execute(
        self,
        trajectory: JointTrajectory,
        tolerance: Tolerance,
        on_sample: Callable[[Sample], None],
    ) -> Ended:
        """Follow a trajectory; see `robo_al_agent.driver`."""
        self._cancelled.clear()
        planned, began = float(trajectory.seconds[-1]), time.monotonic()
        while (passed := time.monotonic() - began) < planned:
            if self._cancelled.is_set():
                return Ended("ABORTED_OPERATOR", "cancelled", passed / planned)
            at, columns = min(passed + PERIOD, planned), trajectory.positions.T
            target = np.array([np.interp(at, trajectory.seconds, column) for column in columns])
            self.command(target, PERIOD)
            on_sample(self.read())
            time.sleep(PERIOD)
        return Ended("SUCCEEDED", "", 1.0)

    def cancel(self) -> None:
        """End what `execute` follows."""
        self._cancelled.set()
