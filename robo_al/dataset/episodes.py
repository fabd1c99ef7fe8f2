"""Trajectories as Parquet files: one immutable file for each episode, or for each evaluation.

A file has a row for each observation, T+1 of them for a trajectory of T steps, with the action
taken there and the reward it brought; after the last observation they are null. An oracle's faulty
arrays are kept too, whatever their lengths: columns are padded with null rows at the end. Each
signal is a column beside these; one of more than one axis is flattened, row by row.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robo_al.dataset.measured import EPISODE_COLUMNS, REQUESTED
from robo_al.dataset.signals import read_signals, signal_columns
from robo_al.types import Failure, Film, Task, Trajectory

_FORMAT = "robo-al episodes 1"
_REQUESTED_BEFORE = "proposed"
"""What an earlier robo-al called that column of its files."""


def encode(trajectories: Sequence[Trajectory], metadata: Mapping[str, Any]) -> bytes:
    """Return a Parquet file with trajectories and what else is to be known of them.

    The same trajectories and metadata give the same bytes.

    Args:
        trajectories: all with observations and actions of at most two axes.
        metadata: JSON values.
    """
    columns: dict[str, list[Any]] = {name: [] for name in ("trajectory", *EPISODE_COLUMNS)}
    lengths = []
    for index, trajectory in enumerate(trajectories):
        values = [np.asarray(array, dtype=np.float64).tolist() for array in _arrays(trajectory)]
        length = max(map(len, [*values, *trajectory.signals.values()]))
        lengths.append(length)
        columns["trajectory"] += [index] * length
        for name, value in zip(EPISODE_COLUMNS, values, strict=True):
            columns[name] += value + [None] * (length - len(value))
    signals = signal_columns([trajectory.signals for trajectory in trajectories], lengths)
    vector = pa.list_(pa.float64())
    truncated = [bool(t.truncated) for t in trajectories]
    films = [t.film and t.film.sha256 for t in trajectories]
    schema = pa.schema(
        [("trajectory", pa.int32())]
        + [(name, pa.float64() if name == "reward" else vector) for name in EPISODE_COLUMNS]
        + [(name, array.type) for name, array in signals.arrays.items()],
        metadata={
            "format": _FORMAT,
            "terminated": json.dumps([bool(t.terminated) for t in trajectories]),
            "robo_al": json.dumps(metadata, sort_keys=True, allow_nan=False),
        }
        # Only where it says something: a file of an older version is the same, byte for byte.
        | ({"truncated": json.dumps(truncated)} if any(truncated) else {})
        | ({"signals": signals.layout} if signals.arrays else {})
        | ({"films": json.dumps(films)} if any(films) else {}),
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns | signals.arrays, schema=schema), sink)
    return bytes(sink.getvalue().to_pybytes())


def decode(data: bytes) -> tuple[list[Trajectory], dict[str, Any]]:
    """Return the trajectories and metadata of a file that `encode` made.

    A film has its hash alone: the file does not know where it is.
    """
    table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
    metadata = table.schema.metadata
    terminated = json.loads(metadata[b"terminated"])
    truncated = json.loads(metadata.get(b"truncated", b"null")) or [False] * len(terminated)
    index = table["trajectory"].to_numpy()
    starts = np.searchsorted(index, np.arange(len(terminated) + 1))
    layout = json.loads(metadata.get(b"signals", b"null")) or [{}] * len(terminated)
    films = json.loads(metadata.get(b"films", b"null")) or [None] * len(terminated)
    trajectories = []
    for i, ended in enumerate(terminated):
        part = table.slice(starts[i], starts[i + 1] - starts[i])
        asked = REQUESTED if REQUESTED in part.column_names else _REQUESTED_BEFORE
        observations, actions, requested = (
            _matrix(part[name]) for name in ("observation", "action", asked)
        )
        rewards = np.array(part["reward"].drop_null().to_numpy())
        arrays = observations, actions, requested, rewards
        signals = read_signals(part, layout[i])
        film = None if films[i] is None else Film(Path(), films[i])
        trajectories.append(Trajectory(*arrays, ended, truncated[i], signals, film))
    return trajectories, json.loads(metadata[b"robo_al"])


def _matrix(column: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    rows = column.drop_null()
    if not len(rows):
        return np.zeros((0, 0))
    flat: np.ndarray[Any, np.dtype[np.float64]] = rows.combine_chunks().flatten().to_numpy()
    return flat.reshape(len(rows), -1).copy()  # an array of its own, which may be written to


def examine(
    rollout: str, result: Trajectory | Failure, task: Task, horizon: int
) -> Trajectory | Failure:
    """Return what an oracle answered in float64, quarantined if it cannot be trusted.

    Args:
        rollout: its id, for the message.
        result: what the oracle answered.
        task: sizes of its observations and actions.
        horizon: steps that were asked for.
    """
    trajectory = result.partial if isinstance(result, Failure) else result
    if trajectory is None:
        return result
    arrays = _numbers(trajectory)
    if [array.ndim for array in arrays] != [2, 2, 2, 1]:
        reason = f"rollout {rollout}: {_described(trajectory)} cannot be a trajectory"
        if isinstance(result, Failure):
            return replace(result, partial=None, reason=f"{result.reason}; {reason}")
        return Failure("quarantined", reason)
    observations, actions, requested, rewards = arrays
    ends = bool(trajectory.terminated), bool(trajectory.truncated)
    measured = trajectory.signals, trajectory.film
    trajectory = Trajectory(observations, actions, requested, rewards, *ends, *measured)
    if isinstance(result, Failure):
        return replace(result, partial=trajectory)
    found = fault(trajectory, len(task.channels), len(task.action_low), horizon)
    if found is None:
        return trajectory
    return Failure("quarantined", f"rollout {rollout}: {found}", trajectory)


def fault(trajectory: Trajectory, channels: int, size: int, horizon: int) -> str | None:
    """Return why a trajectory must not be learned from; None where it may.

    Args:
        trajectory: in float64.
        channels: of an observation, O.
        size: of an action, A.
        horizon: steps that were asked for.
    """
    steps = trajectory.steps
    wanted = [(steps + 1, channels), (steps, size), (steps, size), (steps,)]
    for name, array, shape in zip(EPISODE_COLUMNS, _arrays(trajectory), wanted, strict=True):
        if array.shape != shape:
            return f"{name} has shape {array.shape}; it should be {shape}"
        bad = ~np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
        if bad.any():
            return f"{name} is not finite at step {int(bad.argmax())}"
    if steps == 0:
        return "it has no steps"
    with np.errstate(over="ignore"):
        if not np.isfinite(trajectory.total_reward):
            return "its rewards add up to no finite number"
    return f"it has {steps} steps; {horizon} were asked for" if steps > horizon else None


def _numbers(trajectory: Trajectory) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    """Return the arrays in float64; none where one of them is no array of real numbers."""
    try:
        arrays = [np.asarray(array) for array in _arrays(trajectory)]
    except (TypeError, ValueError):
        return []
    if any(array.dtype.kind not in "biuf" for array in arrays):
        return []
    return [np.array(array, dtype=np.float64, order="C") for array in arrays]


def _described(trajectory: Trajectory) -> str:
    """Return what a trajectory has in place of its arrays."""
    said = []
    for name, array in zip(EPISODE_COLUMNS, _arrays(trajectory), strict=True):
        shape = getattr(array, "shape", None)
        said.append(f"{name} {type(array).__name__}" + (f" of shape {shape}" if shape else ""))
    return ", ".join(said)


def _arrays(trajectory: Trajectory) -> tuple[Any, Any, Any, Any]:
    return (
        trajectory.observations,
        trajectory.actions,
        trajectory.requested,
        trajectory.rewards,
    )
