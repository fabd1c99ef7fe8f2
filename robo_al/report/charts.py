"""The report's charts: numbers in, one inline SVG out; `Picture` adds the words for it.

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
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from robo_al.report.words import count, duration, percent

Parameters = ParamSpec("Parameters")

BLUE, ORANGE, GREEN, RED = "#1c80cc", "#E69F00", "#009E73", "#D55E00"
INK = "#010203"
"""Stands for the page's text colour until the SVG is written."""
_STYLE: Any = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.formatter.useoffset": False,
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


@dataclass(frozen=True)
class Picture:
    """A chart, and what it shows for those who cannot see it."""

    svg: str
    """As `chart` returns it."""
    words: str
    """Whole sentences."""

    def __html__(self) -> str:
        """Return the chart for a page, with the words as its accessible name."""
        name = Markup(' role="img" aria-label="{}"').format(self.words)
        return self.svg.replace("<svg", f"<svg{name}", 1)


def whole(axis: Axis) -> None:
    """Let an axis that counts things have ticks at whole numbers only, however short it is."""
    axis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))


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
    reward: float | None = None
    """Root mean square error of the learned reward after it, in units of the reward's spread."""


@chart
def learning_curve(
    points: Sequence[EvaluationPoint], threshold: float | None, robot_time: bool = False
) -> Figure:
    """Draw evaluation returns against rollouts.

    Args:
        points: the evaluations, in the order of rounds.
        threshold: mean return from which the task counts as solved, if it has one.
        robot_time: whether to draw them against robot time, where that is known.
    """
    figure, axes = new_axes(4.6, 3.4)
    shown = [p for p in points if p.robot_seconds is not None] if robot_time else points
    xs = [float(p.robot_seconds or 0) if robot_time else p.rollouts for p in shown]
    for x, point in zip(xs, shown, strict=True):
        label = f"single starts (n = {len(point.returns)})" if point is shown[-1] else None
        dots = [x] * len(point.returns)
        axes.plot(dots, point.returns, ".", color=BLUE, alpha=0.45, ms=5, mew=0, label=label)
    axes.plot(xs, [p.mean_return for p in shown], "-o", color=BLUE, ms=4, label="mean")
    if threshold is not None:
        axes.axhline(threshold, color=RED, ls="--", lw=1.2, label=f"solved ({threshold:g})")
    axes.set_xlabel("robot time of training rollouts [s]" if robot_time else "training rollouts")
    axes.set_ylabel("return of an evaluation")
    if not robot_time:
        whole(axes.xaxis)
    axes.legend(loc="best")
    return figure


@chart
def time_shares(seconds: Mapping[str, float]) -> Figure:
    """Draw how wall-clock time was shared among activities, one bar each."""
    total = sum(seconds.values())
    figure, axes = new_axes(4.6, 0.7 + 0.28 * len(seconds))
    for height, value in enumerate(seconds.values()):
        axes.barh(height, value, height=0.6, color=BLUE)
        share = percent(value / total if total else 0.0)
        axes.annotate(
            f"{share}, {duration(value)}", (value, height), (4, 0),
            textcoords="offset points", va="center",
        )  # fmt: skip
    axes.set_yticks(range(len(seconds)), list(seconds))
    axes.invert_yaxis()  # the first at the top
    axes.set_xlim(0, 1.35 * max(seconds.values()) or 1.0)  # room for the words beside the bars
    axes.set_xlabel(f"wall-clock time [s], of {duration(total)}")
    axes.grid(visible=False, axis="y")
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
    axes.set_title(count(len(predicted), "rollout"), fontsize=9)
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
    else:
        axes.set_yticks([])
    if failed:
        transform = axes.get_xaxis_transform()
        axes.plot(
            failed, [0.02] * len(failed), "x", color=RED, transform=transform, label="no data"
        )
    axes.set_xlabel("training rollout")
    axes.set_ylabel("return")
    axes.set_title(count(len(returns), "rollout"), fontsize=9)
    whole(axes.xaxis)
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
    axes.set_title(count(len(errors), "retraining"), fontsize=9)
    whole(axes.xaxis)
    axes.legend(loc="best")
    return figure
