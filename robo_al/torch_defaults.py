"""What torch is set to for the time being: one thread, and single precision.

One thread: on tensors as small as a campaign's, threads mostly wait for one another; and with one
of them no result depends on the number of cores. Single precision is what GPyTorch and
Stable-Baselines3 make without saying so, whatever a program has set.
"""

import threading
from contextlib import ContextDecorator
from typing import Any


class OneThread(ContextDecorator):
    """Lets torch compute in one thread; outside, each thread has as many as there were before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        """Threads of the program that are inside."""
        self._before = 0
        """How many torch used when the first of them came."""
        self._depth = threading.local()

    def __enter__(self) -> None:
        import torch

        depth = getattr(self._depth, "value", 0)
        self._depth.value = depth + 1
        if depth:
            return
        with self._lock:
            if not self._inside:
                self._before = torch.get_num_threads()
            self._inside += 1
            torch.set_num_threads(1)  # of this thread, and of those that torch has not met yet

    def __exit__(self, *exception: object) -> None:
        import torch

        self._depth.value -= 1
        if self._depth.value:
            return
        with self._lock:
            self._inside -= 1
            torch.set_num_threads(self._before)


class SinglePrecision(ContextDecorator):
    """Makes float32 torch's default for the time being, whatever a program has set.

    The default is the process's: it is float32 from the first thread that enters until the last
    one leaves.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: Any = None
        """The default when the first of them came."""

    def __enter__(self) -> None:
        import torch

        with self._lock:
            if not self._inside:
                self._before = torch.get_default_dtype()
                torch.set_default_dtype(torch.float32)
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        import torch

        with self._lock:
            self._inside -= 1
            if not self._inside:
                torch.set_default_dtype(self._before)


one_thread = OneThread()
"""A context manager and decorator; may be entered again, and from several threads."""

single_precision = SinglePrecision()
"""A context manager and decorator."""
