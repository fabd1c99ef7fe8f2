"""Details, signals and labels of many rollouts, for people: whatever their names are."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from robo_al.report.words import count, number
from robo_al.types import Scalar

Named = Mapping[str, Scalar | None]
_MOST = 10
"""How many different texts are told of one name."""
TIMES = ("time_ns", "sequence")
"""Signals whose values say nothing to people, and are not shown to them."""


def of_scalars(rollouts: Iterable[Named]) -> dict[str, dict[str, Any]]:
    """Return for each name what was measured or said of how many rollouts.

    Numbers have `min`, `mean` and `max`; truth values have `true`, the number of rollouts of which
    they hold; texts have `values`, the most frequent first, with how many rollouts have each, and
    truth values beside texts are `yes` and `no` among them.
    """
    found: dict[str, list[Scalar]] = {}
    for named in rollouts:
        for name, value in named.items():
            if value is not None:
                found.setdefault(name, []).append(value)
    return {name: _of_values(values) for name, values in found.items()}


def of_signals(
    rollouts: Iterable[Mapping[str, Mapping[str, float]]],
) -> dict[str, dict[str, float]]:
    """Return for each signal how many rollouts have it, its least and its greatest value."""
    found: dict[str, list[Mapping[str, float]]] = {}
    for named in rollouts:
        for name, values in named.items():
            found.setdefault(name, []).append(values)
    return {
        name: {
            "rollouts": len(values),
            "min": min(value["min"] for value in values),
            "max": max(value["max"] for value in values),
        }
        for name, values in found.items()
    }


def in_words(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what `of_scalars` or `of_signals` found, a clause for each name."""
    return "; ".join(
        f"{name} {_clause(values)}" for name, values in found.items() if name not in TIMES
    )


def cell(value: Scalar | Mapping[str, float] | None) -> str:
    """Return the value of a detail, a label or a signal as a table has it."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return span(value["min"], value["max"])
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else number(value)


def span(least: float, greatest: float) -> str:
    """Return from where to where values go; one number where all are the same."""
    low, high = number(least), number(greatest)
    return low if low == high else f"{low} to {high}"


def _of_values(values: list[Scalar]) -> dict[str, Any]:
    told: dict[str, Any] = {"rollouts": len(values)}
    if all(isinstance(value, bool) for value in values):
        return told | {"true": sum(value is True for value in values)}
    if all(isinstance(value, bool | str) for value in values):  # such as an answer `unsure`
        values = [cell(value) for value in values]
    numbers = [float(value) for value in values if not isinstance(value, str)]
    texts = Counter(value for value in values if isinstance(value, str))
    if numbers:
        mean = math.fsum(numbers) / len(numbers)
        told |= {"min": min(numbers), "mean": mean, "max": max(numbers)}
    if texts:
        told["values"] = dict(texts.most_common(_MOST))
    return told


def _clause(values: Mapping[str, Any]) -> str:
    if "values" in values:
        return ", ".join(f"{text} ({times})" for text, times in values["values"].items())
    if "true" in values:
        return f"{values['true']} of {count(values['rollouts'], 'rollout')}"
    return span(values["min"], values["max"])
