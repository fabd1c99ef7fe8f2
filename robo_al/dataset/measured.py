"""What was measured beside observations, actions and rewards: details, signals and labels.

They have names of a lab's own, and come back as columns of tables: so a name is one word, and is
not taken already. Both are looked at when an outcome is told, and refused before anything changed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_al.dataset.rows import RolloutRow
from robo_al.errors import UserError
from robo_al.types import Label, Scalar, Trajectory

REQUESTED = "requested"
EPISODE_COLUMNS = ("observation", "action", REQUESTED, "reward")
"""Of an episode's file, which has a further one for each signal."""
_TAKEN_BY_STEPS = ("trajectory", "rollout", "step", "terminated", *EPISODE_COLUMNS)
_TAKEN_BY_ROLLOUTS = (
    *(field.name for field in fields(RolloutRow)),
    *("rollouts", "transitions", "start", "return"),  # of an evaluation's
)
_NAME = re.compile(r"\w[\w./-]{0,99}")
_KINDS = "biufU"
"""Of NumPy's dtypes: truth values, integers, floating-point numbers and texts."""
_WIDTHS = (4, 8)
"""Bytes of a floating-point number that a Parquet file takes."""
_MOST = 2**63
"""What whole numbers stay below: a table holds 64 bits."""


def checked_details(rollout: str, details: Any) -> dict[str, Scalar]:
    """Return details as plain Python values.

    Raises:
        UserError: they are no mapping, a name is none or taken, or a value is no scalar.
    """
    if not isinstance(details, Mapping):
        raise UserError(f"details of rollout {rollout} must be a mapping of names to values")
    taken = _TAKEN_BY_ROLLOUTS
    return {
        _name(rollout, "detail", name, taken): _scalar(rollout, f"detail {name}", value)
        for name, value in details.items()
    }


def checked_label(rollout: str, label: Any) -> Label:
    """Return a label with a plain Python value.

    Raises:
        UserError: it is no `Label`, or says nothing that can be recorded.
    """
    if not isinstance(label, Label):
        raise UserError(f"a label of rollout {rollout} is {label!r:.80}; it must be a Label")
    if not isinstance(label.by, str) or not label.by.strip():
        raise UserError(f"label {label.name!r:.80} of rollout {rollout} does not say who said it")
    name = _name(rollout, "label", label.name, ())
    return Label(name, _scalar(rollout, f"label {name}", label.value), _utf8(label.by))


def checked_signals(rollout: str, trajectory: Trajectory) -> dict[str, NDArray[Any]]:
    """Return signals as arrays that belong to nobody else, in dtypes that a file can hold.

    Raises:
        UserError: they are no mapping, a name is none or taken, or an array cannot be a signal.
    """
    if not isinstance(trajectory.signals, Mapping):
        raise UserError(f"signals of rollout {rollout} must be a mapping of names to arrays")
    rows = _rows(trajectory)
    return {
        _name(rollout, "signal", name, _TAKEN_BY_STEPS): _signal(rollout, name, values, rows)
        for name, values in trajectory.signals.items()
    }


def parsed_details(text: str | None) -> dict[str, Scalar | None]:
    """Return the details of a ledger's column; a number that was not finite is None."""
    parsed: dict[str, Scalar | None] = json.loads(text) if text else {}
    return parsed


def summary_of(signals: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, float]]:
    """Return the least, the mean and the greatest finite number of each signal that has one."""
    found = {}
    for name, values in signals.items():
        numbers = np.array([]) if values.dtype.kind == "U" else values.astype(np.float64)
        finite = numbers[np.isfinite(numbers)]
        if finite.size:
            found[name] = {
                "min": float(finite.min()),
                "mean": float(finite.mean()),
                "max": float(finite.max()),
            }
    return found


def _name(rollout: str, what: str, name: Any, taken: tuple[str, ...]) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(
            f"{what} {name!r:.80} of rollout {rollout}: a name is one word of at most 100 "
            "letters, digits and _ . / -, and begins with a letter or a digit"
        )
    if name in taken:
        raise UserError(
            f"{what} {name} of rollout {rollout}: there is a column of this name already; "
            "give it another name"
        )
    return name


def _scalar(rollout: str, what: str, value: Any) -> Scalar:
    if isinstance(value, str):
        return _utf8(value)
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer) and -_MOST <= value < _MOST:
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value)
    raise UserError(
        f"{what} of rollout {rollout} is {value!r:.80}; it must be a number of at most 64 bits, "
        "true, false or a text"
    )


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _rows(trajectory: Trajectory) -> set[int]:
    """Return how many rows a signal may have: T or T+1, whichever of the arrays says so.

    Where they disagree, the trajectory is quarantined and kept, with its signals.
    """
    rows = set()
    for values, more in ((trajectory.observations, -1), (trajectory.actions, 1)):
        if isinstance(values, np.ndarray) and values.ndim:
            rows |= {len(values), len(values) + more}
    return rows


def _signal(rollout: str, name: str, values: Any, rows: set[int]) -> NDArray[Any]:
    where = f"signal {name} of rollout {rollout}"
    try:
        array = np.array(values, order="C")
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} is no array: {error}") from error
    if array.dtype.kind not in _KINDS or array.ndim == 0:
        raise UserError(
            f"{where} is an array of {array.dtype} with {array.ndim} axes; it must have a row for "
            "each step or observation, of numbers, truth values or texts"
        )
    if rows and len(array) not in rows:
        raise UserError(
            f"{where} has {len(array)} rows; it must have one for each step or for each "
            f"observation, {min(rows)} or {max(rows)}"
        )
    if name == "time_ns" and not (_is_column(array) and np.isfinite(array).all()):
        raise UserError(f"{where} must be one column of nanoseconds, each a finite number")
    if name == "actor" and not (_is_column(array) and np.isin(array, (0, 1)).all()):
        raise UserError(f"{where} must be one column of 0 for the policy and 1 for a person")
    return _storable(array)


def _is_column(array: NDArray[Any]) -> bool:
    return array.ndim == 1 and array.dtype.kind != "U"


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "U":
        return np.array([_utf8(text) for text in array.flat], np.str_).reshape(array.shape)
    if array.dtype.kind == "f" and array.dtype.itemsize not in _WIDTHS:
        return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="))
