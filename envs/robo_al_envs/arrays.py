"""One formula for NumPy arrays and torch tensors, without importing torch."""

import math
import sys
from typing import Any


def namespace(array: Any) -> Any:
    """Return the module whose functions work on an array: torch for a tensor, else NumPy."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        return torch
    import numpy

    return numpy


def norm(vector: Any) -> Any:
    """Return the Euclidean length along the last axis."""
    return namespace(vector).sqrt((vector * vector).sum(-1))


def wrap(angle: Any) -> Any:
    """Return angles moved by whole turns into [-pi, pi)."""
    return namespace(angle).remainder(angle + math.pi, 2 * math.pi) - math.pi
