"""Frames over two pipes: how a process talks to the one that holds its env.

A frame is two little-endian 32-bit lengths, a JSON header, and the raw arrays whose types and
shapes the header gives: bytes, which pictures are made of, or else float64.
"""

from __future__ import annotations

import json
import os
import select
import struct
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LENGTHS = struct.Struct("<II")
_LARGEST = 2**28
"""Bytes of a frame: more is a channel out of step, not a rollout."""


class Frame(NamedTuple):
    """One message."""

    kind: str
    fields: Mapping[str, Any]
    arrays: Sequence[NDArray[Any]] = ()


class Channel:
    """Frames over two pipes, each way with a deadline."""

    def __init__(self, read_from: int, write_to: int) -> None:
        self._read_from = read_from
        self._write_to = write_to
        os.set_blocking(write_to, False)

    def send(self, frame: Frame, timeout: float | None = None) -> None:
        """Write one frame; raises `TimeoutError` or `BrokenPipeError`."""
        shapes, payload = _packed(frame.arrays)
        header = json.dumps({"kind": frame.kind, "shapes": shapes, **frame.fields}).encode()
        data = memoryview(_LENGTHS.pack(len(header), len(payload)) + header + payload)
        deadline = _deadline(timeout)
        while data:
            _wait(self._write_to, select.POLLOUT, deadline)
            data = data[os.write(self._write_to, data) :]

    def receive(self, timeout: float | None = None) -> Frame:
        """Read one frame; raises `TimeoutError`, or `EOFError` when the other side is gone."""
        deadline = _deadline(timeout)
        header_length, length = _LENGTHS.unpack(self._read(_LENGTHS.size, deadline))
        if header_length + length > _LARGEST:
            raise EOFError(f"a frame of {header_length + length} bytes")
        fields = json.loads(self._read(header_length, deadline))
        arrays = _unpacked(fields.pop("shapes"), self._read(length, deadline))
        return Frame(fields.pop("kind"), fields, arrays)

    def close(self) -> None:
        """Close both pipes."""
        os.close(self._read_from)
        os.close(self._write_to)

    def _read(self, size: int, deadline: float | None) -> bytes:
        parts = []
        while size:
            _wait(self._read_from, select.POLLIN, deadline)
            part = os.read(self._read_from, size)
            if not part:
                raise EOFError("the other side closed the channel")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


# A Python without NumPy can still say that it has none: it is imported for arrays only.
def _packed(arrays: Sequence[NDArray[Any]]) -> tuple[list[list[Any]], bytes]:
    """Return the type and shape of arrays, and their bytes one after the other."""
    if not arrays:
        return [], b""
    import numpy as np

    whole = [
        np.ascontiguousarray(array, dtype="|u1" if array.dtype == np.uint8 else "<f8")
        for array in arrays
    ]
    told = [[array.dtype.str, *array.shape] for array in whole]
    return told, b"".join(array.tobytes() for array in whole)


def _unpacked(told: Sequence[Sequence[Any]], payload: bytes) -> list[NDArray[Any]]:
    if not told:
        return []
    import numpy as np

    arrays, start = [], 0
    for kind, *shape in told:
        size = int(np.prod(shape))
        array = np.frombuffer(payload, dtype=kind, count=size, offset=start)
        arrays.append(array.reshape(shape).copy())
        start += array.nbytes
    return arrays


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _wait(descriptor: int, event: int, deadline: float | None) -> None:
    """Wait until a pipe is ready; a closed one is."""
    poll = select.poll()
    poll.register(descriptor, event)
    left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    if not poll.poll(left):
        raise TimeoutError
