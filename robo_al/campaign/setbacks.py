"""When a campaign stops because nothing comes of its rollouts.

It stops where the first rollouts fail, sooner than where some were recorded before: an oracle that
never worked is told from one that fails now and then. What a person or a safety rule aborts says
less about the others: it counts where many in a row bring nothing. Only what happened since the
folder was opened counts, so that a campaign goes on once the cause is mended.
"""

import json
from collections import deque
from collections.abc import Iterable, Sequence

from robo_al.dataset.ledger import EvaluationRow, Ledger, RolloutRow
from robo_al.types import Failure, Trajectory

FIRST = 3
"""Rollouts that fail, nothing having been recorded yet; or evaluations that fail in a row."""
LATER = 10
"""Rollouts in a row that bring nothing: that fail, are aborted, or of which nobody knows."""
_SHOWN = 3
"""Reasons in a message."""
_FAILED = ("failed", "quarantined")
_OVER = (*_FAILED, "aborted", "indeterminate")


class Setbacks:
    """Counts what failed in a row since a run folder was opened.

    Args:
        ledger: of the campaign.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._failed = 0
        """Rollouts, since the last that was recorded."""
        self._in_vain = 0
        """Rollouts that brought nothing, those included."""
        self._evaluations = 0
        """Of which every rollout failed, since the last other one."""
        self._reasons: deque[str] = deque(maxlen=_SHOWN)
        self._evaluation_reasons: list[str] = []

    def told(self, row: RolloutRow) -> None:
        """Take note of a rollout whose outcome is durable."""
        if row.state == "recorded":
            self._failed = self._in_vain = 0
            self._reasons.clear()
        elif row.state in _OVER:
            self._failed += row.state in _FAILED
            self._in_vain += 1
            self._reasons.append(f"{row.id}: {row.reason}")

    def evaluated(self, results: Sequence[Trajectory | Failure]) -> None:
        """Take note of an evaluation that is durable."""
        failures = [result for result in results if isinstance(result, Failure)]
        if len(failures) < len(results):
            self._evaluations = 0
        elif any(failure.kind in _FAILED for failure in failures):
            self._evaluations += 1
        self._evaluation_reasons = [failure.reason for failure in failures][-_SHOWN:]

    @property
    def too_many(self) -> bool:
        """Whether no further round is to be selected."""
        return self._rollouts_fail or self._evaluations >= FIRST

    @property
    def _rollouts_fail(self) -> bool:
        never = self._failed >= FIRST and not self._ledger.totals()[0]
        return never or self._in_vain >= LATER

    def verdict(self) -> str | None:
        """Return why a campaign that has ended has failed; None where it has not."""
        if self._rollouts_fail:
            what = f"{self._in_vain} rollouts in a row brought no data"
            return _say(what, self._reasons)
        if self._evaluations >= FIRST:
            what = f"every rollout of {self._evaluations} evaluations in a row failed"
            return _say(what, self._evaluation_reasons)
        over = [row for row in self._ledger.rows(RolloutRow) if row.state in _OVER]
        if over and not self._ledger.totals()[0]:
            reasons = [f"{row.id}: {row.reason}" for row in over[-_SHOWN:]]
            return _say(f"none of {len(over)} rollouts brought data", reasons, "raise `rounds`, ")
        returns = [
            value for row in self._ledger.rows(EvaluationRow) for value in json.loads(row.returns)
        ]
        if returns and all(value is None for value in returns):
            what = "every rollout of every evaluation failed"
            return _say(what, self._evaluation_reasons, "raise `rounds`, ")
        return None


def _say(what: str, reasons: Iterable[str], more: str = "") -> str:
    told = "".join(f"\n  {reason}" for reason in reasons)
    return f"{what}{', the last of them:' * bool(told)}{told}\nmend the cause, {more}then resume"
