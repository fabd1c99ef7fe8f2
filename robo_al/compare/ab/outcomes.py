"""What rollouts of policies came to, and how they make pairs from the same start."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal, NamedTuple


@dataclass(frozen=True)
class Scale:
    """What a rollout is judged by, and between which ends that lies."""

    name: Literal["success", "score", "return"]
    low: float
    """Infinite, as the other end is, where nobody knows it."""
    high: float

    @property
    def bounded(self) -> bool:
        """Whether it is known between which ends a value lies."""
        return isfinite(self.high - self.low)


SUCCESS = Scale("success", 0.0, 1.0)


class Judged(NamedTuple):
    """One rollout of a policy, and what it came to."""

    policy: str
    start: str
    """Where it began; rollouts from the same start make pairs."""
    value: float | None
    """On the scale; None where nobody can say."""


class Pairs(NamedTuple):
    """The pairs of two policies' rollouts, in the order in which they were complete."""

    before: Sequence[float]
    """[n] what the first policy came to."""
    after: Sequence[float]
    """[n] what the second one came to, from the same starts."""
    unsure: int
    """Pairs of which nobody can say what one of the two came to."""
    alone: int
    """Rollouts without a partner."""


def paired(rollouts: Sequence[Judged], before: str, after: str) -> Pairs:
    """Return the pairs of two policies: their first from a start, their second, and so on.

    Args:
        rollouts: in the order in which they ran; those of other policies are passed over.
        before: one policy.
        after: the other one.
    """
    values: tuple[list[float], list[float]] = ([], [])
    waiting: dict[tuple[str, str], deque[float | None]] = {}
    unsure = 0
    for rollout in rollouts:
        if rollout.policy not in (before, after):
            continue
        partner = after if rollout.policy == before else before
        partners = waiting.get((partner, rollout.start))
        if not partners:
            waiting.setdefault(rollout[:2], deque()).append(rollout.value)
            continue
        both = {partner: partners.popleft(), rollout.policy: rollout.value}
        first, second = both[before], both[after]
        if first is None or second is None:
            unsure += 1
            continue
        values[0].append(first)
        values[1].append(second)
    return Pairs(*values, unsure, sum(map(len, waiting.values())))
