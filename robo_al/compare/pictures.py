"""The charts of a comparison's page, each with the words that stand for it."""

from collections.abc import Mapping
from typing import Any

from robo_al.compare import charts
from robo_al.compare.answers import JSON, TRUE_DYNAMICS, complete
from robo_al.compare.charts import Bar, Curve, Look
from robo_al.compare.tables import families
from robo_al.report.charts import Picture
from robo_al.report.words import count, noun, number, percent

ROLLOUTS = "rollouts"
AXES = {
    ROLLOUTS: "training rollouts",
    "transitions": "training transitions",
    "robot_seconds": "robot time of training rollouts [s]",
}
"""What learning curves are drawn over, and how the axis is labelled."""


def of_task(name: str, result: JSON) -> dict[str, Any]:
    """Return the chart of rollouts saved, if anything was compared, and the learning curves."""
    drawn = charts.looks(families(result))
    return {
        "saved": _saved(name, result, drawn),
        "curves": _learning_curves(name, result, drawn),
    }


def of_all(comparison: JSON) -> dict[str, Picture] | None:
    """Return the charts over all tasks, if there are scores."""
    overall = comparison["overall"]
    strategies = overall["strategies"]
    if not strategies:
        return None
    drawn = charts.looks([*comparison["strategies"], *comparison["bounds"]])
    tasks = count(len(overall["ends"]), "task")
    score = (
        "score: final return, from where runs begin (0)\n"
        f"to the threshold (1); {_sizes(strategies, 'runs', 'run')} of each strategy"
    )
    profile = charts.performance_profile(
        overall["scores"],
        {name: own["performance_profile"] for name, own in strategies.items()},
        drawn,
        score,
    )
    bars = [_bar(name, own["normalised_iqm"], drawn[name]) for name, own in strategies.items()]
    middle = len(overall["scores"]) // 2
    half = ", ".join(
        f"{name} {percent(own['performance_profile'][middle])}" for name, own in strategies.items()
    )
    return {
        "profile": Picture(
            profile,
            f"Performance profile over {tasks}. Runs with a score of 0.5 or more: {half}.",
        ),
        "scores": Picture(
            charts.intervals(bars, f"{score}\nmean of the middle half, 95 % interval"),
            f"Scores over {tasks}: {_in_words(bars)}.",
        ),
    }


def _sizes(figures: Mapping[str, JSON], key: str, word: str) -> str:
    """Return how many runs or seeds the figures of strategies are of: `n = 6 to 7 seeds`."""
    sizes = sorted({own[key] for own in figures.values()})
    span = " to ".join(f"{n}" for n in dict.fromkeys((sizes[0], sizes[-1])))
    return f"n = {span} {noun(word, sizes[-1])}"


def _saved(name: str, result: JSON, drawn: Mapping[str, Look]) -> Picture | None:
    """Draw the rollouts that each strategy saved against the reference."""
    compared = {
        strategy: own
        for strategy, own in families(result).items()
        if own["rollouts_saved"] is not None
    }
    if not compared:
        return None
    bars = [
        _bar(
            f"{strategy} (bound)" if strategy in result["bounds"] else strategy,
            own["rollouts_saved"],
            drawn[strategy],
            own["difference"] in ("fewer", "more"),
        )
        for strategy, own in compared.items()
    ]
    sizes = _sizes(compared, "seeds_compared", "seed")
    label = f"rollouts saved against {result['reference']}\nmean and 95 % interval, {sizes}"
    return Picture(
        charts.intervals(bars, label, none=0.0),
        f"Rollouts saved against {result['reference']} on {name}: {_in_words(bars)}.",
    )


def _bar(label: str, interval: Mapping[str, Any], look: Look, claimed: bool = False) -> Bar:
    low, high = (
        interval["value"] if interval[end] is None else interval[end] for end in ("low", "high")
    )
    return Bar(label, interval["value"], low, high, look.colour, claimed)


def _in_words(bars: list[Bar]) -> str:
    return "; ".join(
        f"{bar.label} {number(bar.value)}, {number(bar.low)} to {number(bar.high)}" for bar in bars
    )


def _learning_curves(
    name: str, result: JSON, drawn: Mapping[str, Look]
) -> dict[str, list[Picture]]:
    """Draw the learning curve of every strategy over that of the reference, for each axis."""
    reference = result["reference"]
    learned = {
        strategy: own for strategy, own in families(result).items() if strategy != TRUE_DYNAMICS
    }
    curves = {
        axis: {strategy: curve for strategy, own in learned.items() if (curve := _curve(own, axis))}
        for axis in AXES
    }
    threshold, ceiling = result["threshold"], None
    if TRUE_DYNAMICS in result["bounds"]:
        ceiling = result["bounds"][TRUE_DYNAMICS]["final_return_iqm"]["value"]
    seen = [y for curve in curves[ROLLOUTS].values() for y in (*curve.low, *curve.high)]
    seen += [level for level in (threshold, ceiling) if level is not None]
    room = 0.05 * (max(seen, default=0) - min(seen, default=0)) or 1.0
    limits = (min(seen, default=0) - room, max(seen, default=0) + room)
    pictures: dict[str, list[Picture]] = {}
    for axis, own in curves.items():
        for strategy in [name for name in own if name != reference] or list(own):
            shown = {other: own[other] for other in (reference, strategy) if other in own}
            svg = charts.learning_curve(
                strategy, shown, drawn, threshold, ceiling, limits, result["measure"], AXES[axis]
            )
            what = f"Learning curve of {strategy} on {name}, {result['measure']}"
            words = f"{what}: {_curves_in_words(shown, axis)}."
            pictures.setdefault(axis, []).append(Picture(svg, words))
    return pictures


def _curves_in_words(curves: Mapping[str, Curve], axis: str) -> str:
    return "; ".join(
        f"{name} goes from {number(curve.value[0])} to {number(curve.value[-1])} "
        f"({number(curve.low[-1])} to {number(curve.high[-1])}) after "
        f"{number(curve.points[-1])} {axis}"
        for name, curve in curves.items()
    )


def _curve(own: JSON, axis: str) -> Curve | None:
    curve = own["learning_curve"] if axis == ROLLOUTS else own["learning_curve_over"].get(axis)
    if curve is None:
        return None
    return Curve(
        points=curve[axis],
        value=curve["value"],
        low=curve["low"] or curve["value"],
        high=curve["high"] or curve["value"],
        runs=len(complete(own)),
    )
