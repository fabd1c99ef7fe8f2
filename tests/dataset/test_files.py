import errno
import hashlib
import os
import sqlite3
import subprocess
import sys

import pytest

from robo_al.dataset.files import lock_folder, read_verified, storage, write_atomically
from robo_al.errors import IntegrityError, RunFolderError, StorageError


def test_writes_and_reads_back(tmp_path):
    path = tmp_path / "a"
    sha256 = write_atomically(path, b"data")
    assert sha256 == hashlib.sha256(b"data").hexdigest()
    assert read_verified(path, sha256, "a") == b"data"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_leaves_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / "a"
    write_atomically(path, b"old")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StorageError, match="disk is full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_sqlite_errors_are_storage_errors(tmp_path):
    with pytest.raises(StorageError, match="disk is full"), storage(tmp_path):
        raise sqlite3.OperationalError("database or disk is full")


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing"])
def test_damage_is_found(tmp_path, damage):
    path = tmp_path / "a"
    sha256 = write_atomically(path, b"data")
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"dat" if damage == "truncated" else b"dada")
    with pytest.raises(IntegrityError, match="rollout r0001-00"):
        read_verified(path, sha256, "rollout r0001-00")


def test_lock_excludes_another_process(tmp_path):
    code = (
        "import sys; from pathlib import Path; from robo_al.dataset.files import lock_folder;"
        "lock = lock_folder(Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(RunFolderError, match="another process"):
            lock_folder(tmp_path)
        other.stdin.close()
        other.wait(30)
    lock_folder(tmp_path).close()
