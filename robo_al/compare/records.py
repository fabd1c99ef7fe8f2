"""What a comparison takes from each of its runs, read from that run's folder alone."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robo_al.compare.plan import rounds_of
from robo_al.dataset.files import is_there, storage, write_atomically
from robo_al.dataset.folders import CONFIG
from robo_al.dataset.recordings.recording import digest
from robo_al.dataset.rows import EVALUATION, EvaluationRow, RolloutRow
from robo_al.dataset.view import RunView
from robo_al.errors import RoboALError, RunFolderError

FAILED = "failed.json"
"""In a run folder: why the run gave no result."""
UNFINISHED = "not finished"


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a run's policy."""

    rollouts: int
    """Recorded until then."""
    transitions: int
    mean_return: float | None
    """None where one of its rollouts failed."""
    robot_seconds: float | None = None
    """That the robot took for what was recorded until then; None where that is not known."""


@dataclass(frozen=True)
class RunRecord:
    """What a run has come to."""

    task: str
    strategy: str
    seed: int
    evaluations: tuple[Evaluation, ...]
    solved_at: Evaluation | None
    """The evaluation at which the task was solved; see `robo_al.dataset.rows.solved_at`."""
    failed: str | None
    """Why the run gave no result; None where it is complete."""
    cpu_seconds: float
    """Of the processor, for everything but evaluation."""
    information: tuple[tuple[float, float], ...]
    """Predicted and realised information [nat] of each rollout that a model chose."""
    first_rollouts: str | None = None
    """SHA-256 of what was recorded before any model chose; None of earlier records."""
    executed: tuple[int, float] | None = None
    """Rollouts and robot-seconds that the oracle executed in all, evaluations included; None where
    an earlier robo-al did not note them."""

    made_with: tuple[str, ...] = ()
    """Versions, commit and hardware, as its rollouts have noted them: one text, or more where the
    run went on with others."""

    final_returns: tuple[float, ...] = ()
    """What each start, or held-out rollout, of the last evaluation gave, if none of it failed."""

    def to_json(self) -> dict[str, Any]:
        """Return it as compact plain data."""
        return {
            "task": self.task,
            "strategy": self.strategy,
            "seed": self.seed,
            "evaluations": [_row(evaluation) for evaluation in self.evaluations],
            "solved_at": None if self.solved_at is None else _row(self.solved_at),
            "failed": self.failed,
            "cpu_seconds": round(self.cpu_seconds, 3),
            "information": [[round(value, 4) for value in pair] for pair in self.information],
            "first_rollouts": self.first_rollouts,
            "executed": None if self.executed is None else list(self.executed),
            "made_with": list(self.made_with),
            "final_returns": [round(value, 6) for value in self.final_returns],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RunRecord":
        """Return what `to_json` made plain data of."""
        solved, executed = data["solved_at"], data.get("executed")
        return cls(
            task=data["task"],
            strategy=data["strategy"],
            seed=data["seed"],
            evaluations=tuple(Evaluation(*row) for row in data["evaluations"]),
            solved_at=None if solved is None else Evaluation(*solved),
            failed=data["failed"],
            cpu_seconds=data["cpu_seconds"],
            information=tuple((predicted, realised) for predicted, realised in data["information"]),
            first_rollouts=data.get("first_rollouts"),
            executed=None if executed is None else (executed[0], executed[1]),
            made_with=tuple(data.get("made_with", ())),
            final_returns=tuple(data.get("final_returns", ())),
        )


def read_record(
    folder: Path, task: str, strategy: str, seed: int, budget: int | None = None
) -> RunRecord:
    """Return what a run has come to; it may be running still.

    Args:
        folder: the run's.
        task: its name in the comparison.
        strategy: its name in the comparison.
        seed: of the run.
        budget: rollouts that it is to have; None: as many as its configuration says.
    """
    nothing = RunRecord(task, strategy, seed, (), None, None, 0.0, ())
    try:
        nothing = replace(nothing, failed=read_failure(folder))
        if not is_there(folder / CONFIG):  # not begun, or failed before it began
            return replace(nothing, failed=nothing.failed or UNFINISHED)
        run = RunView(folder)
    except RoboALError as error:  # one damaged run must not spoil the others
        return replace(nothing, failed=str(error))
    config, evaluations, solved = run.config, run.evaluation_rows, run.solved_at
    complete, executed = len(run.records), run.executed()
    rounds = config["rounds"] if budget is None else rounds_of(budget, config)
    ended = complete >= rounds or (config["stop_when_solved"] and solved is not None)
    failed = nothing.failed
    if failed is None and not (ended and complete == len(run.round_rows)):
        failed = UNFINISHED
    if failed is None and not evaluations:
        failed = "never evaluated: no model could be fitted"
    return replace(
        nothing,
        evaluations=tuple(_evaluation(row, run) for row in evaluations),
        solved_at=None if solved is None else _evaluation(solved, run),
        failed=failed,
        cpu_seconds=run.cpu_seconds,
        information=tuple(pair for row in run.rollout_rows for pair in _information(row)),
        first_rollouts=_first_rollouts(run),
        executed=None if executed is None else (executed.rollouts, executed.robot_seconds),
        made_with=tuple(dict.fromkeys(row.versions for row in run.rollout_rows)),
        final_returns=_final_returns(evaluations),
    )


def read_failure(folder: Path) -> str | None:
    """Return why a run gave no result, if that was written down.

    Raises:
        RunFolderError: that cannot be read.
    """
    try:
        return str(json.loads((folder / FAILED).read_text(encoding="utf-8"))["reason"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{folder / FAILED}: cannot be read: {error}") from error


def write_failure(folder: Path, reason: str) -> None:
    """Write down why a run gave no result.

    Raises:
        StorageError: the disk is full or refuses.
    """
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / FAILED, json.dumps({"reason": reason}).encode())


def _row(evaluation: Evaluation) -> list[Any]:
    return list(dataclasses.astuple(evaluation))


def _evaluation(row: EvaluationRow, run: RunView) -> Evaluation:
    executed = run.executed(row.round)
    seconds = None if executed is None else executed.training_seconds
    return Evaluation(row.rollouts, row.transitions, row.mean_return, seconds)


def _final_returns(evaluations: Sequence[EvaluationRow]) -> tuple[float, ...]:
    """Return what the last evaluation that gave a mean gave of each start."""
    whole = [row for row in evaluations if row.mean_return is not None]
    return tuple(json.loads(whole[-1].returns)) if whole else ()


def _first_rollouts(run: RunView) -> str | None:
    """Return the SHA-256 of what was recorded before any model chose, if it is all there."""
    first = [row for row in run.rollout_rows if row.round == 1 and row.strategy != EVALUATION]
    try:
        digests = [digest(run.episode(row.id)) for row in first if row.state == "recorded"]
    except RoboALError:  # damaged: it is told where it is learned from
        return None
    return hashlib.sha256("".join(digests).encode()).hexdigest() if digests else None


def _information(row: RolloutRow) -> list[tuple[float, float]]:
    """Return the predicted and realised information of a rollout, if both are known."""
    predicted, realised = row.predicted_information, row.realised_information
    if row.state != "recorded" or predicted is None or realised is None:
        return []
    finite = math.isfinite(predicted) and math.isfinite(realised)
    return [(predicted, realised)] if finite else []
