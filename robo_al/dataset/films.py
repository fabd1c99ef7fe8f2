"""The films of a run folder: the pictures of a rollout, beside its episode's Parquet file.

The Parquet file has the film's hash, and the ledger has the Parquet file's: what is known of the
one is known of the other.
"""

from dataclasses import replace
from pathlib import Path

from robo_al.dataset.files import is_there, move, storage, verify
from robo_al.encoding.film import Pictures, read_film
from robo_al.types import Failure, Film, Trajectory


def film_path(folder: Path, rollout: str) -> Path:
    """Return where the film of a rollout is, also of one that was evaluated."""
    return folder / "episodes" / f"{rollout}.mp4"


def keep(folder: Path, rollout: str, result: Trajectory | Failure) -> Trajectory | Failure:
    """Give the film of a rollout its place in a run folder, if there is one.

    It is done before the episode's file is written, and may be done again.

    Returns:
        The result, whose film is in the folder.

    Raises:
        IntegrityError: the film is not what the result says.
        StorageError: the disk is full or refuses.
    """
    if isinstance(result, Failure):
        partial = None if result.partial is None else _kept(folder, rollout, result.partial)
        return replace(result, partial=partial)
    return _kept(folder, rollout, result)


def _kept(folder: Path, rollout: str, trajectory: Trajectory) -> Trajectory:
    film = trajectory.film
    if film is None:
        return trajectory
    path = film_path(folder, rollout)
    moved = not is_there(film.path)  # before a disk was full, and what was told is told again
    verify(path if moved else film.path, film.sha256, f"film of rollout {rollout}")
    if not moved:
        move(film.path, path)
    return placed(folder, rollout, trajectory)


def drop_film(folder: Path, rollout: str, result: Trajectory | Failure) -> None:
    """Remove the film of an outcome that is recorded already: a repetition's, not what is kept."""
    trajectory = result.partial if isinstance(result, Failure) else result
    film = None if trajectory is None else trajectory.film
    if film is not None and film.path != film_path(folder, rollout):
        with storage(film.path):
            film.path.unlink(missing_ok=True)


def placed(folder: Path, rollout: str, trajectory: Trajectory) -> Trajectory:
    """Return a trajectory that was read from a file, whose film is where the folder has it."""
    film = trajectory.film
    if film is None:
        return trajectory
    return replace(trajectory, film=Film(film_path(folder, rollout), film.sha256))


def pictures_of(rollout: str, trajectory: Trajectory) -> dict[str, Pictures]:
    """Return what each camera saw in a recorded rollout; raises like `verify_film`."""
    verify_film(rollout, trajectory)
    return {} if trajectory.film is None else read_film(trajectory.film.path)


def verify_film(rollout: str, trajectory: Trajectory) -> None:
    """Compare the film of a recorded rollout, if there is one, with what was written.

    Raises:
        IntegrityError: it is missing, truncated or altered.
        StorageError: it cannot be read now.
    """
    if trajectory.film is not None:
        verify(trajectory.film.path, trajectory.film.sha256, f"film of rollout {rollout}")
