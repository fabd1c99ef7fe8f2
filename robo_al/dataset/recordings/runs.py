"""Recordings that robo-al made itself: a run folder, or all of those below a folder."""

from dataclasses import replace
from pathlib import Path

from robo_al.config import plain_yaml
from robo_al.dataset.episodes import decode
from robo_al.dataset.files import read_verified
from robo_al.dataset.folders import CONFIG, LEDGER, need_run
from robo_al.dataset.ledger import Ledger, RolloutRow
from robo_al.dataset.recordings.recording import Recording
from robo_al.errors import IntegrityError, UserError
from robo_al.tasks import describe
from robo_al.tasks.shelf import borrowed
from robo_al.types import EnvSpec, Trajectory


def run_folders(path: Path) -> list[Path]:
    """Return the run folders at or below a path, in the order of their names."""
    return sorted(ledger.parent for ledger in path.rglob(LEDGER))


def read_runs(path: Path) -> Recording:
    """Read the training rollouts of all runs at or below a path.

    Channels, limits and reward are those of the env that the runs were made in.

    Raises:
        UserError: runs of different tasks, a damaged rollout, or none.
        RunFolderError: a run of another version.
        PluginError: the env cannot be made here.
    """
    folders = run_folders(path)
    spec, episodes = _env(folders[0]), dict[str, Trajectory]()
    for folder in folders:
        if _recorded_as(other := _env(folder)) != _recorded_as(spec):
            raise UserError(
                f"{path}: {folder} is a run of {other.name} {dict(other.parameters)}, "
                f"{folders[0]} of {spec.name} {dict(spec.parameters)}; give runs of one task"
            )
        episodes |= _episodes(folder)
    with borrowed(spec) as env:
        task = describe(env, spec)
    return Recording.of(path, task, episodes)


def _env(folder: Path) -> EnvSpec:
    """Return what a run's env was made from."""
    need_run(folder)
    return EnvSpec.in_config(plain_yaml.parse((folder / CONFIG).read_text()))


def _recorded_as(spec: EnvSpec) -> EnvSpec:
    """Return a spec without what makes no rollout another."""
    return replace(spec, facts=replace(spec.facts, horizon=None, threshold=None))


def _episodes(folder: Path) -> dict[str, Trajectory]:
    with Ledger.open(folder / LEDGER, read_only=True) as ledger:
        rows = ledger.rows(RolloutRow, state="recorded")
    episodes = {}
    for row in rows:
        file = folder / "episodes" / f"{row.id}.parquet"
        try:
            data = read_verified(file, row.sha256, f"rollout {row.id}")
        except IntegrityError as error:
            raise UserError(str(error)) from error
        (episodes[f"{folder.name}/{row.id}"],) = decode(data)[0]
    return episodes
