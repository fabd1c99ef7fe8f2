"""The command line where rights, encodings and other processes are in the way; all of it real."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from forked import Forked, finished

FAKES = ["--env", "robo_al.testing:FakeEnv", "--policy", "robo_al.testing:FakePolicy"]
FAKES += ["--model", "robo_al.testing:FakeModel", "--oracle", "robo_al.testing:FakeOracle"]
FAKES += ["--explorer", "robo_al.testing:FakePolicy", "--rounds", "1", "--candidates", "4"]
FAKES += ["--contexts", "2", "--evaluation.starts", "2"]
CLI = [sys.executable, "-m", "robo_al.cli"]
C_LOCALE = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}


def start(command: list[str], folder: Path, **changes: str) -> "subprocess.Popen[bytes]":
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join([*filter(None, sys.path), root])
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path} | changes,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "changes",
    [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "euc_jp"}, C_LOCALE],
    ids=["ascii", "euc_jp", "C"],
)
def test_a_pipe_that_is_not_utf_8_does_not_end_a_campaign(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    for command in (["run", "pendulum", *FAKES, "--out", "run"], ["show", "run"]):
        process = start([*CLI, *command], tmp_path, **changes)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err.decode()
    assert b"1 rollout" in out
    assert (tmp_path / "run" / "report.html").is_file()


def test_two_runs_at_once_get_a_folder_each(tmp_path: Path) -> None:
    command = ["robo_al.cli", "run", "pendulum", *FAKES]
    processes = [Forked(*command, folder=tmp_path) for _ in range(2)]
    for process in processes:
        with process:
            _, err = process.communicate(timeout=300)
            assert process.returncode == 0, err
    made = sorted((tmp_path / "runs").iterdir())
    assert [path.name[-2:] for path in made] == ["-1", "-2"]
    assert all((path / "report.html").is_file() for path in made)


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path: Path) -> None:
    command = ["robo_al.cli", "run", "pendulum", "--env", "no.such:Env"]
    assert finished(*command, folder=tmp_path).returncode == 2
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.first(3)
@pytest.mark.parametrize(
    "command",
    [
        ["show", "secret/run"],
        ["resume", "secret/run"],
        ["inbox", "secret/run"],
        ["run", "secret/a.yaml"],
        ["run", "pendulum", *FAKES, "--out", "secret/run"],
        ["compare", "secret/a.yaml"],
        ["compare", "quick", "--out", "secret/run"],
        ["check", "secret/a.py:Env"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_a_folder_that_may_not_be_entered_is_a_message(
    tmp_path: Path, with_rights: Callable[..., list[str]], command: list[str]
) -> None:
    (tmp_path / "secret").mkdir(mode=0)
    process = start(with_rights(*CLI, *command), tmp_path)
    _, err = process.communicate(timeout=300)
    said = err.decode()
    assert process.returncode == 2 and "Traceback" not in said
    assert "Permission denied" in said and "secret" in said
