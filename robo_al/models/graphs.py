"""Functions of tensors that a GPU replays as one launch (a CUDA graph).

Small networks keep a GPU busy for less time than Python needs to say what is next. A recorded
function is said once. It reads its arguments from tensors that stay where they are and must write
in place whatever else it changes; it must not wait for the GPU. Where that cannot be recorded, and
on a CPU, the function is simply called.

The rules are PyTorch's (https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs): first some
ordinary calls on the stream that will record, which here are the first calls there are; then the
recording, which computes nothing; then replays.
"""

import functools
import threading
from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

Outputs: TypeAlias = tuple[Tensor, ...] | None
Run: TypeAlias = Callable[[], Outputs]
ORDINARY = 50
"""Calls with arguments of the same shapes before they are recorded, which takes as long: PyTorch
collects garbage and empties its cache."""


@runtime_checkable
class Recorder(Protocol):
    """How a function without arguments is called before it is recorded, and recorded."""

    def call(self, run: Run) -> Outputs:
        """Call it as it is."""

    def record(self, run: Run) -> Run:
        """Return what replays it, into the same outputs each time; do not call it."""


class CudaRecorder:
    """Records CUDA graphs, on a stream of its own.

    What runs there begins after, and ends before, what is asked of the caller's stream.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = _stream(device)

    def call(self, run: Run) -> Outputs:
        """Call it on the stream that records."""
        caller = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(caller)
        with torch.cuda.stream(self._stream):
            outputs = run()
        caller.wait_stream(self._stream)
        return outputs

    def record(self, run: Run) -> Run:
        """Record a graph; other threads may go on with what they already do on the GPU."""
        graph, caller = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self._stream.device)
        try:
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                outputs = run()
        except BaseException:
            torch.cuda.set_stream(caller)  # a recording that fails does not go back to it
            raise

        def replay() -> Outputs:
            graph.replay()
            return outputs

        return replay


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Return the only stream of a device that records."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


_ONE_AT_A_TIME = threading.RLock()
"""Of recorded functions: a process can record one graph at a time, and nothing else may be asked
meanwhile of the stream that records; and the arguments' places are one thread's at a time."""


class Replayed:
    """A function of tensors that is recorded once for all arguments of the same shapes.

    Args:
        function: of tensors on `device`; its results are tensors, or it has none.
        device: where it computes.
        recorder: by default of CUDA graphs; on a CPU there is none.
    """

    def __init__(
        self,
        function: Callable[..., Outputs],
        device: torch.device,
        recorder: Recorder | None = None,
    ) -> None:
        if recorder is None and device.type == "cuda":
            recorder = CudaRecorder(device)
        self._function, self._recorder = function, recorder
        self._recordings: dict[tuple[object, ...], _Recording] = {}

    def __call__(self, *arguments: Tensor) -> Outputs:
        """Return what the function does; tensors that are the caller's own."""
        if self._recorder is not None:
            key = tuple((tensor.shape, tensor.dtype) for tensor in arguments)
            with _ONE_AT_A_TIME:
                recorder = self._recorder  # another thread may have given it up
                try:
                    if recorder is not None:
                        if key not in self._recordings:
                            self._recordings[key] = _Recording(self._function, arguments)
                        return self._recordings[key](recorder, arguments)
                except Unrecordable:
                    self._recorder = None
                    self._recordings.clear()
        return self._function(*arguments)


class Unrecordable(Exception):
    """A function cannot be recorded."""


class _Recording:
    """One function with places for arguments of certain shapes."""

    def __init__(self, function: Callable[..., Outputs], like: tuple[Tensor, ...]) -> None:
        places = self._places = tuple(torch.empty_like(tensor) for tensor in like)
        self._run: Run = lambda: function(*places)
        self._calls = 0

    def __call__(self, recorder: Recorder, arguments: tuple[Tensor, ...]) -> Outputs:
        for place, argument in zip(self._places, arguments, strict=True):
            place.copy_(argument)
        self._calls += 1
        if self._calls <= ORDINARY:
            return _own(recorder.call(self._run))
        if self._calls == ORDINARY + 1:
            try:
                self._run = recorder.record(self._run)
            except RuntimeError as error:
                raise Unrecordable from error
        return _own(self._run())


def _own(outputs: Outputs) -> Outputs:
    """Return copies: the next replay writes to the same places."""
    return None if outputs is None else tuple(output.clone() for output in outputs)
