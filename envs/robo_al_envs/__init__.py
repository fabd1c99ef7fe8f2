"""Benchmark tasks as Gymnasium environments, with their MJCF.

Importing it registers them with Gymnasium as `robo_al/Pendulum-v0` and so on.
"""

import gymnasium

from robo_al_envs.cartpole import CartpolePILCO
from robo_al_envs.cartpole_mcpilco import CartpoleMCPILCO
from robo_al_envs.cartpole_swingup import CartpoleSwingup
from robo_al_envs.lava_path import LavaPath
from robo_al_envs.pendulum import Pendulum
from robo_al_envs.pendulum_penalty import PendulumPenalty
from robo_al_envs.reacher import Reacher
from robo_al_envs.so101 import So101Push, So101Reach
from robo_al_envs.ur5 import UR5

TASKS = (
    Pendulum,
    CartpolePILCO,
    Reacher,
    LavaPath,
    CartpoleSwingup,
    PendulumPenalty,
    So101Reach,
    So101Push,
    CartpoleMCPILCO,
    UR5,
)

__all__ = [
    "TASKS",
    "UR5",
    "CartpoleMCPILCO",
    "CartpolePILCO",
    "CartpoleSwingup",
    "LavaPath",
    "Pendulum",
    "PendulumPenalty",
    "Reacher",
    "So101Push",
    "So101Reach",
]

for _task in TASKS:
    gymnasium.register(
        id=f"robo_al/{_task.__name__}-v0",
        entry_point=f"{_task.__module__}:{_task.__name__}",
        max_episode_steps=_task.horizon,
        reward_threshold=_task.threshold,
    )
