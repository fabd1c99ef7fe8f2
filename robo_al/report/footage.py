"""Which recorded rollouts a report shows, and how true the pictures are."""

import base64
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robo_al import plugins
from robo_al.dataset.films import pictures_of
from robo_al.dataset.view import RunView
from robo_al.report.video import Video, VideoError, film, played
from robo_al.report.words import count, duration, number
from robo_al.types import Context, EnvSpec, Trajectory

EXACT = 1e-6
"""A replay whose observations are this near to the record is told as exact."""


@dataclass(frozen=True)
class Clip:
    """A video for a page."""

    base64: str
    """An MP4 file."""
    caption: str


def first_and_best(run: RunView) -> list[Clip]:
    """Film one start in the first and in the best evaluation.

    It is the start with the median return in the best: neither the luckiest nor the unluckiest.

    Args:
        run: with one complete evaluation at least.

    Raises:
        IntegrityError: an evaluation's file, or a film of it, is not what was written.
        PluginError: the oracle's plugin is not here.
        VideoError: the env cannot be drawn here, or must not move for a picture.
    """
    complete = [row for row in run.evaluation_rows if row.mean_return is not None]
    if not complete:
        raise VideoError("there is no complete evaluation yet")
    first, best = complete[0], max(complete, key=lambda row: row.mean_return or 0.0)
    shown = {"First and best": best} if best is first else {"First": first, "Best": best}
    returns = json.loads(best.returns)
    start = sorted(range(len(returns)), key=returns.__getitem__)[len(returns) // 2]
    evaluated = [run.evaluation(row) for row in shown.values()]
    if not all(evaluated):
        raise VideoError("the model was evaluated on recorded rollouts: nothing was executed")
    rollouts = [rollout[start][:2] for rollout in evaluated]
    captions = [
        f"{name} evaluation, after {count(row.rollouts, 'rollout')}. The video shows start "
        f"{start + 1}, with a return of {number(trajectory.total_reward)}; the mean over all "
        f"starts is {number(row.mean_return or 0.0)}."
        for (name, row), (_, trajectory) in zip(shown.items(), rollouts, strict=True)
    ]
    return [
        Clip(base64.b64encode(mp4).decode(), f"{caption} {how}")
        for caption, (mp4, how) in zip(captions, _videos(run, rollouts), strict=True)
    ]


def _videos(
    run: RunView, rollouts: Sequence[tuple[Context, Trajectory]]
) -> list[tuple[bytes, str]]:
    """Return an MP4 file of each rollout, and what it shows: what was seen, or a repetition."""
    if all(trajectory.film for _, trajectory in rollouts):
        return [_as_seen(trajectory) for _, trajectory in rollouts]
    _refuse_robot(run.config["oracle"])
    repeated = film(EnvSpec.in_config(run.config), rollouts)
    return [(video.mp4, _fidelity(video)) for video in repeated]


def _as_seen(trajectory: Trajectory) -> tuple[bytes, str]:
    """Return what the first camera saw in a rollout."""
    cameras = pictures_of("of an evaluation", trajectory)
    name, pictures = next(iter(cameras.items()))
    video = played(pictures)
    text = f"It shows what was observed, {name}"
    if video.seconds < 0.99 * video.of_seconds:
        text += f", the first {video.seconds:.0f} of {duration(video.of_seconds)} only"
    return video.mp4, f"{text}."


def _refuse_robot(oracle: Mapping[str, Any]) -> None:
    """Refuse to execute rollouts again where that is more than a simulation.

    Raises:
        VideoError: the oracle does not say that its rollouts can be repeated.
    """
    constructor = plugins.load("oracles", oracle["name"])
    parameter = inspect.signature(constructor).parameters.get("repeatable")
    default = parameter.default if parameter else getattr(constructor, "repeatable", False)
    if oracle.get("repeatable", default) is not True:
        raise VideoError(f"rollouts of the oracle {oracle['name']} are not executed again")


def _fidelity(video: Video) -> str:
    """Return in what a video is not exactly what was recorded."""
    text = "It is made by executing the recorded actions again"
    if video.seconds < 0.99 * video.of_seconds:
        text += f", the first {video.seconds:.0f} of {duration(video.of_seconds)} only"
    if video.deviation > EXACT:
        text += (
            f"; observations differ from the record by up to {number(video.deviation)}, so what "
            "is seen is not exactly what happened"
        )
    return f"{text}."
