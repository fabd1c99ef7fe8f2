"""Which reader reads a folder."""

from collections.abc import Collection
from pathlib import Path

from robo_al.dataset.recordings.lerobot import INFO, read_lerobot
from robo_al.dataset.recordings.minari import METADATA, read_minari
from robo_al.dataset.recordings.recording import Recording
from robo_al.dataset.recordings.runs import read_runs, run_folders
from robo_al.errors import UserError


def read_recording(
    path: Path, leave_out: Collection[str] = (), column: str | None = None
) -> Recording:
    """Read what was recorded: the format is told by the files that are there.

    Args:
        path: a run folder of ours, a folder of run folders, a LeRobot v3 or a Minari dataset.
        leave_out: names of rollouts that are not wanted, as messages tell them.
        column: of a LeRobot dataset, what is observed; None: its state.

    Raises:
        UserError: no such folder, none of these, or one that cannot be used; or a column of
            another format.
    """
    path = path.expanduser()
    if not path.is_dir():
        raise UserError(f"{path}: there is no such folder")
    if (path / INFO).is_file():
        return read_lerobot(path, leave_out, column)
    if column is not None:
        raise UserError(f"{path}: column {column!r} is read of LeRobot datasets alone")
    if (path / METADATA).is_file():
        return read_minari(path, leave_out)
    if run_folders(path):
        return read_runs(path, leave_out)
    raise UserError(
        f"{path}: no recording: neither a run folder of robo-al (ledger.sqlite), nor a LeRobot v3 "
        f"dataset ({INFO}), nor a Minari dataset ({METADATA})"
    )
