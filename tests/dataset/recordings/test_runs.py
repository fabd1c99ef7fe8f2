import numpy as np
import pytest

from robo_al.dataset.dataset import Dataset
from robo_al.dataset.recordings.runs import read_runs
from robo_al.errors import RunFolderError, UserError
from robo_al.testing import FakeEnv, fake_task


class Endless(FakeEnv):
    horizon = None


def recorded(folder):
    dataset = Dataset(folder)
    try:
        return [dataset.trajectory(row) for row in dataset.recorded()]
    finally:
        dataset.close()


def test_a_run_is_read_as_it_was_recorded(make_run):
    folder = make_run("run", rollouts=4)
    found, expected = read_runs(folder), fake_task()
    assert found.source == folder
    assert found.task.channels == expected.channels
    assert found.task.control_period == expected.control_period
    assert np.array_equal(found.task.action_high, expected.action_high)
    assert found.task.reward is not None
    for episode, original in zip(found.episodes, recorded(folder), strict=True):
        for name in ("observations", "actions", "rewards"):
            assert np.array_equal(getattr(episode, name), getattr(original, name))


def test_runs_below_a_folder_are_read_together_and_shared_rollouts_once(make_run):
    make_run("all/one", seed=1, rollouts=3)
    make_run("all/same", seed=1, rollouts=3)
    folder = make_run("all/two", seed=2, rollouts=4).parent
    assert len(read_runs(folder).episodes) == 7


def test_a_run_in_progress_can_be_read(make_run):
    folder = make_run("run")
    dataset = Dataset(folder)
    assert len(read_runs(folder).episodes) == 6
    dataset.close()


def test_runs_of_different_tasks_are_refused(make_run):
    make_run("all/one")
    folder = make_run("all/two", env="pendulum").parent
    with pytest.raises(UserError, match="two is a run of pendulum.*give runs of one task"):
        read_runs(folder)


def test_damage_is_told(make_run):
    folder = make_run("run")
    file = folder / "episodes" / "r0001-02.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="r0001-02.*not what was written"):
        read_runs(folder)
    (folder / "ledger.sqlite").write_bytes(b"nonsense" * 200)
    with pytest.raises(RunFolderError, match="cannot be read as a ledger"):
        read_runs(folder)
    (folder / "config.yaml").unlink()
    with pytest.raises(UserError, match="no run here"):
        read_runs(folder)


def test_a_run_without_rollouts_is_refused(tmp_path):
    Dataset.create(tmp_path / "run", "env: {name: robo_al.testing:FakeEnv}\n").close()
    with pytest.raises(UserError, match="no recorded rollouts"):
        read_runs(tmp_path / "run")


def test_runs_of_an_env_whose_horizon_is_the_configuration_s(make_run):
    folder = make_run("run", env=f"{__file__}:Endless", horizon=5)
    assert read_runs(folder).task.horizon == 5
