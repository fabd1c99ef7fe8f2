"""A camera's frames as files beside the journal; a result has their times, place and hash alone.

`frames/<rollout>.<camera>.mjpeg` is one JPEG picture after another, which players take for a
video; `frames/<rollout>.<camera>.index` has a JSON line for each: `time_ns`, `offset`, `bytes`,
`sha256`. `<rollout>` is the beginning of the SHA-256 of its id, as in the journal. Nobody but a
person removes them: a result refers to them.
"""

import hashlib
import json
import os
import threading
from pathlib import Path

import numpy as np

from robo_al_agent.errors import DriverError
from robo_al_agent.sensor import Frame, Measurement
from robo_al_agent.sensors.camera import opencv
from robo_al_agent.sensors.tracks import Kept

QUALITY = 90
"""Of the JPEG pictures, 0 to 100."""


class Film:
    """Frames of one camera, while a rollout or a recording runs.

    Args:
        journal: folder of the journal.
        id: of the rollout.
        camera: its name.
    """

    def __init__(self, journal: Path, id: str, camera: str) -> None:
        self._journal = journal
        self._pictures, self._index = _paths(journal, id, camera)
        self._lock = threading.Lock()
        """Of what follows."""
        self._bytes = 0
        self._lines = 0
        """Bytes of the index."""
        self._hash = hashlib.sha256()
        self._rows: list[tuple[int, int]] = []

    def add(self, reading: Measurement | Frame) -> None:
        """Write a frame; raises `DriverError` where the disk does not take it."""
        assert isinstance(reading, Frame)
        cv2 = opencv()
        done, picture = cv2.imencode(".jpg", reading.pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        assert done
        data, offset = picture.tobytes(), self._bytes
        hash = hashlib.sha256(data).hexdigest()
        entry = {"time_ns": reading.time_ns, "offset": offset, "bytes": len(data), "sha256": hash}
        line = f"{json.dumps(entry)}\n".encode()
        try:
            self._pictures.parent.mkdir(mode=0o700, exist_ok=True)
            _write_at(self._pictures, offset, data)
            _write_at(self._index, self._lines, line)
        except OSError as error:
            raise DriverError(f"its frames cannot be kept: {error}: see to the disk") from error
        with self._lock:
            self._rows.append((reading.time_ns, offset))
            self._bytes += len(data)
            self._lines += len(line)
            self._hash.update(data)

    def end(self) -> Kept:
        """Return place and hash, and time (ns) and offset of each frame [N, 2]."""
        with self._lock:
            rows, size, hash = self._rows[:], self._bytes, self._hash.hexdigest()
        return _told(self._journal, self._pictures, rows, size, hash)


def left_behind(journal: Path, id: str, camera: str) -> Kept:
    """Return what `Film.end` would have, had the agent not been killed."""
    pictures, index = _paths(journal, id, camera)
    data = pictures.read_bytes() if pictures.exists() else b""
    rows, size = [], 0
    for line in index.read_text().splitlines() if index.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            break  # torn while it was written
        end = entry["offset"] + entry["bytes"]
        if hashlib.sha256(data[entry["offset"] : end]).hexdigest() == entry["sha256"]:
            rows.append((entry["time_ns"], entry["offset"]))
            size = end
    return _told(journal, pictures, rows, size, hashlib.sha256(data[:size]).hexdigest())


def _paths(journal: Path, id: str, camera: str) -> tuple[Path, Path]:
    stem = f"{hashlib.sha256(id.encode()).hexdigest()[:32]}.{camera}"
    return journal / "frames" / f"{stem}.mjpeg", journal / "frames" / f"{stem}.index"


def _told(journal: Path, pictures: Path, rows: list[tuple[int, int]], size: int, hash: str) -> Kept:
    about = {"file": str(pictures.relative_to(journal)), "bytes": size, "sha256": hash}
    return about, np.array(rows, np.int64).reshape(len(rows), 2)


def _write_at(path: Path, offset: int, data: bytes) -> None:
    """Write at a place of a file, durably; a part that was left there is written over."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        if os.pwrite(descriptor, data, offset) != len(data):
            raise OSError("the disk is full")
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
