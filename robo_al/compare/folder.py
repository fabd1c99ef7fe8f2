"""A comparison's folder: whether a plan may be run in it, and by one process at a time."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from robo_al.checks.inputs import changed
from robo_al.compare.plan import REFERENCE, Plan, TaskPlan, content_hash
from robo_al.config import plain_yaml
from robo_al.dataset.files import is_there
from robo_al.dataset.folders import COMPARISON, need_comparison, need_new_or_comparison
from robo_al.dataset.lock import FolderLock, lock_folder
from robo_al.errors import ConfigError, RunFolderError

_PATIENCE = 20.0
"""Seconds for the workers of a killed comparison to end."""


def check_folder(plan: Plan, folder: Path, resume: bool) -> None:
    """Check that a plan may be run in a folder.

    A resumed comparison may have more tasks, strategies, seeds and rollouts than it had.

    Raises:
        RunFolderError: it may not; says why.
    """
    if not need_new_or_comparison(folder, resume):
        return
    lines = differences(read_content(folder), plan.content())
    if lines:
        more = [f"and {len(lines) - 5} more"] * (len(lines) > 5)
        raise RunFolderError(
            "\n  ".join([f"{folder}: has another comparison; give a new folder", *lines[:5], *more])
        )


def planned(folder: Path) -> Plan:
    """Return the plan of a comparison as its folder has it; its runs have the configurations.

    Raises:
        RunFolderError: there is no comparison, or its plan was altered.
    """
    content = read_content(folder)
    tasks = tuple(_task(entry) for entry in content["tasks"].values())
    bounds = tuple(content["bounds"])
    strategies = (*content["strategies"], *bounds)
    return Plan(
        tasks,
        strategies,
        tuple(content["seeds"]),
        bounds,
        configs={},
        reference=content.get("reference", REFERENCE),
        planned=tuple(content.get("planned_seeds", ())),
    )


def _task(entry: Mapping[str, Any]) -> TaskPlan:
    kept = {key: value for key, value in entry.items() if key != "config"}
    return TaskPlan(**kept | {"earlier_budgets": tuple(kept.get("earlier_budgets", ()))})


def continued(plan: Plan, folder: Path) -> Plan:
    """Return a plan that knows what the folder's comparison, if it has one, began with.

    These are the seeds that were planned, and the budgets that its tasks have had.
    """
    begun = begun_in(folder)
    if begun is None:
        return plan
    was = {task.name: task for task in begun.tasks}
    tasks = tuple(_after(was[task.name], task) if task.name in was else task for task in plan.tasks)
    return replace(plan, tasks=tasks, planned=begun.planned)


def _after(was: TaskPlan, task: TaskPlan) -> TaskPlan:
    more = (was.budget,) if was.budget < task.budget else ()
    return replace(task, earlier_budgets=(*was.earlier_budgets, *more))


def begun_in(folder: Path) -> Plan | None:
    """Return the comparison that a folder has, if it has one; raises like `planned`."""
    return planned(folder) if is_there(folder / COMPARISON) else None


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what keeps one comparison's content from being continued as another's."""
    lines = []
    for part in ("tasks", "strategies"):
        for name, entry in was[part].items():
            lines += _differences(f"{part}.{name}", *map(_for_good, (entry, now[part].get(name))))
    for name, entry in was["tasks"].items():
        had, has = entry.get("budget", 0), now["tasks"].get(name, entry).get("budget", 0)
        lines += [f"tasks.{name}.budget: {had} there, {has} here"] * (has < had)
    for part in ("seeds", "bounds"):
        missing = [str(value) for value in was[part] if value not in now[part]]
        if missing:
            lines.append(f"{part}: {', '.join(missing)} there, missing here")
    return lines + changed(was.get("inputs", {}), now.get("inputs", {}))


def _for_good(entry: Any) -> Any:
    """Return a task or strategy without what may become more."""
    if not isinstance(entry, Mapping) or "config" not in entry:
        return entry
    kept = {key: entry[key] for key in entry if key not in ("budget", "earlier_budgets")}
    config = {key: value for key, value in entry["config"].items() if key != "rounds"}
    return kept | {"config": config}


def _differences(where: str, was: Any, now: Any) -> list[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        keys = [*was, *(key for key in now if key not in was)]
        return [
            line
            for key in keys
            for line in _differences(f"{where}.{key}", was.get(key), now.get(key))
        ]
    if now is None and isinstance(was, dict):
        return [f"{where}: there, missing here"]
    return [] if was == now else [f"{where}: {json.dumps(was)} there, {json.dumps(now)} here"]


def read_content(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's comparison.

    Raises:
        RunFolderError: there is no comparison, or its plan was altered.
    """
    path = folder / COMPARISON
    try:
        content: dict[str, Any] = plain_yaml.parse(path.read_text(encoding="utf-8"))
        if content["sha256"] == content_hash(content):
            return content
    except FileNotFoundError:
        need_comparison(folder)
        raise
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read: {error.strerror}") from error
    except (ConfigError, KeyError, TypeError, UnicodeDecodeError):
        pass
    raise RunFolderError(f"{path}: not as a comparison wrote it; put it back, or give a new folder")


def lock(folder: Path) -> FolderLock:
    """Take the folder for this process, until the returned lock is closed.

    Workers hold the lock with their parent: where it was killed, this waits until they have ended.

    Raises:
        RunFolderError: another process has it.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return lock_folder(folder)
        except RunFolderError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
