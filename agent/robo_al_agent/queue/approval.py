"""Who says that a rollout may run: nobody, or a person at the robot.

An approval is bound to the content of one rollout by its hash, is good for a minute, and is
written to the journal with the name of who gave it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from robo_al_agent.robot import Array

SECONDS = 60.0
"""How long an approval is good for."""


class Approval(BaseModel):
    """`approval:` in AGENT.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    mode: Literal["auto", "first-n", "novelty", "every"] = "every"
    n: int = Field(default=10, ge=1)
    """first-n: how many rollouts a person approves before the rest runs by itself."""
    distance: float = Field(default=0.3, gt=0)
    """novelty: rad or m; a rollout further than this from every one that ran is shown first."""


@dataclass(frozen=True)
class Word:
    """What a person said of a rollout."""

    approved: bool
    hash: str
    operator: str
    time_ns: int


class Approvals:
    """Decides whether a rollout waits for a person.

    Args:
        rule: of AGENT.yaml.
        done: how many rollouts were approved by a person before.
    """

    def __init__(self, rule: Approval, done: int) -> None:
        self._rule, self._done = rule, done
        self._words: dict[str, Word] = {}
        self._paths: list[Array] = []

    def rule(self) -> str:
        """Return whom the next rollout is shown to, in words."""
        mode, n = self._rule.mode, self._rule.n
        if mode != "first-n":
            return mode
        left = max(0, n - self._done)
        return f"first-n, {left} of {n} left to approve" + ("" if left else ": the rest runs")

    def say(self, id: str, word: Word) -> None:
        """Take a person's word."""
        self._words[id] = word

    def word(self, id: str, hash: str, now_ns: int) -> Word | None:
        """Return what a person said of a rollout, if it still counts."""
        word = self._words.get(id)
        if word is None or word.hash != hash or now_ns - word.time_ns > SECONDS * 1e9:
            return None
        return word

    def needed(self, path: Array | None) -> bool:
        """Say whether a person is asked.

        Args:
            path: commands [T, J], or None where nobody knows them before.
        """
        mode = self._rule.mode
        if mode == "novelty":
            return path is None or all(
                _distance(path, known) > self._rule.distance for known in self._paths
            )
        return mode == "every" or (mode == "first-n" and self._done < self._rule.n)

    def ran(self, path: Array | None, approved: bool) -> None:
        """Note that a rollout runs."""
        self._done += approved
        if path is not None:
            self._paths.append(path)


def _distance(first: Array, second: Array) -> float:
    """Return the largest difference of any joint at the same time; the shorter one holds."""
    length = max(len(first), len(second))
    a, b = (np.concatenate([x, np.repeat(x[-1:], length - len(x), 0)]) for x in (first, second))
    return float(np.abs(a - b).max())
