"""The journal: what was accepted, begun and ended, on the disk before anything follows from it.

One line a record, `crc32 {json}`, appended and flushed to the disk (append + fdatasync). A last
line that a power cut tore is dropped; anything else that does not check stops the agent. Beside it,
`<id>.request` is what was asked, `<id>.samples` grows while a rollout runs (written by a thread of
its own, so that the control loop never waits for a disk), and `<id>.result` is what was measured.
Identifiers of rollouts are never forgotten: what was executed once is not executed again, however
late a copy of its request arrives.
"""

import hashlib
import json
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robo_al_agent.errors import JournalError
from robo_al_agent.journal.records import Records, Rollout
from robo_al_agent.protocol.wire import Message, pack, unpack
from robo_al_agent.robot import OutcomeKind


class FileJournal(Records):
    """The journal in a folder.

    Args:
        folder: made where there is none; used by one process at a time (the caller locks it).

    Raises:
        JournalError: it was altered, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "journal.log"
        try:
            data = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise JournalError(f"{path}: {error}") from error
        good = 0
        for record, end in _records(path, data):
            self.apply(record)
            good = end
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.ftruncate(self._file, good)
        os.lseek(self._file, good, os.SEEK_SET)
        self._flush_folder()
        self._sampling: tuple[str, int] | None = None
        self._lock = threading.Lock()
        """Of both files that grow: three threads write."""

    def accept(self, rollout: Rollout, request: Message) -> None:
        """See `Journal`."""
        self._write(self._path(rollout.id, "request"), pack(request))
        recording = {"recording": True} if rollout.recording else {}
        self._append(record="accepted", id=rollout.id, hash=rollout.hash, **recording)

    def start(self, id: str, approved: bool) -> None:
        """See `Journal`."""
        path = self._path(id, "samples")
        self._end_sampling()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise JournalError(f"{path}: {error}") from error
        self._sampling = (id, descriptor)
        self._append(record="started", id=id, approved=approved)

    def end(
        self, id: str, kind: OutcomeKind, reason: str, fraction: float, result: Message | None
    ) -> None:
        """See `Journal`."""
        sha256 = None
        if result is not None:
            data = pack(result)
            sha256 = hashlib.sha256(data).hexdigest()
            self._write(self._path(id, "result"), data)
        self._append(
            record="ended", id=id, kind=kind, reason=reason, fraction=fraction, sha256=sha256
        )
        self._end_sampling()
        self._path(id, "samples").unlink(missing_ok=True)

    def acknowledge(self, id: str) -> None:
        """See `Journal`."""
        self._append(record="acknowledged", id=id)
        for suffix in ("request", "result", "samples"):
            self._path(id, suffix).unlink(missing_ok=True)

    def request(self, id: str) -> Message:
        """See `Journal`; raises `JournalError` where its file was altered."""
        return self._read(self._path(id, "request"), None)

    def result(self, id: str) -> Message | None:
        """See `Journal`; raises `JournalError` where its file was altered."""
        sha256 = self.rollouts[id].sha256
        return None if sha256 is None else self._read(self._path(id, "result"), sha256)

    def sample(self, id: str, row: bytes) -> None:
        """See `Journal`."""
        with self._lock:
            if self._sampling is None or self._sampling[0] != id:
                return
            try:
                written = os.write(self._sampling[1], row)
            except OSError as error:
                raise JournalError(f"{self._path(id, 'samples')}: {error}") from error
            if written != len(row):
                raise JournalError(f"{self._path(id, 'samples')}: the disk is full")

    def samples(self, id: str) -> bytes:
        """See `Journal`."""
        path = self._path(id, "samples")
        return path.read_bytes() if path.exists() else b""

    def close(self) -> None:
        """Close the files."""
        self._end_sampling()
        os.close(self._file)

    def _append(self, **record: Any) -> None:
        text = json.dumps(record, separators=(",", ":")).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        with self._lock:
            try:
                at = os.lseek(self._file, 0, os.SEEK_CUR)
                if os.write(self._file, line) != len(line):
                    os.ftruncate(self._file, at)
                    os.lseek(self._file, at, os.SEEK_SET)
                    raise OSError("the disk is full")
                os.fdatasync(self._file)
            except OSError as error:
                raise JournalError(f"{self._folder / 'journal.log'}: {error}") from error
            self.apply(record)

    def _write(self, path: Path, data: bytes) -> None:
        temporary = path.with_suffix(".tmp")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fdatasync(file.fileno())
            temporary.replace(path)
            self._flush_folder()
        except OSError as error:
            raise JournalError(f"{path}: {error}") from error

    def _read(self, path: Path, sha256: str | None) -> Message:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise JournalError(f"{path}: {error}") from error
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise JournalError(f"{path}: not as it was written")
        return unpack(data)

    def _path(self, id: str, suffix: str) -> Path:
        return self._folder / f"{hashlib.sha256(id.encode()).hexdigest()[:32]}.{suffix}"

    def _end_sampling(self) -> None:
        with self._lock:
            if self._sampling:
                os.close(self._sampling[1])
                self._sampling = None

    def _flush_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _records(path: Path, data: bytes) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield records, and the position after each."""
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        line = data[at:end] if end >= 0 else data[at:]
        checked = end >= 0 and line[8:9] == b" " and line[:8] == b"%08x" % zlib.crc32(line[9:])
        if not checked:
            if end < 0 or end == len(data) - 1:
                return  # torn by a power cut while it was written
            raise JournalError(
                f"{path}: byte {at} is not as it was written; keep the folder for inspection, and "
                "give the agent a new one"
            )
        at = end + 1
        yield json.loads(line[9:]), at
