"""A run folder: the ledger, one file for each episode, and the trajectories of evaluations."""

import bisect
import errno
import hashlib
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from robo_al.dataset.candidates import context_from, context_json
from robo_al.dataset.episodes import decode, encode
from robo_al.dataset.files import lock_folder, read_verified, storage, sync_folder, write_atomically
from robo_al.dataset.folders import CONFIG, LEDGER, RUN_FOLDERS, need_new, need_run
from robo_al.dataset.ledger import EvaluationRow, FitRow, Ledger, RolloutRow, RoundRow, to_json
from robo_al.errors import IntegrityError
from robo_al.types import Context, Failure, Trajectory, Transitions

METRICS = "metrics.jsonl"
_IDENTITY = "identity"


class Dataset:
    """What a campaign has recorded; locked for this process until it is closed.

    Args:
        folder: of a run that `create` made.

    Raises:
        RunFolderError: no run, another version's, or in use by another process.
    """

    def __init__(self, folder: Path) -> None:
        need_run(folder)
        Ledger.open(folder / LEDGER, read_only=True).close()
        self.folder = folder
        self._lock = lock_folder(folder)
        try:
            self.ledger = Ledger.open(folder / LEDGER)
            self.epoch = self.ledger.new_epoch()
            for leftover in folder.rglob(".*.tmp"):
                leftover.unlink()
        except BaseException:
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
            Ledger.create(folder / LEDGER).close()
            write_atomically(folder / CONFIG, config_text.encode())
        return cls(folder)

    def close(self) -> None:
        """Close the ledger and let the folder go; may be called twice."""
        self.ledger.close()
        self._lock.close()

    def __len__(self) -> int:
        """Number of recorded rollouts."""
        return len(self._recorded)

    @property
    def identity(self) -> str:
        """What tells this campaign's rollouts from any other's at a robot: drawn once, and kept."""
        path = self.folder / _IDENTITY
        if not path.exists():
            write_atomically(path, uuid.uuid4().hex.encode())
        return path.read_text()

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
        sha256 = write_atomically(self._episode(row.id), data) if data is not None else None
        with self.ledger.transaction():
            self.ledger.update(
                RolloutRow,
                row.id,
                state=result.kind if isinstance(result, Failure) else "recorded",
                reason=result.reason if isinstance(result, Failure) else None,
                sha256=sha256,
                steps=None if trajectory is None else trajectory.steps,
                total_reward=None if trajectory is None else trajectory.total_reward,
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
        """
        if self._all_read:  # what was recorded since then is known
            return []
        damaged = []
        for episode in self._recorded.copy():
            _, _, rollout, sha256 = episode
            try:
                self._trajectory(rollout, sha256)
            except IntegrityError as error:
                with self.ledger.transaction():
                    self.ledger.update(RolloutRow, rollout, state="quarantined", reason=str(error))
                self._recorded.remove(episode)
                moved = self.ledger.row(RolloutRow, rollout)
                assert moved is not None
                damaged.append(moved)
        self._all_read = True
        return damaged

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
        kept = [(r.partial or nothing) if isinstance(r, Failure) else r for r in results]
        sha256 = write_atomically(self._evaluation(round_index), encode(kept, metadata))
        row = EvaluationRow(
            round_index,
            *recorded,
            float(np.mean(good)) if len(good) == len(returns) else None,
            to_json(returns),
            sha256,
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
