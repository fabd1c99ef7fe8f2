"""The rollouts of an open run folder: recorded once, read once, and handed to models."""

import bisect
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from robo_al.dataset import labels
from robo_al.dataset.episodes import encode
from robo_al.dataset.files import is_there, write_atomically
from robo_al.dataset.films import keep, verify_film
from robo_al.dataset.ledger import LabelRow, Ledger, RolloutRow, RolloutState, to_json
from robo_al.dataset.measured import summary_of
from robo_al.dataset.stored import episode_file, episode_path, read_episode
from robo_al.errors import IntegrityError, StorageError
from robo_al.types import Failure, Label, Outcome, Trajectory, Transitions


class Rollouts:
    """What was recorded of rollouts, and what is said of them.

    Args:
        folder: of the run.
        ledger: of the run, open for writing.
    """

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.folder = folder
        self.ledger = ledger
        self.opening = ledger.new_opening()
        """Which opening of the folder this is, from 1."""
        self._trajectories: dict[str, Trajectory] = {}
        self._recorded = ledger.episodes()
        """What is recorded, kept so that no round has to read all of it again."""
        self._all_read = False
        encode([], {})  # pyarrow takes a second the first time: not while a robot waits

    def __len__(self) -> int:
        """Number of recorded rollouts."""
        return len(self._recorded)

    def record(
        self,
        row: RolloutRow,
        outcome: Outcome,
        information: float | None,
        wall_seconds: float | None,
    ) -> RolloutRow:
        """Make an outcome durable: first its film, then the episode's file, then row and labels.

        Args:
            row: of the rollout.
            outcome: what came of it; details that the row has already stay where it has none.
            information: that it gave [nat], where that is known.
            wall_seconds: from its dispatch until now, where that is known.

        Returns:
            The row as it is now.

        Raises:
            IntegrityError: its film is not what it says; the rollout is as it was before.
            StorageError: the disk is full or refuses; the rollout is as it was before.
        """
        result = keep(self.folder, row.id, outcome.result)
        data, trajectory = episode_file(row.id, result)
        with np.errstate(all="ignore"):  # of what is not to be trusted; the ledger has null then
            total_reward = None if trajectory is None else trajectory.total_reward
        path = episode_path(self.folder, row.id)
        sha256 = write_atomically(path, data) if data is not None else None
        signals = {} if trajectory is None else summary_of(trajectory.signals)
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
                robot_seconds=outcome.robot_seconds,
                wall_seconds=wall_seconds,
                opening=self.opening,
                sequence=self.ledger.next_sequence(),
                details=to_json(outcome.details) if outcome.details else row.details,
                signals=to_json(signals) if signals else None,
            )
            labels.add_labels(self.ledger, row.id, outcome.labels)
        recorded = self.ledger.row(RolloutRow, row.id)
        assert recorded is not None
        if isinstance(result, Trajectory) and sha256 is not None:
            self._trajectories[row.id] = result
            bisect.insort(self._recorded, (row.round, row.index, row.id, sha256))
        return recorded

    def label(self, rollout: str, label: Label) -> LabelRow:
        """Make what somebody says of a rollout durable; the same again changes nothing.

        Whoever says otherwise later has both recorded, in this order.

        Returns:
            The label's row.

        Raises:
            UserError: there is no such rollout, or the label says nothing that can be recorded.
            StorageError: the disk is full or refuses.
        """
        return labels.label(self.ledger, rollout, label)

    def trajectory(self, row: RolloutRow) -> Trajectory:
        """Return what was recorded of a rollout, or the part of it before it failed.

        Raises:
            IntegrityError: its file is missing, truncated or altered, or there never was one.
        """
        return self._trajectory(row.id, row.sha256)

    def _trajectory(self, rollout: str, sha256: str | None) -> Trajectory:
        if rollout not in self._trajectories:
            trajectory = read_episode(self.folder, rollout, sha256)
            verify_film(rollout, trajectory)
            self._trajectories[rollout] = trajectory
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
            is_there(episode_path(self.folder, name)) for *_, name, _ in self._recorded
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
        self, rollout: str, state: RolloutState, reason: str | None, damaged: int | None
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
        return transitions_of(trajectories)


def transitions_of(trajectories: Sequence[Trajectory]) -> Transitions:
    """Return all steps of trajectories, of one at least, in their order."""
    lengths = [trajectory.steps for trajectory in trajectories]
    return Transitions(
        np.concatenate([t.observations[:-1] for t in trajectories]),
        np.concatenate([t.actions for t in trajectories]),
        np.concatenate([t.observations[1:] for t in trajectories]),
        np.concatenate([t.rewards for t in trajectories]),
        np.repeat(np.arange(len(trajectories)), lengths),
        np.concatenate([t.ends for t in trajectories]),
        _shown(trajectories),
    )


def _shown(trajectories: Sequence[Trajectory]) -> Bool[np.ndarray, "B"] | None:
    """Return at which steps a person acted; None where no rollout says who did."""
    actors = [trajectory.signals.get("actor") for trajectory in trajectories]
    if all(actor is None for actor in actors):
        return None
    return np.concatenate(
        [
            np.zeros(trajectory.steps, np.bool_)
            if actor is None
            else actor[: trajectory.steps] == 1
            for trajectory, actor in zip(trajectories, actors, strict=True)
        ]
    )
