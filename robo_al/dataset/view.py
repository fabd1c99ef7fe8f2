"""The read side of a run: everything that a run folder says, also while its campaign runs."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_al.config import plain_yaml
from robo_al.dataset import frames
from robo_al.dataset.clock import ACTIVITIES
from robo_al.dataset.event_log import Happened, read_events
from robo_al.dataset.events import Decided, Evaluated, RolloutDone, RoundDone
from robo_al.dataset.films import pictures_of
from robo_al.dataset.folders import LEDGER, read_config_text
from robo_al.dataset.ledger import Ledger
from robo_al.dataset.measured import parsed_details
from robo_al.dataset.rows import (
    DecisionRow,
    EvaluationRow,
    Executed,
    FitRow,
    LabelRow,
    RolloutRow,
    RolloutState,
    RoundRow,
    Totals,
    solved_at,
    standing,
)
from robo_al.dataset.stored import read_episode, read_evaluation
from robo_al.encoding.film import Pictures
from robo_al.errors import UserError
from robo_al.types import Context, Scalar, Trajectory

if TYPE_CHECKING:
    import pandas as pd


class RunView:
    """What a run says at one moment: its ledger is read at once, and nothing is locked.

    A campaign that runs goes on meanwhile; a new view sees what it has done since then.

    Args:
        folder: of a run.

    Raises:
        RunFolderError: no run, or another version's.
        StorageError: it cannot be read now.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.config_text = read_config_text(self.folder)
        self.config: Mapping[str, Any] = plain_yaml.parse(self.config_text)
        with Ledger.open(self.folder / LEDGER, read_only=True) as ledger, ledger.snapshot():
            self.rollout_rows: Sequence[RolloutRow] = ledger.rows(RolloutRow)
            self.round_rows: Sequence[RoundRow] = ledger.rows(RoundRow)
            self.fit_rows: Sequence[FitRow] = ledger.rows(FitRow)
            self.evaluation_rows: Sequence[EvaluationRow] = ledger.rows(EvaluationRow)
            self.label_rows: Sequence[LabelRow] = ledger.rows(LabelRow)
            self.decision_rows: Sequence[DecisionRow] = ledger.rows(DecisionRow)
            self.totals: Totals = ledger.totals()
            self.states: Mapping[RolloutState, int] = ledger.states()

    def __repr__(self) -> str:
        return (
            f"<RunView of {self.folder}: {self.config['env']['name']}, "
            f"{len(self.records)} of {self.config['rounds']} rounds, {self.totals.rollouts} "
            f"rollouts and {self.totals.transitions} transitions recorded, "
            f"{len(self.under_way)} under way, {len(self.evaluation_rows)} evaluations>"
        )

    # ------------------------------------------------------------ what it has come to

    @cached_property
    def records(self) -> list[Mapping[str, Any]]:
        """The record of each complete round, as in metrics.jsonl."""
        return [json.loads(row.record) for row in self.round_rows if row.record]

    @property
    def recorded(self) -> list[RolloutRow]:
        """The rollouts that are learned from."""
        return [row for row in self.rollout_rows if row.state == "recorded"]

    @property
    def under_way(self) -> list[RolloutRow]:
        """The rollouts that are selected or dispatched."""
        return [row for row in self.rollout_rows if row.state in ("selected", "dispatched")]

    @property
    def waiting(self) -> list[RolloutRow]:
        """The rollouts that wait for a person's decision."""
        return [row for row in self.rollout_rows if row.state == "indeterminate"]

    @property
    def decisions(self) -> dict[str, DecisionRow]:
        """What was last decided about a rollout while a campaign ran, by the rollout's id."""
        return {row.rollout: row for row in self.decision_rows}

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock time for each activity, until the last complete round."""
        spent = self.records[-1].get("seconds", {}) if self.records else {}
        return dict.fromkeys(ACTIVITIES, 0.0) | dict(spent)

    @property
    def cpu_seconds(self) -> float:
        """Of processors, for everything but evaluation, until the last complete round."""
        return float(self.records[-1].get("cpu_seconds", 0.0)) if self.records else 0.0

    @property
    def solved_at(self) -> EvaluationRow | None:
        """The evaluation at which the task was solved; see `robo_al.dataset.rows.solved_at`."""
        return solved_at(self.evaluation_rows, self.config["threshold"])

    def executed(self, until: int | None = None) -> Executed | None:
        """Return what the oracle executed in all, evaluations included.

        What an evaluation had executed before it was interrupted, and was done again, is not kept.

        Args:
            until: the last round that counts; by default every one does.

        Returns:
            None where an earlier robo-al made an evaluation and did not note what it took.
        """
        last = math.inf if until is None else until
        rows = [
            row
            for row in self.rollout_rows
            if row.round <= last and (row.state == "recorded" or row.robot_seconds)
        ]
        evaluations = [row for row in self.evaluation_rows if row.round <= last]
        if any(row.executed is None for row in evaluations):
            return None
        return Executed(
            len(rows),
            math.fsum(row.robot_seconds or 0.0 for row in rows),
            sum(row.executed or 0 for row in evaluations),
            math.fsum(row.robot_seconds or 0.0 for row in evaluations),
        )

    @cached_property
    def events(self) -> list[Happened]:
        """What happened, in the order of happening; see `robo_al.dataset.events`.

        What is in the ledger is as it is there now. A run of an earlier version kept no events.
        """
        found: Mapping[type, Mapping[Any, Any]] = {
            RolloutDone: self._by_id,
            Evaluated: {row.round: row for row in self.evaluation_rows},
            Decided: {row.number: row for row in self.decision_rows},
            RoundDone: {record["round"]: record for record in self.records},
        }
        return list(read_events(self.folder, lambda kind, key: found[kind].get(key)))

    @cached_property
    def _by_id(self) -> dict[str, RolloutRow]:
        return {row.id: row for row in self.rollout_rows}

    # ------------------------------------------------------------ what was measured

    @cached_property
    def details(self) -> dict[str, Mapping[str, Scalar | None]]:
        """What was measured of each rollout as a whole: by its id, and by name."""
        return {row.id: parsed_details(row.details) for row in self.rollout_rows}

    @cached_property
    def signals(self) -> dict[str, Mapping[str, Mapping[str, float]]]:
        """The `min`, `mean` and `max` of each rollout's signals: by its id, and by name."""
        return {row.id: json.loads(row.signals or "{}") for row in self.rollout_rows}

    @cached_property
    def labels(self) -> dict[str, Mapping[str, Scalar | None]]:
        """What was last said of each rollout, and not taken back: by its id, and by its name."""
        said: dict[str, dict[str, Scalar | None]] = {row.id: {} for row in self.rollout_rows}
        for row in standing(self.label_rows):
            said[row.rollout][row.name] = json.loads(row.value)
        return {**said}

    def episode(self, rollout: str) -> Trajectory:
        """Return what was recorded of a rollout, or the part of it before it failed.

        Raises:
            UserError: there is no such rollout, or nothing of it was measured.
            IntegrityError: its file is missing, truncated or altered.
            StorageError: it cannot be read now.
        """
        row = self._by_id.get(rollout)
        if row is None:
            raise UserError(f"{self.folder}: no rollout has the id {rollout!r}")
        if row.sha256 is None:
            raise UserError(f"{self.folder}: nothing of {rollout} was measured; it is {row.state}")
        return read_episode(self.folder, row.id, row.sha256)

    def evaluation(self, row: EvaluationRow) -> list[tuple[Context, Trajectory, str | None]]:
        """Return start, trajectory and reason of failure for each rollout of an evaluation.

        Raises:
            IntegrityError: its file is missing, truncated or altered.
            StorageError: it cannot be read now.
        """
        return read_evaluation(self.folder, row)

    def pictures(self, rollout: str) -> dict[str, Pictures]:
        """Return what each camera saw in a rollout, by its name; empty where none was kept.

        Pictures are decoded when they are asked for: one by one, or any by its index.

        Raises:
            UserError: there is no such rollout, or nothing of it was measured.
            IntegrityError: a file is missing, truncated or altered.
            StorageError: one cannot be read now.
        """
        return pictures_of(rollout, self.episode(rollout))

    # ------------------------------------------------------------ tables

    def rollouts(self) -> "pd.DataFrame":
        """Return a table of all rollouts: the ledger's columns, and one for each further measure.

        A detail has its own name, a signal has `name[min]`, `name[mean]` and `name[max]`, and a
        label has `label[name]`. The index is the rollout's id.
        """
        return frames.rollouts(self.rollout_rows, self.details, self.signals, self.labels)

    def transitions(self) -> "pd.DataFrame":
        """Return a table of all recorded steps, in the order of rounds and batches.

        Vectors are spread: `observation[0]`. A signal with a row for each observation is that of
        the observation in which the action was taken.

        Raises:
            IntegrityError: a file is missing, truncated or altered.
            StorageError: one cannot be read now.
        """
        return frames.transitions({row.id: self.episode(row.id) for row in self.recorded})

    def evaluations(self) -> "pd.DataFrame":
        """Return a table of the rollouts of all evaluations, with what was measured of each."""
        return frames.evaluations(self.evaluation_rows)
