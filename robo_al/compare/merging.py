"""Merges folders of one comparison that was run in parts, perhaps on several machines."""

import itertools
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from robo_al.compare.folder import differences, lock, read_content
from robo_al.compare.plan import content_hash
from robo_al.config import plain_yaml
from robo_al.dataset.files import storage, write_atomically
from robo_al.dataset.folders import COMPARISON, need_new
from robo_al.dataset.start_folder import STARTED_IN
from robo_al.errors import RunFolderError


def merge(folders: Sequence[Path], out: Path) -> None:
    """Copy the runs of several folders into a new one, which is a comparison of all their seeds.

    Nobody knows whether all of these seeds were fixed before the first run. So none of them counts
    as planned, and differences are judged by the test that may be looked at at any time.

    Args:
        folders: of comparisons that differ in their seeds alone, and have no seed in common; their
            reference is the first one's.
        out: a new or empty folder.

    Raises:
        RunFolderError: they differ in more, share seeds, or one is in use; all that differs is
            named, and nothing was written.
        StorageError: the disk is full or refuses.
    """
    need_new(out)
    with ExitStack() as held:
        contents = [read_content(folder) for folder in folders]
        for folder in folders:
            held.enter_context(closing(lock(folder)))
        _refuse(folders, contents)
        with storage(out):
            for folder in folders:
                shutil.copytree(folder / "runs", out / "runs", dirs_exist_ok=True)
            shutil.copy(folders[0] / STARTED_IN, out / STARTED_IN)
        seeds = [seed for content in contents for seed in content["seeds"]]
        tasks = {name: _with_budgets(name, contents) for name in contents[0]["tasks"]}
        merged = contents[0] | {"tasks": tasks, "seeds": seeds, "planned_seeds": []}
        merged["sha256"] = content_hash(merged)
        write_atomically(out / COMPARISON, plain_yaml.dump(merged).encode())


def _with_budgets(name: str, contents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a task that has had every smaller budget that it had in any of the folders."""
    tasks: list[dict[str, Any]] = [content["tasks"][name] for content in contents]
    earlier = {budget for task in tasks for budget in task.get("earlier_budgets", ())}
    return tasks[0] | {"earlier_budgets": sorted(earlier)}


def _refuse(folders: Sequence[Path], contents: Sequence[dict[str, Any]]) -> None:
    """Raise a `RunFolderError` if these are no parts of one comparison."""
    first, alike = contents[0], dict.fromkeys(("seeds", "planned_seeds"), ())
    for folder, content in zip(folders[1:], contents[1:], strict=True):
        both = first | alike, content | alike
        lines = dict.fromkeys([*differences(*both), *differences(*both[::-1])])
        if lines:
            raise RunFolderError(
                "\n  ".join([f"{folder}: is another comparison than {folders[0]}", *lines])
            )
    for (one, its), (other, others) in itertools.combinations(
        zip(folders, contents, strict=True), 2
    ):
        shared = [str(seed) for seed in its["seeds"] if seed in others["seeds"]]
        if shared:
            raise RunFolderError(
                f"{one} and {other}: both have seed {', '.join(shared)}; a seed counts once: give "
                "each part seeds of its own"
            )
