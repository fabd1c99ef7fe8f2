"""Signals as columns of an episode's file, and back, to the last bit.

A column holds one dtype. Where trajectories of a file have signals of one name and several dtypes,
each dtype has a column of its own. The layout says what each trajectory has: how many rows, and of
which shape; so nothing is a row that was not measured.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Signals = Mapping[str, NDArray[Any]]


class Columns(NamedTuple):
    """The columns of all signals in a file."""

    arrays: dict[str, pa.Array]
    """By name; as many rows as the file has."""
    layout: str
    """JSON: for each trajectory, by the signal's name, its column and its shape."""


def signal_columns(signals: Sequence[Signals], lengths: Sequence[int]) -> Columns:
    """Return the columns that hold signals.

    Args:
        signals: of each trajectory, as `robo_al.dataset.measured.checked_signals` returns them.
        lengths: how many rows of the file each trajectory has; at least as many as its signals.
    """
    dtypes: dict[str, set[str]] = {}
    for found in signals:
        for name, values in found.items():
            dtypes.setdefault(name, set()).add(_kind(values))
    names = {
        (name, kind): name if len(kinds) == 1 else f"{name} {kind}"
        for name, kinds in sorted(dtypes.items())
        for kind in sorted(kinds)
    }
    layout: list[dict[str, Any]] = [
        {name: [names[name, _kind(values)], list(values.shape)] for name, values in found.items()}
        for found in signals
    ]
    arrays = {}
    for (name, kind), column in names.items():
        flat = any(_kind(x[name]) == kind and x[name].ndim > 1 for x in signals if name in x)
        rows: list[Any] = []
        for found, length in zip(signals, lengths, strict=True):
            has = name in found and _kind(found[name]) == kind
            part = _rows(found[name], flat) if has else []
            rows += part + [None] * (length - len(part))
        single = pa.string() if kind == "text" else pa.from_numpy_dtype(np.dtype(kind))
        arrays[column] = pa.array(rows, pa.list_(single) if flat else single)
    return Columns(arrays, json.dumps(layout, sort_keys=True))


def read_signals(part: pa.Table, layout: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the signals of one trajectory.

    Args:
        part: the rows of the file that are the trajectory's.
        layout: what `signal_columns` says of it.
    """
    signals = {}
    for name, (column, shape) in layout.items():
        values = part[column].slice(0, shape[0]).combine_chunks()
        kind = values.type
        if pa.types.is_list(kind):
            kind, values = kind.value_type, values.flatten()
        dtype = np.str_ if pa.types.is_string(kind) else kind.to_pandas_dtype()
        flat = values.to_numpy(zero_copy_only=False)
        signals[name] = np.array(flat, dtype=dtype).reshape(shape)
    return signals


def _kind(values: NDArray[Any]) -> str:
    return "text" if values.dtype.kind == "U" else values.dtype.name


def _rows(values: NDArray[Any], flat: bool) -> list[Any]:
    """Return a signal's rows as a column has them."""
    if not len(values):
        return []
    rows: list[Any] = (values.reshape(len(values), -1) if flat else values).tolist()
    return rows
