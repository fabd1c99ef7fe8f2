"""The comparison's charts, in the style of the report's: numbers in, one inline SVG out.

A strategy looks the same in every chart. Colours are Okabe and Ito's; strategies differ in line and
marker too, so nothing hangs on colour.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from robo_al.report.charts import BLUE, GREEN, INK, ORANGE, RED, chart, new_axes, whole
from robo_al.report.words import number

_COLOURS = (ORANGE, GREEN, BLUE, "#CC79A7", "#56B4E9", RED)
_LINES = ("--", "-.", "-", ":")
_MARKERS = ("s", "^", "o", "D", "v")
_USUAL = ("random", "greedy_return", "joint_information", "target_information", "lcmd", "variance")
"""Strategies that look the same on every page; the others take what is free, in their order."""
_BOUND_COLOURS = {"true_dynamics": INK, "all_knowing": "#888888"}


@dataclass(frozen=True)
class Look:
    """How a strategy is drawn wherever it is drawn."""

    colour: str
    line: str
    marker: str


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return how each strategy and bound is drawn: up to 6 strategies by colour, 60 in all.

    Args:
        names: all strategies and bounds of a comparison, in the order given there.
    """
    names = list(names)
    found = {
        name: Look(_BOUND_COLOURS[name], "-.", "D") for name in names if name in _BOUND_COLOURS
    }
    numbers = {name: at for at, name in enumerate(_USUAL) if name in names}
    free = (at for at in range(len(_USUAL) + len(names)) if at not in numbers.values())
    for name in names:
        if name not in found:
            at = numbers[name] if name in numbers else next(free)
            found[name] = Look(
                _COLOURS[at % len(_COLOURS)],
                _LINES[at % len(_LINES)],
                _MARKERS[at % len(_MARKERS)],
            )
    return found


@dataclass(frozen=True)
class Curve:
    """A learning curve with its band, over P evaluations."""

    points: Sequence[float]
    """[P] training rollouts, or another axis."""
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
    colour: str
    claimed: bool = False
    """A difference is claimed: a diamond in place of a tick."""


@chart
def learning_curve(
    name: str,
    curves: Mapping[str, Curve],
    drawn: Mapping[str, Look],
    threshold: float | None,
    ceiling: float | None,
    limits: tuple[float, float],
    measure: str,
    axis: str = "training rollouts",
) -> Figure:
    """Draw one strategy's learning curve over that of the reference.

    Args:
        name: the strategy; the other curves are there to compare with.
        curves: the strategies to draw.
        drawn: how each looks.
        threshold: from which the task counts as solved, if it has one.
        ceiling: what the planner reaches with a perfect model, if that was measured.
        limits: of the vertical axis, the same for all strategies of a task.
        measure: what an evaluation measures, with its unit.
        axis: what the curves are over, with its unit.
    """
    figure, axes = new_axes(3.7, 3.0)
    for label, curve in curves.items():
        look = drawn[label]
        axes.fill_between(curve.points, curve.low, curve.high, color=look.colour, alpha=0.2, lw=0)
        axes.plot(
            curve.points, curve.value, look.line, marker=look.marker, color=look.colour, ms=3.5,
            lw=1.4, markevery=max(1, len(curve.points) // 12),
            label=f"{_short(label)} (n = {curve.runs})",
        )  # fmt: skip
    if threshold is not None:
        axes.axhline(threshold, color=INK, ls=":", lw=1.2, label=f"solved ({threshold:g})")
    if ceiling is not None:
        label = f"perfect model ({number(ceiling)})"
        axes.axhline(ceiling, color=INK, ls="-.", lw=1.2, label=label)
    axes.set_ylim(limits)
    axes.set_xlabel(axis)
    axes.set_ylabel(measure)
    title = f"{_short(name)}\nmean of the middle half of runs, 95 % band"
    axes.set_title(title, fontsize=8, loc="right")  # at the left an exponent may stand
    whole(axes.xaxis)
    axes.legend(loc="best", fontsize=7.5)
    return figure


@chart
def intervals(bars: Sequence[Bar], label: str, none: float | None = None) -> Figure:
    """Draw numbers with their 95 % intervals, one under the other.

    Args:
        bars: from top to bottom.
        label: of the horizontal axis: what, its unit and how many runs.
        none: where no difference would lie; the numbers are then differences of counts.
    """
    figure, axes = new_axes(4.6, 0.95 + 0.28 * len(bars))
    if none is not None:
        axes.axvline(none, color=INK, ls="--", lw=1, alpha=0.6)
        whole(axes.xaxis)
    for height, bar in enumerate(bars):
        axes.plot([bar.low, bar.high], [height, height], "-", color=bar.colour, lw=2)
        marker, size = ("D", 7) if bar.claimed else ("|", 12)
        axes.plot([bar.value], [height], marker, color=bar.colour, mew=2, ms=size)
    low, high = axes.get_xlim()
    if none is not None and high - low < 1:  # no two whole numbers would be in sight
        axes.set_xlim(low - 1, high + 1)
    axes.set_yticks(range(len(bars)), [_short(bar.label) for bar in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlabel(label)
    axes.grid(visible=False, axis="y")
    return figure


@chart
def performance_profile(
    scores: Sequence[float],
    profiles: Mapping[str, Sequence[float]],
    drawn: Mapping[str, Look],
    label: str,
) -> Figure:
    """Draw which share of a strategy's runs reached a score or more, for every score.

    Args:
        scores: [P] the scores.
        profiles: [P] shares of runs, for each strategy.
        drawn: how each looks.
        label: of the horizontal axis: what a score is, and how many runs there are.
    """
    figure, axes = new_axes(4.6, 3.4 + 0.1 * len(profiles))
    for index, (name, shares) in enumerate(profiles.items()):
        look = drawn[name]
        axes.plot(
            scores, [100 * share for share in shares], look.line, color=look.colour, lw=1.4, ms=4,
            marker=look.marker, markevery=(2 * index % 10, 10), label=_short(name),
        )  # fmt: skip
    axes.set_xlabel(label)
    axes.set_ylabel("runs that reached it [%]")
    axes.set_ylim(-3, 103)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, handlelength=3.5)
    return figure


def _short(name: str) -> str:
    """Return as much of a name as a chart has room for."""
    visible = f" {name}" if name.startswith("_") else name  # a legend leaves out what begins so
    return visible if len(visible) <= 28 else f"{visible[:27]}…"
