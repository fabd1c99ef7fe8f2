"""The motion of a rollout before it happens, as numbers that a person can judge.

Axes: T steps, J joints.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robo_al_agent.envelope.envelope import Envelope
from robo_al_agent.motion.plan import Plan
from robo_al_agent.robot import RobotSpec

_UNKNOWN = "a policy decides at each step: nothing is known beforehand but the envelope"
_TITLES = ("joint", "start", "end", "smallest", "largest", "to limits", "fastest", "limit", "unit")


def preview(plan: Plan, spec: RobotSpec, envelope: Envelope) -> list[dict[str, Any]] | None:
    """Return for each joint where it goes and how fast; None where a policy decides as it goes.

    Positions and distances are in the joint's unit, velocities in unit/s. `start` is None for a
    rollout that begins wherever the robot is then.
    """
    if plan.commands is None:
        return None
    start, path = plan.content.start.get("joints"), plan.commands
    if start is not None:
        path = np.concatenate([np.array(start)[None], path])
    smallest, largest = path.min(axis=0), path.max(axis=0)
    speeds = np.abs(np.diff(path, axis=0)) / plan.content.period
    room = np.minimum(smallest - envelope.low, envelope.high - largest)
    return [
        {
            "joint": joint.name,
            "unit": joint.unit,
            "start": None if start is None else float(start[j]),
            "end": float(path[-1, j]),
            "smallest": float(smallest[j]),
            "largest": float(largest[j]),
            "to_limits": float(room[j]),
            "fastest": float(speeds[:, j].max(initial=0.0)),
            "velocity_limit": float(envelope.velocities[j]),
        }
        for j, joint in enumerate(spec.joints)
    ]


def told(motion: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """Return the lines that show a motion of `preview` to a person."""
    if motion is None:
        return [_UNKNOWN]
    rows = [_TITLES, *(_cells(row) for row in motion)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.rjust, row, widths)) for row in rows]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    keys = ("start", "end", "smallest", "largest", "to_limits", "fastest", "velocity_limit")
    # Adding 0 makes a negative zero a positive one.
    numbers = ["here" if row[key] is None else f"{row[key] + 0.0:.3g}" for key in keys]
    return (row["joint"], *numbers, "" if row["unit"] == "1" else f"{row['unit']}, {row['unit']}/s")
