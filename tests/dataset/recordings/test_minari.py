import json
import sys
import warnings

import numpy as np
import pytest
from gymnasium import spaces

from robo_al.dataset.recordings.minari import read_minari
from robo_al.errors import UserError

minari = pytest.importorskip("minari")
from minari.data_collector import EpisodeBuffer  # noqa: E402

FORMATS = ("hdf5", "arrow", "parquet")


BOX = spaces.Box(-np.inf, np.inf, (2,), np.float32)


def walk(seed, dictionary):
    """Return a random walk that ends after 12 steps, or where it leaves [-1, 1]."""
    rng = np.random.default_rng(seed)
    actions = rng.uniform(-1, 1, (12, 1)).astype(np.float32)
    positions = np.concatenate([[0.0], np.cumsum(actions)])
    out = np.abs(positions[1:]) > 1
    steps = int(out.argmax()) + 1 if out.any() else 12
    observations = np.stack([positions, positions / 2], axis=1).astype(np.float32)[: steps + 1]
    return EpisodeBuffer(
        observations={"x": observations} if dictionary else observations,
        actions=actions[:steps],
        rewards=(-np.abs(positions[1 : steps + 1])).tolist(),
        terminations=out[:steps].tolist(),
        truncations=[step == 11 and not out[11] for step in range(steps)],
    )


def write(tmp_path, monkeypatch, form, dictionary=False):
    """Have Minari write eleven walks; return the folder, and the episodes that Minari reads."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    with warnings.catch_warnings(action="ignore"):  # about an author who is not given
        dataset = minari.create_dataset_from_buffers(
            "walk/random-v0",
            [walk(seed, dictionary) for seed in range(11)],
            action_space=spaces.Box(-1.0, 1.0, (1,), np.float32),
            observation_space=spaces.Dict({"x": BOX}) if dictionary else BOX,
            data_format=form,
        )
    return tmp_path / "walk" / "random-v0", list(dataset.iterate_episodes())


@pytest.mark.parametrize("form", FORMATS)
def test_episodes_are_those_that_minari_reads(tmp_path, monkeypatch, form):
    folder, expected = write(tmp_path, monkeypatch, form)
    recording = read_minari(folder)
    assert len(recording.episodes) == len(expected) == 11
    for episode, original in zip(recording.episodes, expected, strict=True):
        assert np.array_equal(episode.observations, original.observations)
        assert np.array_equal(episode.actions, original.actions)
        assert np.array_equal(episode.rewards, original.rewards)
        assert episode.terminated == original.terminations[-1]
    assert {episode.terminated for episode in recording.episodes} == {True, False}
    assert recording.task.reward is None
    assert recording.task.horizon == max(len(original.actions) for original in expected)


@pytest.mark.parametrize("form", FORMATS)
def test_a_dictionary_is_refused(tmp_path, monkeypatch, form):
    folder, _ = write(tmp_path, monkeypatch, form, dictionary=True)
    with pytest.raises(UserError, match="its observation_space is a Dict"):
        read_minari(folder)


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    folder, _ = write(tmp_path, monkeypatch, "hdf5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"pip install 'robo-al\[minari\]'"):
        read_minari(folder)


def test_damage_is_told(tmp_path, monkeypatch):
    folder, _ = write(tmp_path, monkeypatch, "hdf5")
    metadata = folder / "data" / "metadata.json"
    content = json.loads(metadata.read_text())
    metadata.write_text(json.dumps(content | {"total_episodes": 99}))
    with pytest.raises(UserError, match="tells of 99 episodes, its data files hold 11"):
        read_minari(folder)
    metadata.write_text(json.dumps(content | {"data_format": "zarr"}))
    with pytest.raises(UserError, match="a Minari dataset in zarr; hdf5, arrow and parquet"):
        read_minari(folder)
    metadata.write_text(json.dumps(content))
    (folder / "data" / "main_data.hdf5").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="its data cannot be read"):
        read_minari(folder)
    metadata.write_text("[]")
    with pytest.raises(UserError, match="metadata.json: cannot be read"):
        read_minari(folder)
