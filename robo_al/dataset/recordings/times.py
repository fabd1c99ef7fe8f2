"""Time stamps of recorded rollouts: whether steps are as long as the task says.

A model learns what one step does. Where frames are missing, or the rate is another, it would learn
something else without anybody being told. Stamps are the signal `time_ns`, where there is one.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robo_al.errors import UserError
from robo_al.types import Trajectory

LONGEST = 1.75
"""Control periods that a step may take; where one frame is missing, it takes 2."""
TOLERANCE = 0.1
"""How far the mean step may be from the control period, as a share of it."""


def gap(episode: Trajectory, control_period: float) -> str | None:
    """Return where time is missing in a rollout, or runs backwards; None where all is well.

    Args:
        episode: with time stamps or without.
        control_period: seconds between two actions.
    """
    steps = _steps(episode)
    wrong = (steps <= 0) | (steps > LONGEST * control_period)
    if not wrong.any():
        return None
    at = int(wrong.argmax())
    return (
        f"its time stamps {at} and {at + 1} are {steps[at]:.3g} s apart; a step takes "
        f"{control_period:.3g} s"
    )


def check_rate(source: Path, control_period: float, episodes: Mapping[str, Trajectory]) -> None:
    """Refuse rollouts whose time stamps say that their steps are usually not a control period.

    Args:
        source: the folder that they were read from.
        control_period: seconds between two actions.
        episodes: by name.

    Raises:
        UserError: the mean step of all rollouts, but for gaps, differs by more than a tenth.
    """
    steps = np.concatenate([[], *(_steps(episode) for episode in episodes.values())])
    if not len(steps):
        return
    usual = float(np.mean(steps[steps <= LONGEST * np.median(steps)]))
    if abs(usual - control_period) > TOLERANCE * control_period:
        raise UserError(
            f"{source}: by its time stamps a step takes {usual:.3g} s, by its description "
            f"{control_period:.3g} s; correct the one that is wrong, or resample the recording"
        )


def _steps(episode: Trajectory) -> NDArray[np.float64]:
    """Return the seconds between the stamps of a rollout; of one without stamps none."""
    stamps = episode.signals.get("time_ns")
    if stamps is None or np.ndim(stamps) != 1 or len(stamps) < 2:
        return np.zeros(0)
    return np.diff(np.asarray(stamps)).astype(np.float64) * 1e-9
