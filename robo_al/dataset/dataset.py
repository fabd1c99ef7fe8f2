"""A run folder: the ledger, one file for each episode, and the trajectories of evaluations."""

import bisect
import errno
import hashlib
import os
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from robo_al.dataset.candidates import context_from, context_json
from robo_al.dataset.episodes import decode, encode
from robo_al.dataset.files import is_there, read_verified, storage, sync_folder, write_atomically
from robo_al.dataset.folders import CONFIG, LEDGER, RUN_FOLDERS, need_new, need_run
from robo_al.dataset.ledger import (
    ConfigurationRow,
    EvaluationRow,
    FitRow,
    Ledger,
    RolloutRow,
    RoundRow,
    to_json,
)
from robo_al.dataset.lock import lock_folder
from robo_al.errors import IntegrityError, StorageError
from robo_al.types import Context, Failure, Trajectory, Transitions

METRICS = "metrics.jsonl"
NOTICES = "notices.log"
_IDENTITY = "identity"


class Dataset:
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
        self.folder = folder
        self._lock = lock_folder(folder)
        try:
            self.ledger = Ledger.open(folder / LEDGER)
            self._make_folders()
            self.epoch = self.ledger.new_epoch()
            with storage(folder):
                for leftover in folder.rglob(".*.tmp"):
                    leftover.unlink()
        except BaseException:
            if hasattr(self, "ledger"):
                self.ledger.close()
            self._lock.close()
            raise
        self._trajectories: dict[str, Trajectory] = {}
        self._recorded = self.ledger.episodes()
        """What is recorded, kept so that no round has to read all of it again."""
        self._all_read = False
        encode([], {})  # pyarrow takes a second the first time: not while a robot waits

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

    def _make_folders(self) -> None:
        """Make the folders again that are not there because they were empty when copied.

        Raises:
            StorageError: one is not there, and files were written into it.
        """
        for name, written in zip(RUN_FOLDERS, self.ledger.files(), strict=True):
            path = self.folder / name
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

    def __len__(self) -> int:
        """Number of recorded rollouts."""
        return len(self._recorded)

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
                self.ledger.insert(_configuration(number, text, self.epoch))

    # ------------------------------------------------------------ episodes

    def record(
        self,
        row: RolloutRow,
        result: Trajectory | Failure,
        information: float | None,
        robot_seconds: float,
        wall_seconds: float | None,
    ) -> RolloutRow:
        """Make an outcome durable: first the episode's file, then the row.

        Returns:
            The row as it is now.

        Raises:
            StorageError: the disk is full or refuses; the rollout is as it was before.
        """
        data, trajectory = episode_file(row.id, result)
        with np.errstate(all="ignore"):  # of what is not to be trusted; the ledger has null then
            total_reward = None if trajectory is None else trajectory.total_reward
        sha256 = write_atomically(self._episode(row.id), data) if data is not None else None
        with self.ledger.transaction():
            self.ledger.update(
                RolloutRow,
                row.id,
                state=result.kind if isinstance(result, Failure) else "recorded",
                reason=result.reason if isinstance(result, Failure) else None,
                sha256=sha256,
                steps=None if trajectory is None else trajectory.steps,
                total_reward=total_reward,
                realised_information=information,
                robot_seconds=robot_seconds,
                wall_seconds=wall_seconds,
                epoch=self.epoch,
                sequence=self.ledger.next_sequence(),
            )
        recorded = self.ledger.row(RolloutRow, row.id)
        assert recorded is not None
        if isinstance(result, Trajectory) and sha256 is not None:
            self._trajectories[row.id] = result
            bisect.insort(self._recorded, (row.round, row.index, row.id, sha256))
        return recorded

    def trajectory(self, row: RolloutRow) -> Trajectory:
        """Return what was recorded of a rollout, or the part of it before it failed.

        Raises:
            IntegrityError: its file is missing, truncated or altered, or there never was one.
        """
        return self._trajectory(row.id, row.sha256)

    def _trajectory(self, rollout: str, sha256: str | None) -> Trajectory:
        if rollout not in self._trajectories:
            data = read_verified(self._episode(rollout), sha256, f"rollout {rollout}")
            self._trajectories[rollout] = decode(data)[0][0]
        return self._trajectories[rollout]

    def recorded(self) -> list[RolloutRow]:
        """Return the rows of what models learn from, in the order of rounds and batches."""
        return self.ledger.rows(RolloutRow, state="recorded")

    def quarantine_damaged(self) -> list[RolloutRow]:
        """Read every recorded episode not read before; move damaged ones to `quarantined`.

        Returns:
            The rows so moved.

        Raises:
            StorageError: an episode cannot be read now, or not one of the files is there.
        """
        if self._all_read:  # what was recorded since then is known
            return []
        if self._recorded and not any(
            is_there(self._episode(name)) for *_, name, _ in self._recorded
        ):
            raise StorageError(
                f"{self.folder / 'episodes'}: none of the {len(self._recorded)} recorded episodes "
                "is there; mount its disk or put them back, then resume"
            )
        damaged = []
        for episode in self._recorded.copy():
            _, _, rollout, sha256 = episode
            try:
                self._trajectory(rollout, sha256)
            except IntegrityError as error:
                damaged.append(self._move(rollout, "quarantined", str(error), 1))
                self._recorded.remove(episode)
        self._all_read = True
        return damaged

    def take_back(self) -> list[RolloutRow]:
        """Take back what was quarantined for its file where the file is what was written again.

        Returns:
            The rows so moved, which are `recorded` now.
        """
        back = []
        for row in self.ledger.rows(RolloutRow, damaged=1):
            try:
                self.trajectory(row)
            except (IntegrityError, StorageError):
                continue
            assert row.sha256 is not None
            back.append(self._move(row.id, "recorded", None, None))
            bisect.insort(self._recorded, (row.round, row.index, row.id, row.sha256))
        return back

    def _move(
        self, rollout: str, state: str, reason: str | None, damaged: int | None
    ) -> RolloutRow:
        with self.ledger.transaction():
            self.ledger.update(RolloutRow, rollout, state=state, reason=reason, damaged=damaged)
        moved = self.ledger.row(RolloutRow, rollout)
        assert moved is not None
        return moved

    def data_hash(self) -> str | None:
        """Return the SHA-256 of the hashes of what models learn from; None where there is none."""
        hashes = [sha256 for *_, sha256 in self._recorded]
        return hashlib.sha256("".join(hashes).encode()).hexdigest() if hashes else None

    def transitions(self) -> Transitions:
        """Return all recorded steps, B of them, in the order of rounds and batches.

        The order of completion makes no difference to what a model learns.

        Raises:
            IntegrityError: an episode is damaged; see `quarantine_damaged`.
        """
        trajectories = [self._trajectory(name, sha256) for _, _, name, sha256 in self._recorded]
        assert trajectories, "no rollouts are recorded"
        lengths = [trajectory.steps for trajectory in trajectories]
        return Transitions(
            np.concatenate([t.observations[:-1] for t in trajectories]),
            np.concatenate([t.actions for t in trajectories]),
            np.concatenate([t.observations[1:] for t in trajectories]),
            np.concatenate([t.rewards for t in trajectories]),
            np.repeat(np.arange(len(trajectories)), lengths),
            np.concatenate([t.ends for t in trajectories]),
        )

    # ------------------------------------------------------------ evaluations and weights

    def record_evaluation(
        self,
        round_index: int,
        contexts: Sequence[Context],
        results: Sequence[Trajectory | Failure],
        recorded: tuple[int, int],
        scores: Sequence[float | None] | None = None,
    ) -> EvaluationRow:
        """Make an evaluation durable.

        Args:
            round_index: after which it was made.
            contexts: its starts.
            results: of each; of a failed one, what there is of it is kept.
            recorded: rollouts and transitions, when it began.
            scores: recorded in place of the results' returns; None for one that failed.
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
        kept = [(r.partial or nothing) if isinstance(r, Failure) else r for r in results]
        sha256 = write_atomically(self._evaluation(round_index), encode(kept, metadata))
        fit = self.ledger.last(FitRow)
        row = EvaluationRow(
            round_index,
            *recorded,
            mean,
            to_json(returns),
            sha256,
            None if fit is None else fit.data_hash,
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

    def add_notice(self, text: str) -> None:
        """Add to notices.log what the oracle waits for: for people, nothing reads it."""
        path = self.folder / NOTICES
        with storage(path), path.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}\n")

    def add_metrics(self, record: str) -> None:
        """Add the record of a round to metrics.jsonl, which is written anew at each opening.

        Raises:
            StorageError: the disk is full or refuses; the file is as it was.
        """
        path, line = self.folder / METRICS, f"{record}\n".encode()
        with storage(path), path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                file.truncate(before)
                raise

    def write_metrics(self) -> None:
        """Write metrics.jsonl: the records of all complete rounds, which the ledger has."""
        records = [row.record for row in self.ledger.rows(RoundRow) if row.record]
        lines = "".join(f"{record}\n" for record in records)
        write_atomically(self.folder / METRICS, lines.encode())

    def _episode(self, rollout: str) -> Path:
        return self.folder / "episodes" / f"{rollout}.parquet"

    def _evaluation(self, round_index: int) -> Path:
        return self.folder / "evaluations" / f"round-{round_index:04d}.parquet"


def episode_file(
    rollout: str, result: Trajectory | Failure
) -> tuple[bytes | None, Trajectory | None]:
    """Return the content of an episode's file, and the trajectory in it, if there is one."""
    trajectory = result.partial if isinstance(result, Failure) else result
    return (None if trajectory is None else encode([trajectory], {"id": rollout})), trajectory


def read_evaluation(
    folder: Path, row: EvaluationRow
) -> list[tuple[Context, Trajectory, str | None]]:
    """Return start, trajectory and reason of failure for each rollout of an evaluation.

    Raises:
        IntegrityError: its file is missing, truncated or altered.
    """
    path = folder / "evaluations" / f"round-{row.round:04d}.parquet"
    data = read_verified(path, row.sha256, f"evaluation of round {row.round}")
    trajectories, metadata = decode(data)
    contexts = [context_from(content) for content in metadata["contexts"]]
    return list(zip(contexts, trajectories, metadata["failures"], strict=True))


def _configuration(number: int, text: str, epoch: int | None) -> ConfigurationRow:
    return ConfigurationRow(number, text, hashlib.sha256(text.encode()).hexdigest(), epoch)
