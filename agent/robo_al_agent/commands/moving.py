"""`robo-al-agent recover`, `park` and `jog`: slow motions, by the agent or without one."""

import argparse
import signal
from typing import Any

from robo_al_agent.commands.device import device_of
from robo_al_agent.config import load_config
from robo_al_agent.errors import BusyError
from robo_al_agent.motion.leading import jog_goal, park_goal, park_pose
from robo_al_agent.motion.leading import lead as lead_robot
from robo_al_agent.motion.recovery import misplaced
from robo_al_agent.motion.recovery import recover as recover_robot
from robo_al_agent.operator import conversation


def recover(options: argparse.Namespace) -> None:
    """Lead joints back: by the agent that has the robot, or without one."""
    try:
        with device_of(options.config) as (door, envelope):
            stopped: list[int] = []

            def stop(number: int, _: Any) -> None:
                stopped.append(number)
                signal.signal(number, signal.default_int_handler)  # again: ends a call that hangs

            door.connect()
            wrong = misplaced(envelope, door.spec, door.read().positions)
            print(wrong.message if wrong else "every joint is inside its limits", flush=True)
            signal.signal(signal.SIGINT, stop)
            pose = recover_robot(door, envelope, lambda: bool(stopped))
            print("positions: " + ", ".join(f"{value:.4f}" for value in pose))
    except BusyError as busy:
        conversation.errand(options, busy)


def lead(options: argparse.Namespace) -> None:
    """Move the robot slowly: by the agent that has it, or without one."""
    try:
        with device_of(options.config) as (door, envelope):
            if options.command == "park":
                park = load_config(options.config).park
                goal = park_goal(park_pose(park, door.spec, envelope))
            else:
                goal = jog_goal(door.spec, options.joint, options.delta)
            stopped: list[int] = []
            signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
            door.connect()
            pose = lead_robot(door, envelope, goal, lambda: bool(stopped))
            print("positions: " + ", ".join(f"{value:.4f}" for value in pose))
    except BusyError as busy:
        conversation.errand(options, busy)
