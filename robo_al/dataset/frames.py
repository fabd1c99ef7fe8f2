"""What a run says as tables of pandas, which is imported when one is made."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robo_al.dataset.rows import EvaluationRow, RolloutRow
from robo_al.types import Scalar, Trajectory

if TYPE_CHECKING:
    import pandas as pd

_JSON = ("context", "controller", "details", "signals")
"""Columns of the ledger that hold more than one value; the first two are parsed."""
_NULLABLE = {"b": "boolean", "i": "Int64", "u": "UInt64", "f": "float64"}
"""Columns of pandas that can say of a row that there is nothing, by the kind of NumPy's dtype."""
Named = Mapping[str, Mapping[str, Scalar | None]]


def rollouts(
    rows: Sequence[RolloutRow],
    details: Named,
    signals: Mapping[str, Mapping[str, Mapping[str, float]]],
    labels: Named,
) -> "pd.DataFrame":
    """Return one row for each rollout; see `robo_al.dataset.view.RunView.rollouts`.

    Args:
        rows: of the ledger.
        details: of each rollout, by its id.
        signals: what is known of each rollout's, by its id.
        labels: of each rollout, by its id.
    """
    import pandas as pd

    table = []
    for row in rows:
        plain = {name: value for name, value in asdict(row).items() if name not in _JSON}
        plain |= {"context": json.loads(row.context), "controller": json.loads(row.controller)}
        spread = {
            f"{name}[{what}]": value
            for name, found in signals[row.id].items()
            for what, value in found.items()
        }
        said = {f"label[{name}]": value for name, value in labels[row.id].items()}
        table.append({**plain, **details[row.id], **spread, **said})
    names = [name for name in RolloutRow.__dataclass_fields__ if name not in _JSON[2:]]
    further = {name: None for row in table for name in row if name not in names}
    return pd.DataFrame(table, columns=[*names, *further]).set_index("id")


def transitions(episodes: Mapping[str, Trajectory]) -> "pd.DataFrame":
    """Return one row for each step; see `robo_al.dataset.view.RunView.transitions`.

    Args:
        episodes: by the rollout's id.
    """
    import pandas as pd

    spread: list[dict[str, NDArray[Any]]] = []
    for rollout, episode in episodes.items():
        arrays = {
            "rollout": np.full(episode.steps, rollout),
            "step": np.arange(episode.steps),
            "observation": episode.observations[:-1],
            "action": episode.actions,
            "requested": episode.requested,
            "reward": episode.rewards,
            "next_observation": episode.observations[1:],
            "terminated": episode.ends,
        }
        columns: dict[str, NDArray[Any]] = {}
        for name, values in (arrays | dict(episode.signals)).items():
            columns |= _spread(name, values[: episode.steps])
        spread.append(columns)
    names = dict.fromkeys(name for columns in spread for name in columns)
    steps = [len(columns["step"]) for columns in spread]
    return pd.DataFrame(
        {name: _column([columns.get(name) for columns in spread], steps) for name in names}
    )


def evaluations(rows: Sequence[EvaluationRow]) -> "pd.DataFrame":
    """Return one row for each rollout of each evaluation.

    Args:
        rows: of the ledger.
    """
    import pandas as pd

    table: list[dict[str, Any]] = []
    for row in rows:
        returns = json.loads(row.returns)
        details = json.loads(row.details) if row.details else [{} for _ in returns]
        for start, (value, measured) in enumerate(zip(returns, details, strict=True)):
            plain = {
                "round": row.round,
                "rollouts": row.rollouts,
                "transitions": row.transitions,
                "start": start,
                "return": value,
            }
            table.append(plain | measured)
    names = ["round", "rollouts", "transitions", "start", "return"]
    return pd.DataFrame(table) if table else pd.DataFrame(columns=names)


def _spread(name: str, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return a column for each component of an array with a row for each step."""
    if values.ndim == 1:
        return {name: values}
    places = np.ndindex(values.shape[1:])
    return {f"{name}[{','.join(map(str, place))}]": values[:, *place] for place in places}


def _column(parts: Sequence[NDArray[Any] | None], steps: Sequence[int]) -> "pd.Series[Any]":
    """Return one column of all rollouts; whole numbers stay so where some rollouts have none."""
    import pandas as pd

    present = [part for part in parts if part is not None]
    kinds = {part.dtype.kind for part in present}
    if len(present) == len(parts) and "U" not in kinds:
        return pd.Series(np.concatenate(present))
    values: list[Any] = []
    for part, count in zip(parts, steps, strict=True):
        values += [None] * count if part is None else part.tolist()
    (kind,) = kinds if len(kinds) == 1 else {"U" if "U" in kinds else "f"}
    return pd.Series(values, dtype=_NULLABLE.get(kind, "object"))
