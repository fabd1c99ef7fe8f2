import errno
import hashlib
import io
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from robo_al.dataset.files import is_there, read_verified, storage, write_atomically
from robo_al.errors import IntegrityError, StorageError


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
    with closing(sqlite3.connect(tmp_path / "a")) as connection:
        connection.execute("CREATE TABLE a (b)")
        connection.execute("PRAGMA max_page_count=2")
        with pytest.raises(StorageError, match="disk is full"), storage(tmp_path):
            connection.execute("INSERT INTO a VALUES (zeroblob(100000))")
        with pytest.raises(StorageError, match="no such table: c"):
            with storage(tmp_path):
                connection.execute("INSERT INTO c VALUES (1)")


def test_what_cannot_be_read_now_is_not_damaged(tmp_path):
    folder, away = tmp_path / "episodes", tmp_path / "away"
    folder.mkdir()
    sha256 = write_atomically(folder / "a", b"data")
    folder.rename(away)
    with pytest.raises(StorageError, match="rollout x: .* cannot be read now: its folder is not"):
        read_verified(folder / "a", sha256, "rollout x")
    folder.write_text("a file in its place")
    with pytest.raises(StorageError, match="cannot be read now: Not a directory"):
        read_verified(folder / "a", sha256, "rollout x")
    folder.unlink()
    away.rename(folder)
    assert read_verified(folder / "a", sha256, "rollout x") == b"data"


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE])
def test_what_a_disk_refuses_is_not_damaged(tmp_path, monkeypatch, code):
    path = tmp_path / "a"
    sha256 = write_atomically(path, b"data")

    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(io, "open", refuse)
        with pytest.raises(StorageError, match=f"cannot be read now: {os.strerror(code)}"):
            read_verified(path, sha256, "rollout x")
    assert read_verified(path, sha256, "rollout x") == b"data"


def test_a_folder_that_may_not_be_entered_is_a_message(tmp_path, with_rights):
    (tmp_path / "secret").mkdir(mode=0)
    code = (
        "import sys; from pathlib import Path; from robo_al.dataset.files import is_there;"
        "is_there(Path(sys.argv[1]))"
    )
    command = with_rights(sys.executable, "-c", code, tmp_path / "secret" / "a")
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "RunFolderError: " in told.stderr and "Permission denied" in told.stderr
    assert (
        is_there(tmp_path) and not is_there(tmp_path / "b") and not is_there(tmp_path / "b" / "c")
    )


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
