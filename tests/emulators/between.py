"""The real drivers, whose calls misbehave as they are told: drivers for tests, by this file's path.

Each call goes on to the real driver and its (emulated) device. `misbehaviour.json` in the folder
`folder` says what goes wrong beside that, in the words of misbehaving.py: raise, hang, slow, print.
It happens after a reading and a command, and before a stop.
"""

import runpy
from pathlib import Path

from robo_al_agent.drivers.dynamixel import Dynamixel
from robo_al_agent.drivers.feetech import Feetech
from robo_al_agent.drivers.ros2_trajectory import Ros2Trajectory
from robo_al_agent.drivers.ur_rtde import UrRtde

behave = runpy.run_path(str(Path(__file__).with_name("misbehaving.py")))["Misbehaving"].behave


class Between:
    """Stands before a driver in the order in which methods are looked up."""

    lost = False

    def __init__(self, folder, **parameters):
        super().__init__(**parameters)
        self.folder = Path(folder)

    def read(self):
        sample = super().read()
        behave(self, "read")
        return sample

    def command(self, target, seconds):
        sent = super().command(target, seconds)
        behave(self, "command")
        return sent

    def safe_stop(self):
        behave(self, "safe_stop")
        super().safe_stop()


class BetweenFeetech(Between, Feetech):
    """Feetech's servos."""


class BetweenDynamixel(Between, Dynamixel):
    """Dynamixel's servos."""


class BetweenUr(Between, UrRtde):
    """An arm of Universal Robots."""


class BetweenRos2(Between, Ros2Trajectory):
    """An arm in ROS 2."""
