"""Paths of commands: the way to a start, and the lines from one command to the next."""

import numpy as np

from robo_al_agent.envelope.envelope import Envelope
from robo_al_agent.robot import Array


def approach(
    now: Array, start: Array, envelope: Envelope, period: float, velocities: Array
) -> Array:
    """Return a minimum-jerk way [n, J] from one pose to another.

    It keeps to velocities [J] that are given, and to half the envelope's other limits.

    For a distance d in time T its largest velocity is 1.875 d / T, acceleration 5.774 d / T^2 and
    jerk 60 d / T^3 (Flash & Hogan 1985, "The coordination of arm movements").
    """
    distance = np.abs(start - now)
    seconds = max(
        float((1.875 * distance / velocities).max()),
        float(np.sqrt(5.774 * distance / (0.5 * envelope.accelerations)).max()),
        float(np.cbrt(60 * distance / (0.5 * envelope.jerks)).max()),
    )
    steps = int(np.ceil(seconds / period))
    s = (np.arange(1, steps + 1) / max(steps, 1))[:, None]
    way: Array = now + (start - now) * (10 * s**3 - 15 * s**4 + 6 * s**5)
    return way


def filled(start: Array, commands: Array, substeps: int) -> Array:
    """Return the commands [T * substeps, J] on the lines from each command to the next.

    Args:
        start: [J] where the first line begins.
        commands: [T, J] where the lines end.
        substeps: how many each line has.
    """
    before = np.concatenate([start[None], commands[:-1]])[:, None]
    share = (np.arange(1, substeps + 1) / substeps)[None, :, None]
    path = before + (commands[:, None] - before) * share
    path[:, -1] = commands  # exactly
    flat: Array = path.reshape(-1, commands.shape[-1])
    return flat
