"""Demonstrations: asks a person to show the task, or an expert in the place of one."""

from collections.abc import Sequence

import numpy as np

from robo_al.protocols import Model
from robo_al.seeds import integer
from robo_al.types import Candidate, Context, Demonstration, Task


class Demonstrations:
    """Proposes demonstrations from the starts in turn: as `explorer`, for the first ones.

    Args:
        task: unused; every policy is constructed with one.
        device: likewise.
    """

    def __init__(self, task: Task, device: str = "cpu") -> None:
        self.task = task

    def propose(
        self,
        n: int,
        contexts: Sequence[Context],
        horizon: int,
        model: Model | None,
        rng: np.random.Generator,
    ) -> list[Candidate]:
        """Return n demonstrations of `horizon` steps; needs no model."""
        return demonstrations(n, contexts, horizon, rng)


def demonstrations(
    n: int, contexts: Sequence[Context], horizon: int, rng: np.random.Generator
) -> list[Candidate]:
    """Return n demonstrations, the starts taken in turn."""
    return [
        Candidate(contexts[i % len(contexts)], Demonstration(), horizon, integer(rng))
        for i in range(n)
    ]
