"""Recorded steps on the device that learns from them: only what is new travels there."""

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from robo_al.types import Transitions


class Steps(NamedTuple):
    """The columns of `Transitions` as tensors (float64; numbers of rollouts int64, ends bool)."""

    observations: Float[Tensor, "B O"]
    actions: Float[Tensor, "B A"]
    next_observations: Float[Tensor, "B O"]
    rewards: Float[Tensor, "B"]
    rollouts: Int[Tensor, "B"]
    terminated: Bool[Tensor, "B"]


_KINDS = {"rollouts": torch.long, "terminated": torch.bool}
"""Of the columns that are not float64."""


class Resident:
    """Keeps the transitions that it was last asked for on a device.

    Only their columns are kept, and nothing that is computed from them: that is computed again
    from all rows, because a part of them gives other roundings, and a campaign that was resumed
    starts with nothing.

    Args:
        device: where.
        keep: by default, unless it is the CPU, where nothing has to travel.
    """

    def __init__(self, device: torch.device, keep: bool | None = None) -> None:
        self.device = device
        self.moved = 0
        """Rows that travelled the last time."""
        self._keep = device.type != "cpu" if keep is None else keep
        self._kept: tuple[tuple[np.ndarray, ...], Steps] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Resident":
        """Return another with the same columns, which never change."""
        return copy.copy(self)

    def __call__(self, transitions: Transitions) -> Steps:
        """Return the transitions on the device, moving what is after the first that differs."""
        columns = tuple(getattr(transitions, name) for name in Steps._fields)
        same = _same_rows(self._kept[0], columns) if self._kept else 0
        self.moved = len(transitions) - same
        kinds = [_KINDS.get(name, torch.float64) for name in Steps._fields]
        given = zip(columns, kinds, strict=True)
        steps = Steps(*(self._move(column[same:], kind) for column, kind in given))
        if self._kept and same:
            both = zip(self._kept[1], steps, strict=True)
            steps = Steps(*(torch.cat([kept[:same], moved]) for kept, moved in both))
        if self._keep:
            self._kept = columns, steps
        return steps

    def _move(self, rows: np.ndarray, kind: torch.dtype) -> Tensor:
        return torch.as_tensor(rows, dtype=kind, device=self.device)


def _same_rows(kept: tuple[np.ndarray, ...], given: tuple[np.ndarray, ...]) -> int:
    """Return how many rows at the beginning are the same."""
    same = min(len(kept[0]), len(given[0]))
    for one, other in zip(kept, given, strict=True):
        if one.shape[1:] != other.shape[1:]:
            return 0
        different = one[:same] != other[:same]
        if different.any():
            same = int(different.reshape(same, -1).any(1).argmax())
    return same
