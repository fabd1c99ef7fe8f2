"""Single precision for what GPyTorch and Stable-Baselines3 make without saying which."""

import threading
from contextlib import ContextDecorator

import torch


class SinglePrecision(ContextDecorator):
    """Makes float32 torch's default for the time being, whatever a program has set.

    The default is the process's: it is float32 from the first thread that enters until the last
    one leaves.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = torch.float32

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = torch.get_default_dtype()
                torch.set_default_dtype(torch.float32)
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                torch.set_default_dtype(self._before)


single_precision = SinglePrecision()
"""A context manager and decorator."""
