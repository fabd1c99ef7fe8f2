"""The process that holds the env of a `GymnasiumOracle`, and the frames that it talks in.

Run as `python -m robo_al.oracles.worker`. A frame is two little-endian 32-bit lengths, a JSON
header, and the raw float64 arrays whose shapes the header gives. The parent sends

    make   {name, parameters, path}         -> ready {limits} or refused {reason, user}
    reset  {seed, options}                  -> observation [O] or fault
    step   actions [T,A]                    -> T times: observation [O] or fault

An answer comes after each step, so that the deadline is each step's, and what was recorded before
a worker hung is with the parent. No answer follows a fault, the end of the task, or the step after
which the env broke the rollout off.
"""

import json
import os
import queue
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robo_al_agent.terminal import tolerate

if TYPE_CHECKING:
    from robo_al.oracles.recording import Fault, Step

Array = NDArray[np.float64]
_LENGTHS = struct.Struct("<II")
_LARGEST = 2**28
"""Bytes of a frame: more is a channel out of step, not a rollout."""


class Frame(NamedTuple):
    """One message."""

    kind: str
    fields: Mapping[str, Any]
    arrays: Sequence[Array] = ()


class Channel:
    """Frames over two pipes, each way with a deadline."""

    def __init__(self, read_from: int, write_to: int) -> None:
        self._read_from, self._write_to = read_from, write_to
        os.set_blocking(write_to, False)

    def send(self, frame: Frame, timeout: float | None = None) -> None:
        """Write one frame; raises `TimeoutError` or `BrokenPipeError`."""
        arrays = [np.ascontiguousarray(array, dtype="<f8") for array in frame.arrays]
        shapes = [array.shape for array in arrays]
        header = json.dumps({"kind": frame.kind, "shapes": shapes, **frame.fields}).encode()
        payload = b"".join(array.tobytes() for array in arrays)
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
        values = np.frombuffer(self._read(length, deadline), dtype="<f8")
        arrays, start = [], 0
        for shape in fields.pop("shapes"):
            size = int(np.prod(shape))
            arrays.append(values[start : start + size].reshape(shape).copy())
            start += size
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


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _wait(descriptor: int, event: int, deadline: float | None) -> None:
    """Wait until a pipe is ready; a closed one is."""
    poll = select.poll()
    poll.register(descriptor, event)
    left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    if not poll.poll(left):
        raise TimeoutError


def main() -> None:
    """Serve one env until the parent is gone."""
    tolerate()
    channel = _take_channel()
    frames: queue.SimpleQueue[Frame] = queue.SimpleQueue()
    # apart from the env, so that a parent's death is seen while the env hangs
    threading.Thread(target=_listen, args=(channel, frames), daemon=True).start()
    made = frames.get()
    sys.path[:] = made.fields["path"]
    try:
        _serve(channel, frames, made.fields)
    except BrokenPipeError:
        pass


def _take_channel() -> Channel:
    """Keep stdin and stdout for the frames: what the env prints goes to stderr."""
    channel = Channel(os.dup(0), os.dup(1))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return channel


def _listen(channel: Channel, frames: "queue.SimpleQueue[Frame]") -> None:
    try:
        while True:
            frames.put(channel.receive())
    except EOFError:
        os.killpg(0, signal.SIGKILL)  # with whatever the env has started


def _serve(channel: Channel, frames: "queue.SimpleQueue[Frame]", made: Mapping[str, Any]) -> None:
    from robo_al.errors import UserError
    from robo_al.oracles.recording import Limits, Watch, reset_env, step_env
    from robo_al.plugins import make_env
    from robo_al.types import Context, EnvSpec

    try:
        spec = EnvSpec(made["name"], made["parameters"])
        env = make_env(spec)
        limits, watch = Limits.of(env, spec), Watch(env)
    except Exception as error:
        user = isinstance(error, UserError)
        reason = str(error) if user else f"{type(error).__name__}: {error}"
        channel.send(Frame("refused", {"reason": reason, "user": user}))
        return
    fields = {"dtype": limits.dtype, "control_period": limits.control_period}
    channel.send(Frame("ready", fields, [limits.low, limits.high]))
    while True:
        frame = frames.get()
        if frame.kind == "reset":
            context = Context(np.zeros(0), frame.fields["seed"], frame.fields["options"])
            channel.send(_answer(reset_env(env, context)))
            continue
        for action in frame.arrays[0]:
            answer = _answer(step_env(env, watch, limits.clip(action)))
            channel.send(answer)
            if answer.fields.get("over", True):  # and so is a rollout with a fault
                break


def _answer(result: "Array | Step | Fault") -> Frame:
    from robo_al.oracles.recording import Fault, Step

    if isinstance(result, Fault):
        return Frame("fault", {"failure": result.kind, "reason": result.reason})
    if isinstance(result, Step):
        ends = {"terminated": result.terminated, "truncated": result.truncated}
        fields = {"reward": result.reward, **ends, "over": any(ends.values())}
        return Frame("observation", fields, [result.observation])
    return Frame("observation", {}, [result])


if __name__ == "__main__":
    main()
