import os
from pathlib import Path

import pytest

from robo_al.dataset.folders import need_comparison, need_new, need_new_or_comparison, need_run
from robo_al.errors import RunFolderError


def made(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return folder


def test_a_new_and_an_empty_folder_are_taken_and_left_as_they_are(tmp_path: Path) -> None:
    need_new(tmp_path / "runs" / "one")
    need_new(made(tmp_path / "empty"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]
    assert not list((tmp_path / "empty").iterdir())


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["thesis.tex"], "give a new folder$"),
        (["config.yaml", "lock"], "robo-al resume .*full$"),
        (["comparison.yaml", "lock"], "robo-al compare PLAN --out .*full --resume$"),
    ],
)
def test_a_folder_with_something_in_it_says_what_can_be_done(
    tmp_path: Path, names: list[str], hint: str
) -> None:
    with pytest.raises(RunFolderError, match=f"not empty.*{hint}"):
        need_new(made(tmp_path / "full", *names))


def test_what_an_interrupted_creation_leaves_does_not_count(tmp_path: Path) -> None:
    need_new(made(tmp_path / "begun", "lock", "ledger.sqlite", ".config.yaml.tmp"))
    with pytest.raises(RunFolderError, match="it has ledger.sqlite"):  # somebody else's
        need_new(made(tmp_path / "other", "ledger.sqlite"))


def test_a_file_on_the_way_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    for path in (tmp_path / "notes", tmp_path / "notes" / "run" / "one"):
        with pytest.raises(RunFolderError, match="notes: not a folder"):
            need_new(path)


@pytest.mark.parametrize("path", ["/proc/run", "/proc/self/run", "/" + "n" * 300])
def test_a_place_that_cannot_be_written_is_refused(path: str) -> None:
    with pytest.raises(RunFolderError, match="cannot be written: "):
        need_new(Path(path))


@pytest.mark.skipif(os.getuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_rights_is_refused(tmp_path: Path) -> None:
    made(tmp_path / "closed").chmod(0o500)
    with pytest.raises(RunFolderError, match="cannot be written: Permission denied"):
        need_new(tmp_path / "closed" / "run")


def test_a_run_and_a_comparison_are_told_apart(tmp_path: Path) -> None:
    run = made(tmp_path / "run", "config.yaml")
    comparison = made(tmp_path / "comparison", "comparison.yaml")
    need_run(run)
    need_comparison(comparison)
    assert need_new_or_comparison(comparison, resume=True)
    assert not need_new_or_comparison(tmp_path / "new", resume=True)
    with pytest.raises(RunFolderError, match=r"this is a comparison, not a run.*comparison\.html"):
        need_run(comparison)
    with pytest.raises(RunFolderError, match=r"this is a run, not a comparison.*robo-al resume"):
        need_new_or_comparison(run, resume=True)
    with pytest.raises(RunFolderError, match="no comparison here"):
        need_new_or_comparison(made(tmp_path / "full", "thesis.tex"), resume=True)
