"""Files that are either there, complete and on the disk, or not there at all."""

import errno
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
        raise StorageError.of_write(path, error) from error
    except sqlite3.DatabaseError as error:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        what = "the disk is full; make room" if full else str(error)
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


def append(path: Path, data: bytes) -> None:
    """Add to the end of a file, whole or not at all; it is not waited for the disk.

    Raises:
        StorageError: the disk is full or refuses; the file is as it was.
    """
    with storage(path), path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(before)
            raise


def move(source: Path, path: Path) -> None:
    """Give a file its place, in which it is whole and on the disk, or not at all.

    Args:
        source: in the same file system.
        path: where it is to be, in place of what is there.

    Raises:
        StorageError: the disk is full or refuses.
    """
    with storage(path):
        with source.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(source, path)
        sync_folder(path.parent)


def is_there(path: Path) -> bool:
    """Return whether there is such a file or folder.

    Raises:
        RunFolderError: that cannot be known, since a folder above it may not be entered.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise RunFolderError(
            f"{path}: cannot be looked at: {error.strerror}; see to the permissions of its folder, "
            "and to the disk that it is on"
        ) from error
    return True


def read_verified(path: Path, sha256: str | None, what: str) -> bytes:
    """Read a file and compare it with what was written.

    Args:
        path: the file.
        sha256: of what was written.
        what: the name of its content, for the message.

    Raises:
        IntegrityError: it is missing, truncated or altered.
        StorageError: it cannot be read now, which says nothing about what is in it.
    """
    with _reading(path, what):
        data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _altered(path, what, len(data))
    return data


def verify(path: Path, sha256: str, what: str) -> None:
    """Compare a file that may be large with what was written; see `read_verified`."""
    with _reading(path, what), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    if digest != sha256:
        raise _altered(path, what, size)


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    """Turn what a disk answers to a read into a message."""
    try:
        yield
    except FileNotFoundError as error:
        if not path.parent.is_dir():
            raise _away(path, what, "its folder is not there") from error
        raise IntegrityError(f"{what}: there is no {path} any more") from error
    except OSError as error:
        raise _away(path, what, error.strerror or str(error)) from error


def _altered(path: Path, what: str, size: int) -> IntegrityError:
    return IntegrityError(f"{what}: {path} is not what was written ({size} bytes now)")


def _away(path: Path, what: str, why: str) -> StorageError:
    return StorageError(
        f"{what}: {path} cannot be read now: {why}; mount its disk, put it back, or see to its "
        "permissions, then resume; nothing recorded is lost"
    )
