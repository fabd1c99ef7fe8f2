"""Rollouts of which nobody knows whether they ran to their end: shown to a person, who decides.

The robot's agent, or the campaign, died while they ran. Nothing here executes anything; a rollout
that is to run again gets a new id, and is executed when the campaign goes on. While a campaign uses
the folder, a decision is left for it: it takes the decision before it retrains the next time.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path

from robo_al.dataset.dataset import Dataset
from robo_al.dataset.episodes import fault
from robo_al.dataset.folders import LEDGER
from robo_al.dataset.ledger import DecisionRow, Ledger, RolloutRow, RoundRow
from robo_al.errors import IntegrityError, UserError
from robo_al.types import Outcome, Trajectory


def accept(dataset: Dataset, rollout: str) -> RolloutRow:
    """Take the part that was measured as a recorded rollout; models learn from it.

    Raises:
        UserError: it waits for no decision, or what was measured of it cannot be learned from.
        IntegrityError: its file is damaged.
    """
    row = _waiting(dataset.ledger, rollout)
    _need_measured(row)
    part: Trajectory = dataset.trajectory(row)
    channels = len(json.loads(row.context)["observation"])
    found = fault(part, channels, part.actions.shape[1], row.horizon)
    if found is not None:
        raise UserError(
            f"inbox: {rollout} cannot be learned from: {found}; discard it, or run it again"
        )
    outcome = Outcome(row.id, part, row.robot_seconds or 0.0)
    return dataset.record(row, outcome, None, row.wall_seconds)


def discard(dataset: Dataset, rollout: str) -> RolloutRow:
    """Leave it out for good; what was measured of it is kept and never learned from.

    Raises:
        UserError: it waits for no decision.
    """
    row = _waiting(dataset.ledger, rollout)
    with dataset.ledger.transaction():
        dataset.ledger.update(
            RolloutRow, row.id, state="aborted", reason=f"{row.reason}; discarded"
        )
    return _row(dataset, row.id)


def again(dataset: Dataset, rollout: str) -> RolloutRow:
    """Let the same candidate run again under a new id, when the campaign goes on.

    Returns:
        The new row, `selected`, in the campaign's last round.

    Raises:
        UserError: it waits for no decision.
    """
    row = _waiting(dataset.ledger, rollout)
    ledger = dataset.ledger
    last = ledger.last(RoundRow)
    assert last is not None
    index = 1 + max((r.index for r in ledger.rows(RolloutRow, round=last.round)), default=-1)
    fresh = {field.name: getattr(row, field.name) for field in fields(RolloutRow)}
    fresh |= dict.fromkeys(_OF_EXECUTION)
    fresh |= {"id": f"r{last.round:04d}-{index:02d}", "round": last.round, "index": index}
    made = RolloutRow(**(fresh | {"state": "selected"}))
    with ledger.transaction():
        reason = f"{row.reason}; run again as {made.id}"
        ledger.update(RolloutRow, row.id, state="aborted", reason=reason)
        ledger.insert(made)
        ledger.update(RoundRow, last.round, record=None)  # the round is not complete any more
    return made


_OF_EXECUTION = (
    "realised_information",
    "sha256",
    "steps",
    "total_reward",
    "reason",
    "robot_seconds",
    "wall_seconds",
    "opening",
    "sequence",
    "details",
    "signals",
)
"""Columns that say how a rollout went."""


CHOICES: Mapping[str, Callable[[Dataset, str], RolloutRow]] = {
    "accept": accept,
    "discard": discard,
    "again": again,
}
"""What can be decided, and how it is done."""


def leave(folder: Path, choice: str, rollout: str) -> None:
    """Leave a decision for the campaign that uses a folder.

    Args:
        folder: of the run.
        choice: one of `CHOICES`.
        rollout: its id.

    Raises:
        UserError: it waits for no decision, one was left already, or there is nothing to accept.
        RunFolderError: no run, or another version's.
        StorageError: the disk is full or refuses.
    """
    with Ledger.open(folder / LEDGER) as ledger, ledger.transaction():
        row = _waiting(ledger, rollout)
        if choice == "accept":
            _need_measured(row)
        left = ledger.rows(DecisionRow, rollout=row.id, taken=None)
        if left:
            raise UserError(
                f"inbox: {rollout} is decided: {left[0].choice}; the campaign that uses the folder "
                "has not taken note of it yet"
            )
        last = ledger.last(DecisionRow)
        ledger.insert(DecisionRow(1 if last is None else last.number + 1, row.id, choice))


def take(dataset: Dataset, opening: bool) -> list[DecisionRow]:
    """Do what was decided while a campaign used the folder; return the decisions so taken.

    What is to run again has to wait for an opening: no round that goes on is made longer.

    Args:
        dataset: of the campaign.
        opening: whether it is just being opened.
    """
    taken = []
    for decision in dataset.ledger.rows(DecisionRow, taken=None):
        if decision.choice == "again" and not opening:
            continue
        refused = None
        try:
            CHOICES[decision.choice](dataset, decision.rollout)
        except (UserError, IntegrityError) as error:
            refused = str(error)
        changes = {"taken": dataset.opening, "refused": refused}
        with dataset.ledger.transaction():
            dataset.ledger.update(DecisionRow, decision.number, **changes)
        taken.append(replace(decision, taken=dataset.opening, refused=refused))
    return taken


def _need_measured(row: RolloutRow) -> None:
    if not row.sha256 or not row.steps:
        raise UserError(f"inbox: nothing of {row.id} was measured; discard it, or run it again")


def _waiting(ledger: Ledger, rollout: str) -> RolloutRow:
    row = ledger.row(RolloutRow, rollout)
    if row is None or row.state != "indeterminate":
        rows = ledger.rows(RolloutRow, state="indeterminate")
        ids = ", ".join(row.id for row in rows) or "none"
        found = "unknown" if row is None else row.state
        raise UserError(f"inbox: rollout {rollout} is {found}; waiting for a decision: {ids}")
    return row


def _row(dataset: Dataset, rollout: str) -> RolloutRow:
    row = dataset.ledger.row(RolloutRow, rollout)
    assert row is not None
    return row
