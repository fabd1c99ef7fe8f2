"""The pictures of a run's page, each with the words that stand for it."""

import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from robo_al.dataset.rows import FitRow, RolloutRow
from robo_al.report import charts
from robo_al.report.charts import EvaluationPoint, HeldOut, Picture
from robo_al.report.summary import time_shares as shares_in_words
from robo_al.report.words import count, duration, number


def learning_curves(points: Sequence[EvaluationPoint], threshold: float | None) -> list[Picture]:
    """Draw the evaluations, if there are any, against rollouts and against robot time."""
    if not points:
        return []
    first, last = points[0], points[-1]
    words = (
        f"Learning curve: the mean return of an evaluation is {number(first.mean_return)} after "
        f"{count(first.rollouts, 'rollout')}"
    )
    if last is not first:
        words += f", and {number(last.mean_return)} after {count(last.rollouts, 'rollout')}"
    if threshold is not None:
        words += f"; the task counts as solved from {threshold:g}"
    pictures = [Picture(charts.learning_curve(points, threshold), f"{words}.")]
    timed = [point for point in points if point.robot_seconds is not None]
    if timed:
        spent = duration(timed[-1].robot_seconds or 0.0)
        svg = charts.learning_curve(timed, threshold, robot_time=True)
        pictures.append(Picture(svg, f"The same evaluations against robot time, up to {spent}."))
    return pictures


def time_shares(seconds: Mapping[str, float]) -> Picture:
    """Draw how wall-clock time was shared among activities."""
    said = shares_in_words(seconds) or "nothing yet"
    total = duration(sum(seconds.values()))
    return Picture(charts.time_shares(seconds), f"Shares of {total} of wall-clock time: {said}.")


def information(pairs: Sequence[tuple[float, float]]) -> Picture | None:
    """Draw realised against predicted information [nat], if any rollout has both."""
    if not pairs:
        return None
    words = f"Information realised against predicted, of {count(len(pairs), 'rollout')}."
    return Picture(charts.information(*zip(*pairs, strict=True)), f"{words} {ratio(pairs)}".strip())


def ratio(pairs: Sequence[tuple[float, float]]) -> str:
    """Return how much of the predicted information was realised, in a sentence if it is known."""
    ratios = [realised / predicted for predicted, realised in pairs if predicted > 0]
    if not ratios:
        return ""
    middle = number(median(ratios))
    return f"In the median, a rollout gave {middle} times the information that was predicted."


def training_returns(rows: Sequence[RolloutRow]) -> Picture | None:
    """Draw the return of each training rollout that is over, if there is any."""
    over = [row for row in rows if row.state not in ("selected", "dispatched")]
    if not over:
        return None
    returns = [row.total_reward if row.state == "recorded" else None for row in over]
    known = [value for value in returns if value is not None]
    words = f"Returns of {count(len(over), 'training rollout')}"
    if known:
        words += f": from {number(min(known))} to {number(max(known))}"
    if len(known) < len(over):
        words += f"; {len(over) - len(known)} gave no data"
    return Picture(charts.training_returns(returns), f"{words}.")


def compared(fits: Sequence[FitRow]) -> list[HeldOut]:
    """Return the model's error before and after each retraining that was compared."""
    found = [(row.number, json.loads(row.held_out)) for row in fits if row.held_out]
    return [
        HeldOut(
            fit,
            _nlpd(errors["old"]),
            _nlpd(errors["new"]),
            errors["worse"],
            errors["new"].get("reward"),
        )
        for fit, errors in found
    ]


def _nlpd(errors: Mapping[str, Any]) -> float:
    """Return the negative log predictive density; an earlier robo-al wrote `density`."""
    value: float = errors["nlpd"] if "nlpd" in errors else errors["density"]
    return value


def held_out(errors: Sequence[HeldOut]) -> Picture | None:
    """Draw the model's error on held-out rollouts, if any retraining was compared on some."""
    if not errors:
        return None
    last = errors[-1]
    words = (
        f"Held-out error of the model: {number(last.old)} nat before the last retraining and "
        f"{number(last.new)} nat after it. {worse(errors)}"
    )
    return Picture(charts.held_out(errors), words)


def worse(errors: Sequence[HeldOut]) -> str:
    """Return how many retrainings made the model worse, and how good a learned reward is."""
    bad = sum(error.worse for error in errors)
    told = f"{count(bad, 'retraining') if bad else 'No retraining'} made the model worse."
    if errors and errors[-1].reward is not None:
        told += f" The learned reward is off by {number(errors[-1].reward)} times its spread."
    return told
