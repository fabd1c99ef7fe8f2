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
        table.append(plain | details[row.id] | spread | said)
    names = [name for name in RolloutRow.__dataclass_fields__ if name not in _JSON[2:]]
    further = {name: None for row in table for name in row if name not in names}
    return pd.DataFrame(table, columns=[*names, *further]).set_index("id")


def transitions(episodes: Mapping[str, Trajectory]) -> "pd.DataFrame":
    """Return one row for each step; see `robo_al.dataset.view.RunView.transitions`.

    Args:
        episodes: by the rollout's id.
    """
    import pandas as pd

    parts = []
    for rollout, episode in episodes.items():
        columns: dict[str, Any] = {"rollout": rollout, "step": np.arange(episode.steps)}
        arrays = {
            "observation": episode.observations[:-1],
            "action": episode.actions,
            "proposed": episode.proposed,
            "reward": episode.rewards,
            "next_observation": episode.observations[1:],
            "terminated": episode.ends,
        }
        for name, values in (arrays | dict(episode.signals)).items():
            columns |= _spread(name, values[: episode.steps])
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


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
