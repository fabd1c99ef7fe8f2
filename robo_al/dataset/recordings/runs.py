"""Recordings that robo-al made itself: a run folder, or all of those below a folder."""

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from robo_al.dataset.folders import LEDGER
from robo_al.dataset.recordings.recording import Recording, refuse_unknown
from robo_al.dataset.view import RunView
from robo_al.errors import IntegrityError, UserError
from robo_al.tasks import describe
from robo_al.tasks.shelf import borrowed
from robo_al.types import EnvSpec, Trajectory


def run_folders(path: Path) -> list[Path]:
    """Return the run folders at or below a path, in the order of their names."""
    return sorted(ledger.parent for ledger in path.rglob(LEDGER))


def read_runs(path: Path, leave_out: Collection[str] = ()) -> Recording:
    """Read the training rollouts of all runs at or below a path.

    Args:
        path: of a run, or of a folder with runs below it.
        leave_out: rollouts that are not wanted: `run folder/id`.

    Channels, limits and reward are those of the env that the runs were made in.

    Raises:
        UserError: runs of different tasks, a damaged rollout, or none.
        RunFolderError: a run of another version.
        PluginError: the env cannot be made here.
    """
    folders = run_folders(path)
    spec, episodes = _env(RunView(folders[0])), dict[str, Trajectory]()
    known = dict[str, None]()
    for folder in folders:
        run = RunView(folder)
        if _recorded_as(other := _env(run)) != _recorded_as(spec):
            raise UserError(
                f"{path}: {folder} is a run of {other.name} {dict(other.parameters)}, "
                f"{folders[0]} of {spec.name} {dict(spec.parameters)}; give runs of one task"
            )
        episodes |= _episodes(run, leave_out)
        known |= {f"{run.folder.name}/{row.id}": None for row in run.recorded}
    refuse_unknown(path, known, leave_out)
    longest = max((episode.steps for episode in episodes.values()), default=1)
    with borrowed(spec) as env:
        task = describe(env, replace(spec, facts=replace(spec.facts, horizon=longest)))
    return Recording.of(path, task, episodes)


def _env(run: RunView) -> EnvSpec:
    """Return what a run's env was made from."""
    return EnvSpec.in_config(run.config)


def _recorded_as(spec: EnvSpec) -> EnvSpec:
    """Return a spec without what makes no rollout another."""
    return replace(spec, facts=replace(spec.facts, horizon=None, threshold=None))


def _episodes(run: RunView, leave_out: Collection[str]) -> dict[str, Trajectory]:
    found, bad = dict[str, Trajectory](), dict[str, str]()
    for row in run.recorded:
        name = f"{run.folder.name}/{row.id}"
        if name in leave_out:
            continue
        try:
            found[name] = run.episode(row.id)
        except IntegrityError as error:
            bad[name] = str(error)
    if bad:
        raise UserError(
            "\n  ".join(bad.values())
            + f"\nput them back, or leave them out: env: {{leave_out: {json.dumps(list(bad))}}}"
        )
    return found
