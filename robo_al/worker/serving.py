"""The life of a process that holds one env.

It is started with the ends of three pipes as its last arguments: to read frames from, to write
frames to, and one whose other end is closed when the parent dies. The parent sends

    make   {name, parameters, ...}          -> ready {what the env is} or refused {reason, user}
    reset  {seed, options}                  -> observation or fault
    step   T actions                        -> T times: observation or fault

Observations and actions are the numbers of their spaces, one after the other (`.spaces`).

An answer comes after each step, so that the deadline is each step's, and what was recorded before
a worker hung is with the parent. No answer follows a fault, or a step that ended the rollout
(`over`).
"""

from __future__ import annotations

import fcntl
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from .frames import Channel, Frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Host(Protocol):
    """Holds an env, and answers with frames."""

    def ready(self) -> Frame:
        """Say what the env is."""

    def reset(self, seed: int, options: Mapping[str, Any]) -> Frame:
        """Start a rollout."""

    def step(self, action: NDArray[np.float64]) -> Frame:
        """Apply one action, whose numbers are given."""


def serve(make: Callable[[Mapping[str, Any]], Host | Frame]) -> None:
    """Serve one env until the parent is gone.

    Args:
        make: from the fields of the frame `make` to who holds the env, or a refusal.
    """
    read_from, write_to, parent = map(int, sys.argv[-3:])
    for end in (read_from, write_to, parent):
        os.set_inheritable(end, False)  # not for whatever the env starts
    _end_with(parent)
    channel = Channel(read_from, write_to)
    frames: queue.SimpleQueue[Frame] = queue.SimpleQueue()
    # apart from the env, so that a parent's death is seen while the env hangs; the kernel sees it
    # where the env does not let go of the interpreter, but not every kernel can
    threading.Thread(target=_listen, args=(channel, frames), daemon=True).start()
    host = make(frames.get().fields)
    try:
        if isinstance(host, Frame):
            channel.send(host)
        else:
            channel.send(host.ready())
            _answer(channel, frames, host)
    except BrokenPipeError:
        pass


def refusal(reason: str, user: bool) -> Frame:
    """Return the frame of an env that cannot be made.

    Args:
        reason: for the message.
        user: whether what the user gave is wrong, and not the env.
    """
    return Frame("refused", {"reason": reason, "user": user})


def fault(kind: str, reason: str) -> Frame:
    """Return the frame of a rollout that cannot go on, and why (`robo_al.types.Failure`)."""
    return Frame("fault", {"failure": kind, "reason": reason})


def _end_with(parent: int) -> None:
    """Have the kernel kill us, and whatever the env has started, when a pipe is closed."""
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(parent, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(parent, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(parent, fcntl.F_SETFL, fcntl.fcntl(parent, fcntl.F_GETFL) | os.O_ASYNC)


def _listen(channel: Channel, frames: queue.SimpleQueue[Frame]) -> None:
    try:
        while True:
            frames.put(channel.receive())
    except EOFError:
        os.killpg(0, signal.SIGKILL)  # with whatever the env has started


def _answer(channel: Channel, frames: queue.SimpleQueue[Frame], host: Host) -> None:
    while True:
        frame = frames.get()
        if frame.kind == "reset":
            channel.send(host.reset(frame.fields["seed"], frame.fields["options"]))
            continue
        for action in frame.arrays[0]:
            answer = host.step(action)
            channel.send(answer)
            if answer.fields.get("over", True):  # and so is a rollout with a fault
                break
