import pytest

from robo_al.dataset.dataset import Dataset
from robo_al.dataset.folders import CONFIG
from robo_al.dataset.ledger import ConfigurationRow
from robo_al.errors import RunFolderError


def test_creates_and_opens(tmp_path):
    folder = tmp_path / "a" / "run"
    Dataset.create(folder, "env: fake\n").close()
    assert (folder / CONFIG).read_text() == "env: fake\n"
    dataset = Dataset(folder)
    assert len(dataset) == 0 and dataset.opening == 2
    dataset.close()
    dataset.close()


def test_an_interrupted_creation_may_be_done_again(tmp_path):
    Dataset.create(tmp_path / "run", "old").close()
    (tmp_path / "run" / CONFIG).unlink()
    with pytest.raises(RunFolderError, match="no run here"):
        Dataset(tmp_path / "run")
    dataset = Dataset.create(tmp_path / "run", "new")
    assert dataset.opening == 1
    dataset.close()


@pytest.mark.parametrize("name", [CONFIG, "notes.txt", ".hidden"])
def test_an_occupied_folder_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunFolderError, match="not empty"):
        Dataset.create(tmp_path, "x")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RunFolderError, match="not a folder"):
        Dataset.create(tmp_path / "run", "x")


def test_leftovers_of_a_death_are_cleared_away(tmp_path):
    Dataset.create(tmp_path / "run", "x").close()
    leftover = tmp_path / "run" / "episodes" / ".r0001-00.parquet.tmp"
    leftover.write_bytes(b"half")
    Dataset(tmp_path / "run").close()
    assert not leftover.exists()


@pytest.mark.parametrize("part", ["episodes", "models"])
def test_a_campaign_that_lost_its_configuration_is_not_written_over(tmp_path, part):
    Dataset.create(tmp_path / "run", "x").close()
    (tmp_path / "run" / part / "kept").write_text("mine")
    (tmp_path / "run" / CONFIG).unlink()
    with pytest.raises(RunFolderError, match=f"not empty .it has {part}/kept"):
        Dataset.create(tmp_path / "run", "new")
    assert (tmp_path / "run" / part / "kept").read_text() == "mine"


def test_the_configuration_is_recorded_and_so_are_its_changes(tmp_path):
    Dataset.create(tmp_path / "run", "a: 1\n").close()
    dataset = Dataset(tmp_path / "run")
    dataset.note_configuration("a: 1\n")
    dataset.note_configuration("a: 2\n")
    rows = dataset.ledger.rows(ConfigurationRow)
    dataset.close()
    assert [(row.number, row.text, row.opening) for row in rows] == [
        (1, "a: 1\n", None),
        (2, "a: 2\n", 2),
    ]
