"""The Parquet files of a run folder: where they are, and what is in them."""

from pathlib import Path

from robo_al.dataset.candidates import context_from
from robo_al.dataset.episodes import decode, encode
from robo_al.dataset.files import read_verified
from robo_al.dataset.films import placed
from robo_al.dataset.rows import EvaluationRow
from robo_al.types import Context, Failure, Trajectory


def episode_path(folder: Path, rollout: str) -> Path:
    """Return where the file of a rollout is."""
    return folder / "episodes" / f"{rollout}.parquet"


def evaluation_path(folder: Path, index: int) -> Path:
    """Return where the file of the evaluation after a round is."""
    return folder / "evaluations" / f"round-{index:04d}.parquet"


def evaluation_id(index: int, start: int) -> str:
    """Return the id of a rollout of the evaluation after a round, from one of its starts."""
    return f"e{index:04d}-{start:02d}"


def episode_file(
    rollout: str, result: Trajectory | Failure
) -> tuple[bytes | None, Trajectory | None]:
    """Return the content of an episode's file, and the trajectory in it, if there is one."""
    trajectory = result.partial if isinstance(result, Failure) else result
    return (None if trajectory is None else encode([trajectory], {"id": rollout})), trajectory


def read_episode(folder: Path, rollout: str, sha256: str | None) -> Trajectory:
    """Return what was recorded of a rollout, or the part of it before it failed.

    Raises:
        IntegrityError: its file is missing, truncated or altered, or there never was one.
        StorageError: it cannot be read now.
    """
    data = read_verified(episode_path(folder, rollout), sha256, f"rollout {rollout}")
    (trajectory,) = decode(data)[0]
    return placed(folder, rollout, trajectory)


def read_evaluation(
    folder: Path, row: EvaluationRow
) -> list[tuple[Context, Trajectory, str | None]]:
    """Return start, trajectory and reason of failure for each rollout of an evaluation.

    Raises:
        IntegrityError: its file is missing, truncated or altered.
    """
    path = evaluation_path(folder, row.round)
    data = read_verified(path, row.sha256, f"evaluation of round {row.round}")
    trajectories, metadata = decode(data)
    trajectories = [
        placed(folder, evaluation_id(row.round, start), trajectory)
        for start, trajectory in enumerate(trajectories)
    ]
    contexts = [context_from(content) for content in metadata["contexts"]]
    return list(zip(contexts, trajectories, metadata["failures"], strict=True))
