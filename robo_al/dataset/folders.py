"""What a folder is, and whether a run may begin in it: known before anything heavy is loaded."""

from pathlib import Path
from tempfile import TemporaryDirectory

from robo_al.dataset.files import is_there
from robo_al.errors import RunFolderError

LOCK, HOLDERS = "lock", "lock.host"
"""The file that `flock` locks; and the one that says who uses the folder, where it has no locks."""
CONFIG = "config.yaml"
"""In the folder of a run: its configuration, every default filled in."""
COMPARISON = "comparison.yaml"
"""In the folder of a comparison: the whole plan, every default filled in."""
AB_PLAN = "ab-plan.json"
"""In the folder of two policies against each other: what is compared. The run that has the rollouts
is beside it."""
LEDGER = "ledger.sqlite"
RUN_FOLDERS = ("episodes", "evaluations", "models")
_LEFTOVERS = {
    LOCK,
    HOLDERS,
    LEDGER,
    f"{LEDGER}-journal",
    f".{CONFIG}.tmp",
    f".{COMPARISON}.tmp",
    "started_in.txt",
    ".started_in.txt.tmp",
    *RUN_FOLDERS,
}
"""What a creation that was interrupted leaves: `lock` is made first, `config.yaml` last."""
_PROBE = ".robo-al-"
"""What is made and removed again to see whether a folder can be written begins so."""


def need_run(folder: Path) -> None:
    """Refuse a folder that has no run.

    Raises:
        RunFolderError: it has none, or may not be entered; says so of a comparison.
    """
    if is_there(folder / CONFIG):
        return
    if is_there(folder / COMPARISON):
        raise RunFolderError(
            f"{folder}: this is a comparison, not a run; look at {folder / 'comparison.html'}, go "
            f"on with it by robo-al compare PLAN --out {folder} --resume, or name one of its runs, "
            f"which are in {folder / 'runs'}"
        )
    if is_there(folder / AB_PLAN):
        raise RunFolderError(
            f"{folder}: these are two policies against each other, whose rollouts are in "
            f"{folder / 'run'}; go on with: robo-al ab {folder}"
        )
    raise RunFolderError(f"{folder}: no run here (there is no {CONFIG})")


def read_config_text(folder: Path) -> str:
    """Return the text of a run's configuration.

    Raises:
        RunFolderError: there is no run, or it cannot be read.
    """
    need_run(folder)
    try:
        return (folder / CONFIG).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{folder / CONFIG}: cannot be read: {error}") from error


def need_comparison(folder: Path) -> None:
    """Refuse a folder that has no comparison.

    Raises:
        RunFolderError: it has none, or may not be entered; says so of a run.
    """
    if is_there(folder / COMPARISON):
        return
    if is_there(folder / CONFIG):
        raise RunFolderError(
            f"{folder}: this is a run, not a comparison; go on with it by robo-al resume {folder}"
        )
    raise RunFolderError(f"{folder}: no comparison here (there is no {COMPARISON})")


def need_new_or_comparison(folder: Path, resume: bool) -> bool:
    """Refuse a folder in which a comparison can neither begin nor, if that is asked, go on.

    Returns:
        Whether there is one to go on with.

    Raises:
        RunFolderError: there is something else in it, or a comparison that is not to go on.
    """
    if resume and folder.is_dir() and _names(folder):
        need_comparison(folder)
        return True
    need_new(folder)
    return False


def need_new(folder: Path) -> None:
    """Refuse a folder in which no run or comparison can begin: it is to be new or empty.

    What a creation that was interrupted has left does not count.

    Raises:
        RunFolderError: it is a file, is not empty, or cannot be written; nothing was changed.
    """
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise RunFolderError(f"{there}: not a folder")
        names = _names(folder) if there == folder else set()
        if not names:
            TemporaryDirectory(prefix=_PROBE, dir=there).cleanup()
            return
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be written: {error.strerror}") from None
    hint = ""
    if CONFIG in names:
        hint = f", or go on with the run in it: robo-al resume {folder}"
    elif COMPARISON in names:
        hint = f", or go on with the comparison: robo-al compare PLAN --out {folder} --resume"
    elif AB_PLAN in names:
        hint = f", or go on with what was begun in it: robo-al ab {folder}"
    raise RunFolderError(f"{folder}: not empty (it has {min(names)}); give a new folder{hint}")


def _names(folder: Path) -> set[str]:
    """Return what is in a folder, but for what an interrupted creation leaves."""
    try:
        names = {path.name for path in folder.iterdir() if not path.name.startswith(_PROBE)}
        if LOCK not in names:
            return names
        parts = [folder / name for name in RUN_FOLDERS if (folder / name).is_dir()]
        # whatever is in them, a campaign has begun: its ledger is not to be written anew
        written = {f"{part.name}/{path.name}" for part in parts for path in part.iterdir()}
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be read: {error.strerror}") from None
    return (names - _LEFTOVERS) | written
