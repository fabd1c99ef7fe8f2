"""`label` asks of one rollout after the other; each key is durable, and it goes on where it was."""

import json
import os
import pty
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from robo_al.cli import main
from robo_al.dataset.view import RunView

FIRST, SECOND = "r0001-00", "r0002-00"
OLDER = Path(__file__).parents[1] / "dataset" / "format3"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a run with two rollouts."""
    return Path(shutil.copytree(OLDER, tmp_path / "run"))


class Terminal:
    """The command in a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self._ours, its = pty.openpty()
        words = ["-m", "robo_al.cli", "label", str(folder), "--by", "Ada"]
        self.process = subprocess.Popen([sys.executable, *words], stdin=its, stdout=its, stderr=its)
        os.close(its)
        self.said = ""

    def press(self, keys: str, until: str) -> None:
        """Press keys, and wait until something is on the screen that was not there."""
        self.said = ""
        os.write(self._ours, keys.encode())
        while until not in self.said:
            assert select.select([self._ours], [], [], 100)[0], self.said
            self.said += os.read(self._ours, 4096).decode()

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(timeout=100)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.wait()
        os.close(self._ours)


def pressed(folder: Path, keys: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run the command with a file of keys; return its exit code."""
    path = folder.parent / "keys"
    path.write_text(keys, encoding="utf-8")
    with path.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        return main(["label", str(folder), *words, "--by", "Ada"])


def test_keys_in_a_terminal_are_kept_by_a_process_that_is_killed(folder: Path) -> None:
    with Terminal(folder) as terminal:
        terminal.press("", f"{FIRST}, 2 rollouts to go")
        terminal.press("7", f"{FIRST}: progress 0.7")
        terminal.press("y", f"{SECOND}, 1 rollout to go")
        terminal.process.kill()
        assert terminal.wait() == -9
    assert RunView(folder).labels == {FIRST: {"progress": 0.7, "success": True}, SECOND: {}}
    with Terminal(folder) as terminal:
        terminal.press("", f"{SECOND}, 1 rollout to go")
        terminal.press("tslipped\x7f\x7f\x7f off\n", f"{SECOND}: note slip off")
        terminal.press("u", "No rollout is left")
        terminal.press("z", f"{SECOND}: success is taken back")
        terminal.press("n", "No rollout is left")
        terminal.press("q", "Ada has answered 2 of 2 rollouts.")
        assert terminal.wait() == 0
    run = RunView(folder)
    assert run.labels[SECOND] == {"note": "slip off", "success": False}
    assert len(run.label_rows) == 6  # none of them twice


def test_rollouts_that_are_named_are_asked_about_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pressed(folder, "yu", monkeypatch) == 0
    assert pressed(folder, "x n", monkeypatch, FIRST) == 0
    assert "No rollout is left" in capsys.readouterr().out  # put off
    assert RunView(folder).labels[FIRST] == {"success": True}
    assert pressed(folder, "xnf", monkeypatch, FIRST) == 0
    assert RunView(folder).labels == {FIRST: {"success": False}, SECOND: {"success": "unsure"}}
    said = capsys.readouterr().out
    assert "y success, n failure" in said
    assert "said: success yes (Ada)" in said
    assert main(["show", str(folder), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["labels"]
    assert shown["success"]["values"] == {"no": 1, "unsure": 1}


@pytest.mark.parametrize(
    ("words", "told"),
    [(["r0009-00"], "r0009-00: no such rollout"), (["--by", " "], "--by: no name")],
)
def test_what_is_wrong_is_one_line_and_nothing_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    before = (folder / "ledger.sqlite").read_bytes()
    assert main(["label", str(folder), *words]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert said.err.count("\n") == 1
    assert (folder / "ledger.sqlite").read_bytes() == before


def test_without_a_keyboard_or_a_file_nothing_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["label", str(folder), "--by", "Ada"]) == 2
    assert "standard input is closed" in capsys.readouterr().err


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    assert main(["label", str(tmp_path)]) == 2
