"""The report's charts: numbers in, one inline SVG out.

Ink is `currentColor`, so a chart follows the page between light and dark. Colours are close to
Okabe and Ito's, which colour-blind readers tell apart, and no meaning hangs on colour alone.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Parameters = ParamSpec("Parameters")

BLUE, ORANGE, GREEN, RED = "#1c80cc", "#E69F00", "#009E73", "#D55E00"
ACTIVITY_COLOURS = (BLUE, "#56B4E9", GREEN, "#F0E442", ORANGE, "#CC79A7", "#888888")
INK = "#010203"
"""Stands for the page's text colour until the SVG is written."""
_STYLE: Any = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.alpha": 0.15,
    "grid.color": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "robo-al",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def chart(draw: Callable[Parameters, Figure]) -> Callable[Parameters, str]:
    """Draw in the report's style, and return the figure as an SVG element."""

    @wraps(draw)
    def drawn(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> str:
        with matplotlib.rc_context(_STYLE):
            figure, buffer = draw(*arguments, **keywords), io.StringIO()
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        text = buffer.getvalue()
        text = text[text.index("<svg") :].replace(INK, "currentColor")
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        return re.sub(r'<g id="[^"]*"', "<g", text)

    return drawn


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of a size in inches, with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


@dataclass(frozen=True)
class EvaluationPoint:
    """One evaluation, as the learning curve shows it."""

    rollouts: int
    """Training rollouts recorded before it."""
    robot_seconds: float | None
    """Robot time spent on them."""
    returns: tuple[float, ...]
    """One for each start."""
    mean_return: float


@dataclass(frozen=True)
class HeldOut:
    """A retraining: negative log density on held-out rollouts, nats per step and output."""

    fit: int
    """Which retraining, from 1."""
    old: float
    """Before it."""
    new: float
    """After it."""
    worse: bool
    """Beyond doubt."""


@chart
def learning_curve(points: Sequence[EvaluationPoint], threshold: float | None) -> Figure:
    """Draw evaluation returns against rollouts and against robot time."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    timed = [p for p in points if p.robot_seconds is not None]
    _curve(left, points, [p.rollouts for p in points], threshold)
    _curve(right, timed, [float(p.robot_seconds or 0) for p in timed], threshold)
    left.set_xlabel("training rollouts")
    left.set_ylabel("return of an evaluation")
    right.set_xlabel("robot time of training rollouts [s]")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.legend(loc="best")
    return figure


def _curve(
    axes: Axes, points: Sequence[EvaluationPoint], xs: Sequence[float], threshold: float | None
) -> None:
    for x, point in zip(xs, points, strict=True):
        label = f"single starts (n = {len(point.returns)})" if point is points[-1] else None
        dots = [x] * len(point.returns)
        axes.plot(dots, point.returns, ".", color=BLUE, alpha=0.45, ms=5, mew=0, label=label)
    axes.plot(xs, [p.mean_return for p in points], "-o", color=BLUE, ms=4, label="mean")
    if threshold is not None:
        axes.axhline(threshold, color=RED, ls="--", lw=1.2, label=f"solved ({threshold:g})")


@chart
def time_shares(seconds: Mapping[str, float]) -> Figure:
    """Draw how wall-clock time was shared among activities, as one bar."""
    total = sum(seconds.values())
    figure, axes = new_axes(9, 1.3)
    start = 0.0
    for (name, value), colour in zip(seconds.items(), ACTIVITY_COLOURS, strict=False):
        share = 100 * value / total if total else 0.0
        axes.barh(0, share, left=start, color=colour, label=f"{name} {share:.0f} %")
        start += share
    axes.set_xlim(0, 100)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"share of {total:.1f} s wall-clock time [%]")
    figure.legend(loc="outside upper center", ncols=len(seconds), handlelength=1)
    return figure


@chart
def information(predicted: Sequence[float], realised: Sequence[float]) -> Figure:
    """Draw realised against predicted information of the training rollouts."""
    figure, axes = new_axes(3.7, 3.2)
    top = 1.05 * max(*predicted, *realised, 1e-9)
    axes.plot([0, top], [0, top], "--", color=INK, lw=1, alpha=0.6, label="as predicted")
    axes.plot(predicted, realised, "o", color=BLUE, ms=4, alpha=0.7, label="a rollout")
    axes.set_xlabel("information predicted at selection [nat]")
    axes.set_ylabel("information realised [nat]")
    axes.set_title(f"n = {len(predicted)} rollouts", fontsize=9)
    axes.legend(loc="best")
    return figure


@chart
def training_returns(returns: Sequence[float | None]) -> Figure:
    """Draw the return of each training rollout in the order of selection; None where it failed."""
    figure, axes = new_axes(3.7, 3.2)
    good = [(i + 1, value) for i, value in enumerate(returns) if value is not None]
    failed = [i + 1 for i, value in enumerate(returns) if value is None]
    if good:
        axes.plot(*zip(*good, strict=True), "o", color=GREEN, ms=4, label="recorded")
    if failed:
        transform = axes.get_xaxis_transform()
        axes.plot(
            failed, [0.02] * len(failed), "x", color=RED, transform=transform, label="no data"
        )
    axes.set_xlabel("training rollout")
    axes.set_ylabel("return")
    axes.set_title(f"n = {len(returns)} rollouts", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="best")
    return figure


@chart
def held_out(errors: Sequence[HeldOut]) -> Figure:
    """Draw the model's error on held-out rollouts before and after each retraining."""
    figure, axes = new_axes(3.7, 3.2)
    fits, worse = [e.fit for e in errors], [e for e in errors if e.worse]
    axes.plot(fits, [e.old for e in errors], "s", color=ORANGE, ms=4, label="before")
    axes.plot(fits, [e.new for e in errors], "-o", color=BLUE, ms=4, label="after")
    if worse:
        xs, ys = [e.fit for e in worse], [e.new for e in worse]
        axes.plot(xs, ys, "x", color=RED, ms=10, mew=2, label="worse")
    axes.set_xlabel("retraining")
    axes.set_ylabel("negative log density [nat]")
    axes.set_title(f"n = {len(errors)} retrainings", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="best")
    return figure
