"""A run folder: the ledger, one file for each episode, and the trajectories of evaluations."""

import hashlib
import math
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from robo_al.dataset.candidates import context_json
from robo_al.dataset.episodes import encode
from robo_al.dataset.files import (
    append,
    is_there,
    read_verified,
    storage,
    sync_folder,
    write_atomically,
)
from robo_al.dataset.films import keep
from robo_al.dataset.folders import CONFIG, LEDGER, RUN_FOLDERS, need_new, need_run
from robo_al.dataset.ledger import (
    ConfigurationRow,
    EvaluationRow,
    FitRow,
    Ledger,
    RoundRow,
    to_json,
)
from robo_al.dataset.lock import lock_folder
from robo_al.dataset.rollouts import Rollouts
from robo_al.dataset.stored import evaluation_id, evaluation_path, read_evaluation
from robo_al.errors import StorageError
from robo_al.types import Context, Failure, Outcome, Trajectory

METRICS = "metrics.jsonl"
_IDENTITY = "identity"


class Dataset(Rollouts):
    """What a campaign has recorded; locked for this process until it is closed.

    Args:
        folder: of a run that `create` made.

    Raises:
        RunFolderError: no run, another version's, or in use by another process.
        StorageError: a part of it is away, or cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        need_run(folder)
        Ledger.open(folder / LEDGER, read_only=True).close()
        self._lock = lock_folder(folder)
        try:
            ledger = Ledger.open(folder / LEDGER)
            try:
                _make_folders(folder, ledger)
                super().__init__(folder, ledger)
                with storage(folder):
                    for leftover in folder.rglob(".*.tmp"):
                        leftover.unlink()
            except BaseException:
                ledger.close()
                raise
        except BaseException:
            self._lock.close()
            raise

    @classmethod
    def create(cls, folder: Path, config_text: str) -> "Dataset":
        """Make a run folder and open it.

        Raises:
            RunFolderError: the folder is not empty; nothing was written.
            StorageError: the disk is full or refuses.
        """
        need_new(folder)
        with storage(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(folder):
            need_new(folder)  # again: another process may have been faster
            for name in (LEDGER, f"{LEDGER}-journal"):
                (folder / name).unlink(missing_ok=True)
            with storage(folder):
                for name in RUN_FOLDERS:
                    (folder / name).mkdir(exist_ok=True)
                sync_folder(folder.absolute().parent)
            with Ledger.create(folder / LEDGER) as ledger, ledger.transaction():
                ledger.insert(_configuration(1, config_text, None))
            write_atomically(folder / CONFIG, config_text.encode())
        return cls(folder)

    def close(self) -> None:
        """Close the ledger and let the folder go; may be called twice."""
        self.ledger.close()
        self._lock.close()

    @property
    def identity(self) -> str:
        """What tells this campaign's rollouts from any other's at a robot: drawn once, and kept."""
        path = self.folder / _IDENTITY
        if not is_there(path):
            write_atomically(path, uuid.uuid4().hex.encode())
        try:
            return path.read_text(encoding="ascii")
        except OSError as error:
            raise StorageError(f"{path}: cannot be read now: {error.strerror}") from error

    def note_configuration(self, text: str) -> None:
        """Note, where it is not noted yet, that the campaign goes on with this configuration."""
        last = self.ledger.last(ConfigurationRow)
        if last is None or last.text != text:
            with self.ledger.transaction():
                number = 1 if last is None else last.number + 1
                self.ledger.insert(_configuration(number, text, self.opening))

    # ------------------------------------------------------------ evaluations and weights

    def record_evaluation(
        self,
        round_index: int,
        contexts: Sequence[Context],
        results: Sequence[Trajectory | Failure],
        recorded: tuple[int, int],
        scores: Sequence[float | None] | None = None,
        outcomes: Sequence[Outcome] = (),
        decision: tuple[str | None, float | None] = (None, None),
    ) -> EvaluationRow:
        """Make an evaluation durable.

        Args:
            round_index: after which it was made.
            contexts: its starts.
            results: of each; of a failed one, what there is of it is kept.
            recorded: rollouts and transitions, when it began.
            scores: recorded in place of the results' returns; None for one that failed.
            outcomes: of the rollouts that were executed for it and are recorded nowhere else.
            decision: verdict and p value, where a test decided.
        """
        empty = np.zeros((0, 0))
        nothing = Trajectory(empty, empty, empty, np.zeros(0))
        metadata = {
            "contexts": [context_json(context) for context in contexts],
            "failures": [r.reason if isinstance(r, Failure) else None for r in results],
        }
        returns = scores
        if returns is None:
            returns = [None if isinstance(r, Failure) else r.total_reward for r in results]
        good = [value for value in returns if value is not None]
        with np.errstate(over="ignore"):
            mean = float(np.mean(good)) if len(good) == len(returns) else None
        results = [
            keep(self.folder, evaluation_id(round_index, start), result)
            for start, result in enumerate(results)
        ]
        kept = [(r.partial or nothing) if isinstance(r, Failure) else r for r in results]
        sha256 = write_atomically(evaluation_path(self.folder, round_index), encode(kept, metadata))
        fit = self.ledger.last(FitRow)
        details = [outcome.details for outcome in outcomes]
        row = EvaluationRow(
            round_index,
            *recorded,
            mean,
            to_json(returns),
            sha256,
            None if fit is None else fit.data_hash,
            to_json(details) if any(details) else None,
            len(outcomes),
            math.fsum(outcome.robot_seconds for outcome in outcomes),
            *decision,
        )
        with self.ledger.transaction():
            self.ledger.insert(row)
        return row

    def evaluation(self, row: EvaluationRow) -> list[tuple[Context, Trajectory, str | None]]:
        """Return start, trajectory and reason of failure for each rollout of an evaluation.

        Raises:
            IntegrityError: its file is missing, truncated or altered.
        """
        return read_evaluation(self.folder, row)

    def record_fit(self, row: FitRow, weights: bytes | None) -> FitRow:
        """Make a retraining durable; keep the newest two files of weights, and those in use.

        Returns:
            The row, with the name and hash of the file of weights.
        """
        if weights is not None:
            values = dict(vars(row))
            again = len(self.ledger.rows(FitRow, round=row.round))
            suffix = f"-{again + 1}" if again else ""
            name = f"round-{row.round:04d}{suffix}.safetensors"
            sha256 = write_atomically(self.folder / "models" / name, weights)
            row = FitRow(**(values | {"weights": name, "model_hash": sha256}))
        with self.ledger.transaction():
            self.ledger.insert(row)
        keep = {fit.weights for fit in self.ledger.after(FitRow, row.number - 2)}
        # chosen by a fit, and perhaps controlled by it
        for used in {rollout.model_hash for rollout in self.ledger.under_way()}:
            keep |= {fit.weights for fit in self.ledger.rows(FitRow, model_hash=used)}
        for path in (self.folder / "models").glob("*.safetensors"):
            if path.name not in keep:
                path.unlink()
        return row

    def weights(self, row: FitRow) -> bytes:
        """Return the file of weights of a fit.

        Raises:
            IntegrityError: it is missing, truncated or altered.
        """
        path = self.folder / "models" / str(row.weights)
        return read_verified(path, row.model_hash, f"weights of fit {row.number}")

    def add_metrics(self, record: str) -> None:
        """Add the record of a round to metrics.jsonl, which is written anew at each opening.

        Raises:
            StorageError: the disk is full or refuses; the file is as it was.
        """
        append(self.folder / METRICS, f"{record}\n".encode())

    def write_metrics(self) -> None:
        """Write metrics.jsonl: the records of all complete rounds, which the ledger has."""
        records = [row.record for row in self.ledger.rows(RoundRow) if row.record]
        lines = "".join(f"{record}\n" for record in records)
        write_atomically(self.folder / METRICS, lines.encode())


def _make_folders(folder: Path, ledger: Ledger) -> None:
    """Make the folders again that are not there because they were empty when copied.

    Raises:
        StorageError: one is not there, and files were written into it.
    """
    for name, written in zip(RUN_FOLDERS, ledger.files(), strict=True):
        path = folder / name
        if is_there(path):
            continue
        if written:
            choice = ", or make it to go on without them" if name == "models" else ""
            raise StorageError(
                f"{path}: is not there, and {written} files were written into it; mount its "
                f"disk or put it back, then resume{choice}"
            )
        with storage(path):
            path.mkdir()


def _configuration(number: int, text: str, opening: int | None) -> ConfigurationRow:
    return ConfigurationRow(number, text, hashlib.sha256(text.encode()).hexdigest(), opening)
