"""The comparison's charts, in the style of the report's: numbers in, one inline SVG out.

Colours are Okabe and Ito's; strategies differ in line and marker too, so nothing hangs on colour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from robo_al.charts import BLUE, GREEN, INK, ORANGE, RED, chart, new_axes

COLOURS = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9")
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v")
"""Cycled through together: the first 60 strategies all look different."""


@dataclass(frozen=True)
class Curve:
    """A learning curve with its band, over P evaluations."""

    rollouts: Sequence[int]
    """[P] training rollouts."""
    value: Sequence[float]
    """[P] interquartile mean over runs."""
    low: Sequence[float]
    """[P] lower end of the 95 % interval."""
    high: Sequence[float]
    """[P] upper end of the 95 % interval."""
    runs: int
    """How many runs it is of."""


@dataclass(frozen=True)
class Bar:
    """A number with its interval, as one line of a chart."""

    label: str
    value: float
    low: float
    high: float
    claimed: bool = False
    """A difference is claimed: a diamond in place of a tick."""


@chart
def learning_curve(
    name: str,
    curves: Mapping[str, Curve],
    threshold: float | None,
    ceiling: float | None,
    limits: tuple[float, float],
    measure: str,
) -> Figure:
    """Draw one strategy's learning curve over that of `random`.

    Args:
        name: the strategy, drawn in blue; the other curves are there to compare with.
        curves: the strategies to draw.
        threshold: from which the task counts as solved, if it has one.
        ceiling: what the planner reaches with a perfect model, if that was measured.
        limits: of the vertical axis, the same for all strategies of a task.
        measure: what an evaluation measures, with its unit.
    """
    figure, axes = new_axes(3.7, 3.0)
    for label, curve in curves.items():
        own = label == name
        colour, line, marker = (BLUE, "-", "o") if own else (ORANGE, "--", "s")
        axes.fill_between(
            curve.rollouts, curve.low, curve.high, color=colour, alpha=0.25 if own else 0.15, lw=0
        )
        axes.plot(
            curve.rollouts, curve.value, line, marker=marker, color=colour, ms=3.5, lw=1.4,
            label=f"{_short(label)} (n = {curve.runs})",
        )  # fmt: skip
    if threshold is not None:
        axes.axhline(threshold, color=RED, ls=":", lw=1.2, label=f"solved ({threshold:.4g})")
    if ceiling is not None:
        axes.axhline(ceiling, color=GREEN, ls="-.", lw=1.2, label=f"perfect model ({ceiling:.4g})")
    axes.set_ylim(limits)
    axes.set_xlabel("training rollouts")
    axes.set_ylabel(measure)
    axes.set_title(f"{_short(name)}\nmean of the middle half of runs, 95 % band", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="best", fontsize=7.5)
    return figure


@chart
def intervals(bars: Sequence[Bar], label: str, none: float | None = None) -> Figure:
    """Draw numbers with their 95 % intervals, one under the other.

    Args:
        bars: from top to bottom.
        label: of the horizontal axis: what, its unit and how many runs.
        none: where no difference would lie.
    """
    figure, axes = new_axes(4.6, 0.95 + 0.28 * len(bars))
    if none is not None:
        axes.axvline(none, color=INK, ls="--", lw=1, alpha=0.6)
    for height, bar in enumerate(reversed(bars)):
        axes.plot([bar.low, bar.high], [height, height], "-", color=BLUE, lw=2)
        marker, size = ("D", 7) if bar.claimed else ("|", 12)
        axes.plot([bar.value], [height], marker, color=BLUE, mew=2, ms=size)
    axes.set_yticks(range(len(bars)), [_short(bar.label) for bar in reversed(bars)])
    axes.set_ylim(-0.6, len(bars) - 0.4)
    axes.set_xlabel(label)
    axes.grid(visible=False, axis="y")
    return figure


@chart
def performance_profile(
    scores: Sequence[float], profiles: Mapping[str, Sequence[float]], label: str
) -> Figure:
    """Draw which share of a strategy's runs reached a score or more, for every score.

    Args:
        scores: [P] the scores.
        profiles: [P] shares of runs, for each strategy.
        label: of the horizontal axis: what a score is, and how many runs there are.
    """
    figure, axes = new_axes(4.6, 3.4 + 0.1 * len(profiles))
    for index, (name, shares) in enumerate(profiles.items()):
        _series(axes, index, name, scores, [100 * share for share in shares])
    axes.set_xlabel(label)
    axes.set_ylabel("runs that reached it [%]")
    axes.set_ylim(-3, 103)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, handlelength=3.5)
    return figure


def _series(axes: Axes, index: int, name: str, xs: Sequence[float], ys: Sequence[float]) -> None:
    """Draw the series of a strategy in a colour, line and marker that are its own."""
    axes.plot(
        xs, ys, LINES[index % len(LINES)], color=COLOURS[index % len(COLOURS)], lw=1.4, ms=4,
        marker=MARKERS[index % len(MARKERS)], markevery=(2 * index % 10, 10), label=_short(name),
    )  # fmt: skip


def _short(name: str) -> str:
    """Return as much of a name as a chart has room for."""
    visible = f" {name}" if name.startswith("_") else name  # a legend leaves out what begins so
    return visible if len(visible) <= 28 else f"{visible[:27]}…"
