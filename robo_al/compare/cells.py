"""The cells of a comparison's tables: figures as text."""

from collections.abc import Callable

from robo_al.compare.answers import JSON, claims, complete, solved
from robo_al.report.words import number, percent

NOTHING = "–"
"""In a cell: there is nothing to say."""


def solved_of(own: JSON, threshold: float | None) -> str:
    """Return how many of the runs that count solved the task."""
    runs = len(complete(own))
    return f"{solved(own)} of {runs}" if runs and threshold is not None else NOTHING


def goal(figure: JSON | None) -> str:
    """Return where a strategy and the reference are compared."""
    if figure is None:
        return NOTHING
    return "solved" if figure["threshold"] else number(figure["level"])


def claim(own: JSON) -> str:
    """Return which differences from the reference are claimed."""
    ends = {"higher": "ends higher", "lower": "ends lower"}
    found = [ends.get(each, each) for each in claims(own)]
    return ", ".join(found) or ("none" if own["tests"] else NOTHING)


def interval(figure: JSON | None, write: Callable[[float], str] = number) -> str:
    """Return a figure and its interval, each written by `write`."""
    if figure is None or figure["value"] is None:
        return NOTHING
    if figure["low"] is None:
        return write(figure["value"])
    return f"{write(figure['value'])} ({write(figure['low'])} to {write(figure['high'])})"


def median(figure: JSON | None, budget: int) -> str:
    """Return a figure and its interval, of which ends may lie beyond what was seen."""
    if figure is None:
        return NOTHING
    value = f"> {budget}" if figure["median"] is None else number(figure["median"])
    if figure["low"] is None:
        return value
    if figure["high"] is None:
        return f"{value} ({number(figure['low'])} or more)"
    return f"{value} ({number(figure['low'])} to {number(figure['high'])})"


def p_value(figure: float | None) -> str:
    """Return a p value to two digits."""
    if figure is None:
        return NOTHING
    return "< 0.001" if figure < 0.001 else f"{figure:.2g}"


def least_p_value(own: JSON) -> str:
    """Return the smaller p value, where both rollouts and returns were tested."""
    return p_value(min((test["p_holm"] for test in own["tests"].values()), default=None))


def share(figure: JSON | None) -> str:
    """Return a share and its interval in percent."""
    if figure is None or figure["value"] is None:
        return NOTHING
    value = percent(figure["value"])
    if figure["low"] is None:
        return value
    return f"{value} ({100 * figure['low']:.0f} to {100 * figure['high']:.0f})"


def calibration(figure: JSON | None) -> tuple[str, str]:
    """Return how much of the predicted information was realised, and its rank correlation."""
    if figure is None:
        return NOTHING, NOTHING
    ratio, correlation = figure["realised_over_predicted"], figure["correlation"]
    return (
        f"{number(ratio)} (n = {figure['rollouts']})",
        NOTHING if correlation is None else f"{correlation:.2f}",
    )
