"""Files that are either there, complete and on the disk, or not there at all."""

import errno
import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from robo_al.errors import IntegrityError, RunFolderError, StorageError


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn what a disk answers to a write into a message.

    Raises:
        StorageError: the write failed; nothing half-written is ever taken for real.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "the disk is full; make room" if full else f"{error.strerror or error}"
        raise StorageError(f"{path}: cannot be written: {what}") from error
    except sqlite3.OperationalError as error:
        what = "the disk is full; make room" if "full" in str(error) else str(error)
        raise StorageError(f"{path}: cannot be written: {what}") from error


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on the disk: without it a power cut undoes a rename."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: bytes) -> str:
    """Write a file whole or not at all, and wait until it is on the disk.

    Returns:
        The SHA-256 of the data.

    Raises:
        StorageError: the disk is full or refuses; the file is as it was before.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with storage(path):
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    return hashlib.sha256(data).hexdigest()


def read_verified(path: Path, sha256: str | None, what: str) -> bytes:
    """Read a file and compare it with what was written.

    Args:
        path: the file.
        sha256: of what was written.
        what: the name of its content, for the message.

    Raises:
        IntegrityError: it is missing, truncated or altered.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise IntegrityError(f"{what}: {path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise IntegrityError(f"{what}: {path} is not what was written ({len(data)} bytes now)")
    return data


def lock_folder(folder: Path) -> IO[bytes]:
    """Take a run folder for this process, until the returned file is closed or the process ends.

    Raises:
        RunFolderError: another process has it.
    """
    with storage(folder / "lock"):
        file = open(folder / "lock", "ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise RunFolderError(f"{folder}: in use by another process; wait until it ends") from None
    return file
