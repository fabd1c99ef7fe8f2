"""One rollout for a person who is to say how it went: figures, its film, and lines of text."""

import json
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from robo_al.dataset.rows import LabelRow, RolloutRow
from robo_al.dataset.view import RunView
from robo_al.errors import RoboALError
from robo_al.report.measures import cell, span
from robo_al.report.words import count, duration, number

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 48
"""Characters of a drawn line at most."""
_CHANNELS = 6
"""How many channels of the observation are drawn at most."""


def card(run: RunView, row: RolloutRow, said: Sequence[LabelRow]) -> list[str]:
    """Return what there is to see of a rollout, in lines.

    Args:
        run: that it is of.
        row: its row.
        said: the labels that it has.
    """
    figures = [f"round {row.round}", count(row.steps or 0, "step")]
    figures += [] if row.total_reward is None else [f"return {number(row.total_reward)}"]
    figures += [] if not row.robot_seconds else [duration(row.robot_seconds)]
    figures += [] if row.state == "recorded" else [f"{row.state}: {row.reason}"]
    lines = [", ".join(figures)]
    if said:
        told = [f"{one.name} {cell(json.loads(one.value))} ({one.by})" for one in said]
        lines.append(f"said: {', '.join(told)}")
    film = run.folder / "episodes" / f"{row.id}.mp4"
    if film.is_file():
        return [*lines, f"film: {film}"]
    try:
        trajectory = run.episode(row.id)
    except RoboALError as error:
        return [*lines, f"nothing can be drawn: {error}"]
    channels = trajectory.observations.T[:_CHANNELS]
    drawn = {f"observation[{i}]": values for i, values in enumerate(channels)}
    drawn["reward"] = trajectory.rewards
    return lines + [f"{name:15} {line(values)}" for name, values in drawn.items()]


def line(values: Float[np.ndarray, "T"]) -> str:
    """Draw numbers as bars of one line of text, followed by their least and greatest."""
    known = values[np.isfinite(values)]
    if not known.size:
        return "no finite number"
    at = np.linspace(0, len(values) - 1, min(len(values), _WIDTH)).round().astype(int)
    low, high = float(known.min()), float(known.max())
    shares = (values[at] - low) / ((high - low) or 1.0)
    bars = [_BARS[int(7 * share)] if np.isfinite(share) else " " for share in shares]
    return f"{''.join(bars)}  {span(low, high)}"
