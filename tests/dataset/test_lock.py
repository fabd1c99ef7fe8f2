"""Folders are locked in real processes; file systems without `flock` are those of a patched one."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from robo_al.dataset.lock import HOLDERS, lock_folder
from robo_al.errors import RunFolderError

HOLD = """
import sys
from pathlib import Path
from robo_al.dataset.lock import lock_folder
try:
    lock = lock_folder(Path(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error, flush=True)
else:
    if len(sys.argv) > 2:
        lock.share(int(sys.argv[2]))
    print("locked", flush=True)
    sys.stdin.read()
    lock.close()
"""
WITHOUT = """
import errno, fcntl
def flock(*args):
    raise OSError(errno.{code}, {text!r})
fcntl.flock = flock
"""


@pytest.fixture
def without(tmp_path):
    """Return the environment of a process whose file systems have no locks."""

    def environment(code="ENOSYS"):
        text = os.strerror(getattr(__import__("errno"), code))
        folder = tmp_path / f"site-{code}"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(WITHOUT.format(code=code, text=text))
        path = [str(folder), *sys.path]
        return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}

    return environment


@contextmanager
def holding(folder, *arguments, environment=None):
    """Run a process that takes the folder; yield the process and what it said."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield process, process.stdout.readline()
        finally:
            process.stdin.close()
            process.wait(60)


def test_another_process_is_excluded(tmp_path):
    with holding(tmp_path) as (_, said):
        assert said == "locked\n"
        with pytest.raises(RunFolderError, match="in use by another process"):
            lock_folder(tmp_path)
    lock_folder(tmp_path).close()


@pytest.mark.parametrize("code", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_a_file_system_without_locks(tmp_path, without, code):
    folder = tmp_path / "run"
    folder.mkdir()
    with holding(folder, environment=without(code)) as (process, said):
        assert said == "locked\n"
        (holder,) = map(json.loads, (folder / HOLDERS).read_text().splitlines())
        assert holder["pid"] == process.pid and holder["host"] == os.uname().nodename
        with holding(folder, environment=without(code)) as (_, refused):
            assert f"in use by process {process.pid} of host {holder['host']}" in refused
        with pytest.raises(RunFolderError, match=f"in use by process {process.pid}"):
            lock_folder(folder)  # here the same folder has locks
        process.stdin.close()
        process.wait(60)
        assert os.strerror(getattr(__import__("errno"), code)) in process.stderr.read()
    assert not (folder / HOLDERS).exists()
    lock_folder(folder).close()


@pytest.mark.parametrize("again", [True, False])
def test_what_a_killed_process_held_is_taken_over(tmp_path, without, again):
    folder = tmp_path / "run"
    folder.mkdir()
    with holding(folder, environment=without()) as (process, said):
        assert said == "locked\n"
        process.kill()
        process.wait(60)
    assert (folder / HOLDERS).exists()
    if again:
        with holding(folder, environment=without()) as (process, said):
            assert said == "locked\n" and f'"pid": {process.pid}' in (folder / HOLDERS).read_text()
    else:
        lock_folder(folder).close()
    assert not (folder / HOLDERS).exists()


def test_a_killed_process_whose_worker_lives_still_holds_it(tmp_path, without):
    folder = tmp_path / "run"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as worker:
        with holding(folder, str(worker.pid), environment=without()) as (process, _):
            process.kill()
            process.wait(60)
        with holding(folder, environment=without()) as (_, said):
            assert f"in use by process {worker.pid}" in said
        worker.kill()
    with holding(folder, environment=without()) as (_, said):
        assert said == "locked\n"


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({"host": "elsewhere"}, False),
        ({"namespace": "pid:[1]"}, False),
        ({"boot": "another"}, True),
        ({"started": 1}, True),
        ({"pid": 2**22 + 1}, True),
    ],
)
def test_only_what_is_surely_dead_is_taken_over(tmp_path, without, change, taken):
    folder = tmp_path / "run"
    folder.mkdir()
    with holding(folder, environment=without()) as (_, said):
        assert said == "locked\n"
        holder = json.loads((folder / HOLDERS).read_text())
        (folder / HOLDERS).write_text(json.dumps(holder | change) + "\n")
        with holding(folder, environment=without()) as (_, answer):
            if taken:
                assert answer == "locked\n"
            else:
                assert "in use by process" in answer and f"remove {folder / HOLDERS}" in answer
                assert (holder | change)["host"] in answer


@pytest.mark.parametrize("content", [b"", b"{", b"[]\n", b"\xff\n", b"{}\n"])
def test_a_file_that_says_nothing_is_believed(tmp_path, content):
    (tmp_path / HOLDERS).write_bytes(content)
    with pytest.raises(RunFolderError, match=f"remove .*{HOLDERS}"):
        lock_folder(tmp_path)
    assert (tmp_path / HOLDERS).read_bytes() == content


def test_many_at_once_and_one_gets_it(tmp_path, without):
    folder = tmp_path / "run"
    folder.mkdir()
    with holding(folder, environment=without()) as (process, _):
        process.kill()
        process.wait(60)
    waiting = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=without(),
        )
        for _ in range(6)
    ]
    said = [process.stdout.readline() for process in waiting]
    for process in waiting:
        process.communicate(timeout=60)
    assert said.count("locked\n") == 1, said
