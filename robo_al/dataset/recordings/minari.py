"""Minari datasets (0.4 and 0.5), of flat continuous observations and actions.

HDF5 files need h5py, which the extra `robo-al[minari]` brings; Arrow and Parquet ones need nothing.
Layout: https://minari.farama.org/content/dataset_standards.
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset

from robo_al.dataset.recordings.columns import vectors
from robo_al.dataset.recordings.recording import Array, Recording, task_of, without
from robo_al.errors import UserError
from robo_al.types import Channel, Trajectory

METADATA = Path("data") / "metadata.json"
_HDF5 = "main_data.hdf5"
_CONTROL_PERIOD = 1.0
"""Seconds; a dataset does not tell, so that time on the robot counts steps."""


def read_minari(path: Path, leave_out: Collection[str] = ()) -> Recording:
    """Read observations, actions and rewards of the episodes.

    Args:
        path: of the dataset.
        leave_out: indices of episodes that are not wanted.

    Raises:
        UserError: a format or space that is not read, h5py is needed and not installed, or files
            that are missing or cannot be used.
    """
    metadata = _metadata(path)
    form = metadata.get("data_format", "hdf5")
    if form not in ("hdf5", "arrow", "parquet"):
        raise UserError(f"{path}: a Minari dataset in {form}; hdf5, arrow and parquet are read")
    try:
        found = _from_hdf5(path) if form == "hdf5" else _from_arrow(path, form)
        episodes = dict(sorted(found, key=lambda item: int(item[0])))
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}: its data cannot be read: {error}") from error
    expected = metadata.get("total_episodes", len(episodes))
    if expected != len(episodes):
        raise UserError(
            f"{path}: {METADATA} tells of {expected} episodes, its data files hold "
            f"{len(episodes)}; some are missing"
        )
    episodes = without(path, episodes, leave_out)
    sizes = [np.shape(episode.observations)[-1] for episode in episodes.values()]
    channels = tuple(Channel(f"observation[{i}]", "1") for i in range(max(sizes, default=0)))
    task = task_of(path, channels, _CONTROL_PERIOD, True, episodes)
    return Recording.of(path, task, episodes)


def _metadata(path: Path) -> dict[str, Any]:
    """Return a dataset's description; refuses spaces that are no flat box."""
    try:
        metadata: dict[str, Any] = json.loads((path / METADATA).read_text())
        for name in ("observation_space", "action_space"):
            space = json.loads(metadata.get(name, "null"))
            if space and (space["type"] != "Box" or len(space["shape"]) != 1):
                raise UserError(
                    f"{path}: its {name} is a {space['type']} of shape {space.get('shape')}; "
                    "a flat Box is needed"
                )
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise UserError(f"{path / METADATA}: cannot be read: {error}") from error
    return metadata


def _from_hdf5(path: Path) -> Iterator[tuple[str, Trajectory]]:
    try:
        import h5py
    except ImportError:
        raise UserError(f"{path}: an HDF5 file needs h5py: pip install 'robo-al[minari]'") from None
    with h5py.File(path / "data" / _HDF5, "r") as file:
        for name, group in file.items():
            arrays = [group[key] for key in ("observations", "actions", "rewards", "terminations")]
            if not all(isinstance(array, h5py.Dataset) for array in arrays):
                raise UserError(f"{path}: {name} holds dictionaries; flat vectors are needed")
            values = (np.asarray(array[()], dtype=np.float64) for array in arrays)
            yield name.removeprefix("episode_"), _trajectory(*values)


def _from_arrow(path: Path, form: str) -> Iterator[tuple[str, Trajectory]]:
    for folder in (path / "data").iterdir():
        if not folder.is_dir() or not folder.name.isdigit():
            continue
        files = pa.dataset.dataset(folder, format=form, ignore_prefixes=["_", ".", "metadata.json"])
        table, where = files.to_table(use_threads=False), str(folder)
        observations = vectors(table, "observations", where)
        # After the last observation, what it would have brought is padding.
        actions, rewards, ended = (
            vectors(table, name, where)[:-1] for name in ("actions", "rewards", "terminations")
        )
        yield folder.name, _trajectory(observations, actions, rewards[:, 0], ended[:, 0])


def _trajectory(observations: Array, actions: Array, rewards: Array, ended: Array) -> Trajectory:
    terminated = bool(len(ended) and ended[-1])
    return Trajectory(observations, actions, actions, rewards, terminated)
