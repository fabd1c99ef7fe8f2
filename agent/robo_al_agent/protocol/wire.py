"""The wire format: a JSON header and raw arrays, as frames of one ZeroMQ message.

    frame 0    {"version": 1, "kind": "submit", "fields": {...}, "arrays": [[name, dtype, shape]]}
    frame 1..  the arrays' bytes, little-endian, row by row

Nothing on the wire can execute code, and nothing is trusted: every frame's size, dtype and shape is
checked before an array is made of it. A message is also how the journal stores a rollout's data.
"""

import hashlib
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_al_agent.errors import WireError

VERSION = 1
MAX_HEADER = 256 * 1024
"""Bytes of a header."""
MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of a whole message."""
MAX_ARRAYS = 16
MAX_DEPTH = 8
"""Levels of nesting in a header."""
DTYPES = {"float64": "<f8", "float32": "<f4", "int64": "<i8", "uint8": "|u1"}
"""What an array may be made of."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Message:
    """A request or a reply."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """JSON values."""
    arrays: Arrays = field(default_factory=dict)


def encode(message: Message) -> list[bytes]:
    """Return the frames of a message.

    Raises:
        WireError: a field is no JSON value, or an array's dtype is not among `DTYPES`.
    """
    listed, frames = [], []
    for name, array in message.arrays.items():
        dtype = array.dtype.name
        if dtype not in DTYPES:
            raise WireError(f"array {name}: dtype {dtype}; one of {', '.join(DTYPES)} is needed")
        listed.append([name, dtype, list(array.shape)])
        frames.append(np.ascontiguousarray(array, DTYPES[dtype]).tobytes())
    header = {
        "version": VERSION,
        "kind": message.kind,
        "fields": dict(message.fields),
        "arrays": listed,
    }
    try:
        text = json.dumps(header, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise WireError(f"message {message.kind}: {error}") from error
    return [text.encode(), *frames]


def decode(frames: Sequence[bytes]) -> Message:
    """Return the message of some frames.

    Raises:
        WireError: they are none; whatever they are.
    """
    if not 1 <= len(frames) <= MAX_ARRAYS + 1:
        raise WireError(f"{len(frames)} frames; from 1 to {MAX_ARRAYS + 1} are allowed")
    if len(frames[0]) > MAX_HEADER or sum(map(len, frames)) > MAX_MESSAGE:
        raise WireError(f"a message of {sum(map(len, frames))} bytes is too large")
    header = _header(frames[0])
    listed = header["arrays"]
    if len(listed) != len(frames) - 1:
        raise WireError(f"{len(listed)} arrays are listed, {len(frames) - 1} were sent")
    arrays: dict[str, NDArray[Any]] = {}
    for entry, data in zip(listed, frames[1:], strict=True):
        name, array = _array(entry, data)
        if name in arrays:
            raise WireError(f"array {name!r} comes twice")
        arrays[name] = array
    return Message(header["kind"], header["fields"], arrays)


def _header(data: bytes) -> dict[str, Any]:
    if data.count(b"[") + data.count(b"{") > MAX_HEADER // 16:
        raise WireError("the header is nested too often")
    try:
        header = json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise WireError(f"the header is no JSON: {error}") from None
    if not isinstance(header, dict) or set(header) != {"version", "kind", "fields", "arrays"}:
        raise WireError("the header needs version, kind, fields and arrays, and nothing else")
    if header["version"] != VERSION or isinstance(header["version"], bool):
        raise WireError(f"version {header['version']!r}; this side speaks {VERSION}")
    for key, kind in (("kind", str), ("fields", dict), ("arrays", list)):
        if not isinstance(header[key], kind):
            raise WireError(f"{key} must be a {kind.__name__}")
    if _depth(header) > MAX_DEPTH:
        raise WireError(f"the header is nested deeper than {MAX_DEPTH} levels")
    return header


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        depth += 1
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
    return depth


def _array(entry: Any, data: bytes) -> tuple[str, NDArray[Any]]:
    if not (isinstance(entry, list) and len(entry) == 3 and isinstance(entry[2], list)):
        raise WireError("an array is listed as [name, dtype, shape]")
    name, dtype, shape = entry
    if not isinstance(name, str) or not isinstance(dtype, str) or dtype not in DTYPES:
        raise WireError(f"array {name!r}: dtype {dtype!r}; one of {', '.join(DTYPES)} is needed")
    if len(shape) > 4 or not all(type(n) is int and 0 <= n <= MAX_MESSAGE for n in shape):
        raise WireError(f"array {name!r}: shape {shape!r}")
    if math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize != len(data):
        raise WireError(f"array {name!r}: shape {shape} of {dtype} is not {len(data)} bytes")
    array = np.frombuffer(data, DTYPES[dtype]).reshape(shape)
    return name, array.astype(np.dtype(dtype))  # a copy that owns its data


def content_hash(message: Message) -> str:
    """Return the SHA-256 of a message's content, whatever the order of its keys."""
    digest = hashlib.sha256()
    names = sorted(message.arrays)
    frames = encode(
        Message(message.kind, message.fields, {name: message.arrays[name] for name in names})
    )
    digest.update(json.dumps(json.loads(frames[0]), sort_keys=True).encode())
    for frame in frames[1:]:
        digest.update(struct.pack("<Q", len(frame)))
        digest.update(frame)
    return digest.hexdigest()


def pack(message: Message) -> bytes:
    """Return a message as one string of bytes, for a file."""
    frames = encode(message)
    return b"".join(struct.pack("<Q", len(frame)) + frame for frame in frames)


def unpack(data: bytes) -> Message:
    """Return the message of a file's bytes.

    Raises:
        WireError: it is none.
    """
    frames, at = [], 0
    while at < len(data):
        if at + 8 > len(data):
            raise WireError("truncated")
        (size,) = struct.unpack_from("<Q", data, at)
        if size > len(data) - at - 8:
            raise WireError("truncated")
        frames.append(data[at + 8 : at + 8 + size])
        at += 8 + size
    return decode(frames)
