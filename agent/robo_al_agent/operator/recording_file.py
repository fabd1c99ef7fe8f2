"""A recording as a file for who has no host: safetensors, which any framework reads.

The format: eight bytes with the header's length, little-endian; the header, JSON that names each
tensor's dtype, shape and place; the tensors' bytes (https://github.com/huggingface/safetensors).
Everything that is no array is in `__metadata__`, each value as JSON.
"""

import json
import os
import struct
from pathlib import Path

import numpy as np

from robo_al_agent.errors import SetupError
from robo_al_agent.protocol.wire import Message

DTYPES = {"float64": ("F64", "<f8"), "int64": ("I64", "<i8")}
SUFFIX = ".safetensors"


def need_new_file(path: Path) -> None:
    """Raise `SetupError` unless a recording can be written there."""
    if path.suffix != SUFFIX:
        raise SetupError(f"{path}: a recording is written as FILE{SUFFIX}")
    if path.exists():
        raise SetupError(f"{path}: is there already, and stays as it is")
    if not path.resolve().parent.is_dir():
        raise SetupError(f"{path}: there is no folder {path.resolve().parent}")


def write_file(path: Path, recording: Message) -> None:
    """Write a recording; it is on the disk when this returns, or there is no such file.

    Raises:
        SetupError: it cannot be written.
    """
    need_new_file(path)
    header: dict[str, object] = {
        "__metadata__": {
            key: json.dumps(value, ensure_ascii=False)
            for key, value in recording.fields.items()
            if key != "request"
        }
    }
    parts, at = [], 0
    for name, array in recording.arrays.items():
        kind, layout = DTYPES[array.dtype.name]
        data = np.ascontiguousarray(array, layout).tobytes()
        offsets = [at, at + len(data)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        parts.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SetupError(f"{path}: {error}; the recording is still at the agent") from error
