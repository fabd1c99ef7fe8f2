"""What is said of rollouts: durable like an outcome, and taken back by a further row.

Nothing here needs the folder to itself: labels may be said while a campaign uses it.
"""

from collections.abc import Sequence

from robo_al.dataset.ledger import LabelRow, Ledger, RolloutRow, to_json
from robo_al.dataset.measured import checked_label
from robo_al.dataset.rows import standing
from robo_al.errors import UserError
from robo_al.types import Label


def label(ledger: Ledger, rollout: str, said: Label) -> LabelRow:
    """Make what somebody says of a rollout durable; the same again changes nothing.

    Whoever says otherwise later has both recorded, in this order.

    Returns:
        The label's row.

    Raises:
        UserError: there is no such rollout, or the label says nothing that can be recorded.
        StorageError: the disk is full or refuses.
    """
    said = checked_label(rollout, said)
    with ledger.transaction():
        if ledger.row(RolloutRow, rollout) is None:
            raise UserError(f"label: no rollout of this campaign has the id {rollout!r}")
        (row,) = add_labels(ledger, rollout, [said])
    return row


def add_labels(ledger: Ledger, rollout: str, labels: Sequence[Label]) -> list[LabelRow]:
    """Add labels inside a transaction; return their rows, also of those that are there."""
    rows = []
    for said in labels:
        value = to_json([said.value])[1:-1]  # null for a number that is not finite
        there = ledger.rows(LabelRow, rollout=rollout, name=said.name, by=said.by)
        found = standing(there)[-1:]
        if not found or found[0].value != value:
            found = [LabelRow(_next(ledger), rollout, said.name, value, said.by)]
            ledger.insert(*found)
        rows += found
    return rows


def take_back(ledger: Ledger, by: str, rollouts: Sequence[str]) -> LabelRow | None:
    """Take back what somebody said last; it stays in the ledger, and counts no more.

    Args:
        ledger: of the run.
        by: whose label it is.
        rollouts: of which one it is.

    Returns:
        The label that was taken back; None where there is none left.

    Raises:
        StorageError: the disk is full or refuses.
    """
    with ledger.transaction():
        own = [row for row in standing(ledger.rows(LabelRow, by=by)) if row.rollout in rollouts]
        if not own:
            return None
        last = own[-1]
        ledger.insert(
            LabelRow(_next(ledger), last.rollout, last.name, "null", by, takes_back=last.sequence)
        )
    return last


def _next(ledger: Ledger) -> int:
    last = ledger.last(LabelRow)
    return 1 if last is None else last.sequence + 1
