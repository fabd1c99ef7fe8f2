"""LeRobot datasets of format v3: Parquet files of frames, read without LeRobot.

A frame holds the observation, the action taken there and, where there is one, the reward that it
brought. T frames of an episode give T-1 transitions: what came of the last action is not recorded.
Layout: https://huggingface.co/docs/lerobot/lerobot-dataset-v3.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robo_al.dataset.recordings.columns import vectors
from robo_al.dataset.recordings.recording import Recording, task_of, without
from robo_al.errors import UserError
from robo_al.types import Channel, Trajectory

INFO = Path("meta") / "info.json"
_STATE, _ACTION = "observation.state", "action"
_REWARDS = ("next.reward", "reward")
_TIME = "timestamp"


def read_lerobot(
    path: Path, leave_out: Collection[str] = (), column: str | None = None
) -> Recording:
    """Read what is observed, `action` and `next.reward` of the episodes, and their time stamps.

    Args:
        path: of the dataset.
        leave_out: indices of episodes that are not wanted.
        column: of what is observed, such as an embedding of its pictures; None:
            `observation.state`.

    Raises:
        UserError: another version, or files that are missing or cannot be used.
    """
    observed = column or _STATE
    info = _info(path, observed)
    features = info["features"]
    reward = next((name for name in _REWARDS if name in features), None)
    stamped = _TIME in features
    table = _table(path, [observed, _ACTION, *([reward] if reward else []), *([_TIME] * stamped)])
    states, actions = (vectors(table, name, str(path)) for name in (observed, _ACTION))
    rewards = vectors(table, reward, str(path))[:, 0] if reward else np.zeros(len(actions))
    seconds = vectors(table, _TIME, str(path))[:, 0] if stamped else None
    episodes = {}
    for name, rows in _frames(table, path, leave_out).items():
        sent = rows[:-1]
        times = {} if seconds is None else {"time_ns": np.rint(seconds[rows] * 1e9).astype(int)}
        arrays = states[rows], actions[sent], actions[sent], rewards[sent]
        episodes[name] = Trajectory(*arrays, signals=times)
    expected = info.get("total_episodes", len(episodes))
    if expected != len(episodes):
        raise UserError(
            f"{path}: {INFO} tells of {expected} episodes, its data files hold {len(episodes)}; "
            "some are missing"
        )
    episodes = without(path, episodes, leave_out)
    channels = _channels(observed, features[observed].get("names"), states.shape[1])
    task = task_of(path, channels, 1.0 / info["fps"], reward is not None, episodes)
    return Recording.of(path, task, episodes)


def _info(path: Path, observed: str) -> dict[str, Any]:
    """Return a dataset's description, with all that is needed of it."""
    try:
        info = json.loads((path / INFO).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path / INFO}: cannot be read: {error}") from error
    version = info.get("codebase_version") if isinstance(info, dict) else None
    if not str(version).startswith("v3."):
        raise UserError(
            f"{path}: a LeRobot dataset of format {version}; v3 is read: convert it with LeRobot's "
            "own converter"
        )
    assert isinstance(info, dict)
    features = info.get("features")
    features = features if isinstance(features, dict) else {}
    for name in (observed, _ACTION):
        if not isinstance(features.get(name), dict):
            raise UserError(f"{path}: no feature {name!r}; it has {', '.join(features) or 'none'}")
    fps = info.get("fps")
    if not isinstance(fps, (int, float)) or not fps > 0:
        raise UserError(f"{path / INFO}: fps is {fps!r}; frames per second are needed")
    return info


def _table(path: Path, columns: Sequence[str]) -> Any:
    """Return the frames of all data files."""
    files = sorted((path / "data").glob("chunk-*/file-*.parquet"))
    if not files:
        raise UserError(f"{path}: no files data/chunk-*/file-*.parquet")
    wanted = [*columns, "episode_index", "frame_index"]
    try:
        parts = [pq.ParquetFile(file).read(columns=wanted) for file in files]
        return pa.concat_tables(parts, promote_options="permissive")
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: its data files cannot be read: {error}") from error


def _frames(table: Any, path: Path, leave_out: Collection[str]) -> dict[str, np.ndarray]:
    """Return for each episode the rows of its frames, in the order of time.

    Raises:
        UserError: frames are missing in one that is not left out.
    """
    episode, frame = (
        vectors(table, name, str(path))[:, 0] for name in ("episode_index", "frame_index")
    )
    order = np.lexsort((frame, episode))
    names, starts = np.unique(episode[order], return_index=True)
    parts = np.split(order, starts[1:])
    found = {f"{name:.0f}": rows for name, rows in zip(names, parts, strict=False)}
    bad = [
        name
        for name, rows in found.items()
        if name not in leave_out and not np.array_equal(frame[rows], np.arange(len(rows)))
    ]
    if bad:
        raise UserError(
            f"{path}: frames of episode {', '.join(bad)} are missing or there twice; repair them, "
            f"or leave them out: env: {{leave_out: {json.dumps(bad)}}}"
        )
    return found


def _channels(observed: str, names: Any, size: int) -> tuple[Channel, ...]:
    """Name the components of the state: datasets list names, or map a group to its names."""
    if isinstance(names, Mapping):
        groups = names.values()
        lists = all(isinstance(group, list) for group in groups)
        names = [name for group in groups for name in group] if lists else list(names)
    if not isinstance(names, list) or len(names) != size:
        names = [f"{observed}[{i}]" for i in range(size)]
    return tuple(Channel(str(name), "1") for name in names)
