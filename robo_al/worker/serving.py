"""The life of a process that holds one env.

It is started with the two ends of its pipes as its last arguments. The parent sends

    make   {name, parameters, ...}          -> ready {what the env is} or refused {reason, user}
    reset  {seed, options}                  -> observation [O] or fault
    step   actions [T,A]                    -> T times: observation [O] or fault

An answer comes after each step, so that the deadline is each step's, and what was recorded before
a worker hung is with the parent. No answer follows a fault, or a step that ended the rollout
(`over`).
"""

from __future__ import annotations

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
        """Apply one action [A]."""


def serve(make: Callable[[Mapping[str, Any]], Host | Frame]) -> None:
    """Serve one env until the parent is gone.

    Args:
        make: from the fields of the frame `make` to who holds the env, or a refusal.
    """
    channel = _take_channel()
    frames: queue.SimpleQueue[Frame] = queue.SimpleQueue()
    # apart from the env, so that a parent's death is seen while the env hangs
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


def _take_channel() -> Channel:
    """Keep the pipes of the frames from whatever the env starts; what it prints goes to stderr."""
    ends = [int(text) for text in sys.argv[-2:]]
    for end in ends:
        os.set_inheritable(end, False)
    return Channel(*ends)


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
