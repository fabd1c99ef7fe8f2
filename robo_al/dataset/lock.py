"""Who uses a folder: one process at a time, on any machine that sees it.

`flock` is used where the file system has it. Some have none (Lustre, some NFS): there a file says
which process of which host uses the folder, and what it says is believed until that process is
known to have ended.
"""

import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from robo_al.dataset.files import is_there, storage
from robo_al.dataset.folders import HOLDERS, LOCK
from robo_al.errors import FolderInUseError, RunFolderError

_TAKING = "lock.host.taking"
_IN_USE = (errno.EWOULDBLOCK, errno.EACCES)
_WITHOUT = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
"""What `flock` answers on a file system without locks."""
logger = logging.getLogger("robo_al")


class FolderLock:
    """A folder that is taken, until this is closed or the process has ended.

    Args:
        file: open, and locked where the file system has locks.
        holders: the file that says who uses the folder, where it has none.
    """

    def __init__(self, file: IO[bytes], holders: Path | None) -> None:
        self._file = file
        self._holders = holders

    def fileno(self) -> int:
        """Return the descriptor: the folder is taken for as long as any process has it open."""
        return self._file.fileno()

    def share(self, process: int) -> None:
        """Keep the folder taken until this process, which was given the descriptor, ends too.

        Raises:
            StorageError: the disk is full or refuses.
        """
        if self._holders is not None:
            with storage(self._holders), self._holders.open("ab") as file:
                file.write(_line(process))

    def close(self) -> None:
        """Let the folder go; may be called twice."""
        holders, self._holders = self._holders, None
        if holders is not None:
            with suppress(OSError):
                holders.unlink(missing_ok=True)
        self._file.close()

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def lock_folder(folder: Path) -> FolderLock:
    """Take a folder for this process.

    Raises:
        RunFolderError: another process has it, or it cannot be known whether one has.
        StorageError: the disk is full or refuses.
    """
    holders = folder / HOLDERS
    with storage(folder / LOCK):
        file = open(folder / LOCK, "ab")
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _IN_USE:
                message = f"{folder}: in use by another process; wait until it ends"
                raise FolderInUseError(message) from None
            if error.errno not in _WITHOUT:
                raise RunFolderError(f"{folder}: cannot be locked: {error.strerror}") from error
            _write_holders(holders)
            logger.warning(
                "%s: the file system has no locks (%s); %s says that this process uses the folder",
                folder,
                error.strerror,
                HOLDERS,
            )
            return FolderLock(file, holders)
        if is_there(holders):  # another host may see the same folder without locks
            _remove_of_the_dead(holders)
        return FolderLock(file, None)
    except BaseException:
        file.close()
        raise


def _write_holders(holders: Path) -> None:
    """Say that this process uses the folder.

    Raises:
        RunFolderError: another one does, or is just taking it.
    """
    with _taking(holders), storage(holders):
        holders.write_bytes(_line(os.getpid()))


def _remove_of_the_dead(holders: Path) -> None:
    """Remove what processes left that have ended.

    Raises:
        RunFolderError: one has not, or it cannot be known.
    """
    with _taking(holders), storage(holders):
        holders.unlink(missing_ok=True)


@contextmanager
def _taking(holders: Path) -> Iterator[None]:
    """Let one process at a time change who uses a folder that no living process uses.

    Raises:
        RunFolderError: a living process uses it, or another one is just taking it.
    """
    _refuse_living(holders)
    taking = holders.with_name(_TAKING)
    try:
        taking.mkdir()
    except FileExistsError:
        raise RunFolderError(
            f"{holders.parent}: is being taken by another process; if there is none, remove "
            f"{taking}"
        ) from None
    except OSError as error:
        raise RunFolderError(f"{holders.parent}: cannot be locked: {error.strerror}") from error
    try:
        _refuse_living(holders)  # again: nobody else changes it now
        yield
    finally:
        taking.rmdir()


def _refuse_living(holders: Path) -> None:
    """Refuse a folder that a process uses, or may use."""
    try:
        found = [json.loads(line) for line in holders.read_text(encoding="utf-8").splitlines()]
        said = [f"process {holder['pid']} of host {holder['host']}" for holder in found]
        living = [_may_live(holder) for holder in found] or [True]
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunFolderError(f"{holders}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError):
        said, living = ["a process that does not say which it is"], [True]
    for who, lives in zip(said or ["a process"], living, strict=True):
        if lives:
            raise FolderInUseError(
                f"{holders.parent}: in use by {who}, says {holders.name}, since the file system "
                f"has no locks; wait until it ends, or remove {holders} if it has ended"
            )


def _may_live(holder: dict[str, Any]) -> bool:
    """Return whether a process may still be running, as far as this host can know."""
    ours = _identity(os.getpid())
    if holder["host"] != ours["host"]:
        return True
    if holder["boot"] != ours["boot"]:
        return False  # the host was started again since
    if holder["namespace"] != ours["namespace"]:
        return True  # in another container: its processes are not seen from here
    return holder["started"] is not None and holder["started"] == _started(int(holder["pid"]))


def _line(process: int) -> bytes:
    return json.dumps(_identity(process)).encode() + b"\n"


def _identity(process: int) -> dict[str, Any]:
    """Return what tells a process of this host from any other, at any time."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError as error:
        raise RunFolderError(
            "a folder on a file system without locks can be used only where there is /proc: "
            f"{error.filename}: {error.strerror}"
        ) from error
    return {
        "host": socket.gethostname(),
        "boot": boot,
        "namespace": namespace,
        "pid": process,
        "started": _started(process),
    }


def _started(process: int) -> int | None:
    """Return when a process was started, in ticks since the boot; None where it has ended."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])
