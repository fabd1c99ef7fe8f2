"""What happened in a run, kept with it: a line of JSON for each event, in the order of happening.

Lines are only added, each as a whole. A process that is killed may leave a part of a last line,
which readers leave out, and which the next opening of the folder takes away. What the ledger has is
named there by its key, and found again when the events are read.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from robo_al.dataset.events import Activity, Advanced, Event, RoundDone
from robo_al.dataset.files import append, is_there, storage
from robo_al.errors import StorageError

EVENTS = "events.jsonl"
_PASSING = (Activity, Advanced)
"""Events that say what goes on now, and nothing of what came of it."""
_KINDS: Mapping[str, type] = {kind.__name__: kind for kind in get_args(Event)}


@dataclass(frozen=True)
class Happened:
    """An event of a run, and when it was."""

    event: Event
    at: str
    """UTC, as ISO 8601 says it: for people, and nothing is decided by it."""
    opening: int
    """Which opening of the folder it happened in."""


class EventLog:
    """Keeps the events of a campaign; called with each.

    An event that cannot be written, because the disk is full, is written with the next one.

    Args:
        folder: of the run, locked for this process.
        opening: which opening of it this is.

    Raises:
        StorageError: the file is there, and cannot be written.
    """

    def __init__(self, folder: Path, opening: int) -> None:
        self._path = folder / EVENTS
        self._opening = opening
        self._waiting = b""
        if is_there(self._path):
            _take_away_part(self._path)

    def __call__(self, event: Event) -> None:
        """Keep an event, unless it only says what goes on now."""
        if isinstance(event, _PASSING):
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "opening": self._opening, "kind": type(event).__name__, **_said(event)}
        self._waiting += json.dumps(line, ensure_ascii=False).encode() + b"\n"
        try:
            append(self._path, self._waiting)
        except StorageError:
            return
        self._waiting = b""


def read_events(folder: Path, find: Callable[[type, Any], Any]) -> Iterator[Happened]:
    """Yield the events that a run has kept; none for a run of an earlier version.

    Args:
        folder: of the run.
        find: returns the value of a field whose key was kept, given the event's class and the key;
            None where there is none, as of what happened since the ledger was read.

    Raises:
        StorageError: the file cannot be read now.
    """
    path = folder / EVENTS
    if not is_there(path):
        return
    try:
        *lines, _ = path.read_bytes().split(
            b"\n"
        )  # behind the last one, there is a part or nothing
    except OSError as error:
        raise StorageError(f"{path}: cannot be read now: {error.strerror}") from error
    for line in lines:
        told = _parsed(line)
        kind = _KINDS.get(told.pop("kind", ""))
        if kind is None:
            continue  # of a later version, or damaged by a power cut
        opening = told.pop("opening", None) or told.pop("epoch")  # as an earlier robo-al wrote
        at = told.pop("at")
        values = {key: tuple(x) if isinstance(x, list) else x for key, x in told.items()}
        if "key" in values:
            (field,) = fields(kind)
            values = {field.name: find(kind, values["key"])}
        if None not in values.values():
            yield Happened(kind(**values), at, opening)


def _said(event: Event) -> dict[str, Any]:
    """Return what an event says; of what is in the ledger, the `key`."""
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    if isinstance(event, RoundDone):
        return {"key": event.record["round"]}
    for row in values.values():
        if is_dataclass(row):
            return {"key": getattr(row, fields(row)[0].name)}
    return values


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _take_away_part(path: Path) -> None:
    """Cut a file behind its last whole line."""
    with storage(path), path.open("rb+") as file:
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
