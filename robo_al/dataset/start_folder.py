"""Where a run was started: its relative files and modules are looked up there, from anywhere.

A program that goes on with a run changes into that folder, so that a plugin's file, its modules and
the files that its parameters name are those that the run began with.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from robo_al.dataset.files import write_atomically

STARTED_IN = "started_in.txt"
"""In the folder of a run or comparison: one line, the folder that it was started in."""


def note_start_folder(folder: Path) -> None:
    """Write down in a new run's or comparison's folder where the program was started.

    Raises:
        StorageError: the disk is full or refuses.
    """
    write_atomically(folder / STARTED_IN, f"{Path.cwd()}\n".encode())


def start_folder(folder: Path) -> Path | None:
    """Return where a run or comparison was started, if it is written down."""
    try:
        return Path((folder / STARTED_IN).read_text(encoding="utf-8").rstrip("\n"))
    except (OSError, UnicodeDecodeError):  # of an older version, or not yet begun
        return None


@contextmanager
def started_in(folder: Path) -> Iterator[Path]:
    """Change into the folder that a run or comparison was started in, if it is there.

    Args:
        folder: of the run or comparison.

    Yields:
        Its folder as it is to be named from there.
    """
    here, there = Path.cwd(), start_folder(folder)
    if there is None or there == here or not there.is_dir():
        yield folder
        return
    named = folder.resolve()
    sys.path.append(str(there))  # last, so that it hides nothing that is installed
    if sys.path[0] == str(here):  # of `python -m`: what is here must not come first
        sys.path.append(sys.path.pop(0))
    with chdir(there):
        yield named


def what_is_gone(folder: Path) -> list[str]:
    """Return a line if the folder that a run or comparison was started in is no more."""
    noted = start_folder(folder)
    if noted is None or noted.is_dir():
        return []
    return [f"{noted}, where it was started, is gone: relative files are looked up from here"]


def where_from(specs: Iterable[str], here: Path) -> list[str]:
    """Return what a person might not expect of a lookup from another folder, in lines.

    Args:
        specs: names of plugins, as `robo_al.plugins` reads them.
        here: the folder that the program was started in, before it changed into another.
    """
    there = Path.cwd()
    if there == here:
        return []
    pairs = [(here / file, there / file) for file in _files(specs)]
    others = [
        pair for pair in pairs if all(map(Path.is_file, pair)) and not pair[0].samefile(pair[1])
    ]
    return [
        f"goes on in {there}, where it was started",
        *(f"{other} is another file than {own}, and not used" for other, own in others),
    ]


def _files(specs: Iterable[str]) -> dict[str, None]:
    """Return the relative files that plugins may be in, each once."""
    files = list[str]()
    for place in (spec.rpartition(":")[0] for spec in specs):
        module = place.replace(".", "/")
        files += [place] if place.endswith(".py") else [f"{module}.py", f"{module}/__init__.py"]
    return dict.fromkeys(files)
