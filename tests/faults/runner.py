"""Runs campaigns that die: a fork server, so that a death costs a fraction of a second.

Reads one JSON request a line, answers one JSON object a line. Every request runs a campaign in a
fresh folder, in children that die as asked, until a last one that may live; then says what is on
the disk. See `Trial` for how a child dies, and `VARIANTS` for broken ways of writing.
"""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np

from robo_al.campaign.campaign import Campaign
from robo_al.dataset import dataset, files, films, rollouts
from robo_al.dataset.events import RolloutDone
from robo_al.dataset.ledger import Ledger
from robo_al.dataset.rows import RolloutRow
from robo_al.encoding.film import FilmWriter
from robo_al.loop.sequential import run
from robo_al.testing import FakeOracle
from robo_al.testing.campaign import fake_parts, fake_settings

SETTINGS = fake_settings(rounds=2)
fsync, os_replace, connect = os.fsync, os.replace, sqlite3.connect


class Filming(FakeOracle):
    """Films the first rollout of each batch."""

    films: Path | None = None

    def poll(self, timeout=None):
        return [self._filmed(outcome) for outcome in super().poll(timeout)]

    def _filmed(self, outcome):
        name = outcome.candidate_id
        if self.films is None or not name.endswith("-00"):
            return outcome
        writer = FilmWriter(self.films / f".{name}.mp4.tmp", {"eye": (2, 2)}, "png", 0.1)
        writer.add({"eye": np.full((2, 2), int(name[4]), np.uint8)})
        return replace(outcome, result=replace(outcome.result, film=writer.end()))


class Disk:
    """Counts durability calls; dies before the n-th; can lose what was not synced.

    A power cut leaves of every file only what was synced, and undoes renames in folders that were
    not synced after them. SQLite syncs by itself: its file is taken as it is.
    """

    def __init__(self, folder: Path, die_at: int | None, power_cut: bool) -> None:
        self.folder, self.die_at, self.power_cut = folder, die_at, power_cut
        self.points = 0
        self.synced: dict[int, int] = {}
        self.renamed: list[tuple[Path, bytes | None]] = []
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, sql, *parameters):
                if sql != "COMMIT":
                    return super().execute(sql, *parameters)
                disk.point()
                return super().execute(sql)

        os.fsync, os.replace = self.fsync, self.replace
        sqlite3.connect = lambda *args, **kwargs: connect(*args, factory=Connection, **kwargs)

    def point(self) -> None:
        self.points += 1
        if self.points == self.die_at:
            if self.power_cut:
                self.cut()
            os.kill(os.getpid(), signal.SIGKILL)

    def fsync(self, descriptor: int) -> None:
        self.point()
        fsync(descriptor)
        status = os.fstat(descriptor)
        self.synced[status.st_ino] = status.st_size
        self.renamed = [
            (path, old) for path, old in self.renamed if path.parent.stat().st_ino != status.st_ino
        ]
        self.point()

    def replace(self, source, target) -> None:
        self.point()
        target = Path(target)
        self.renamed.append((target, target.read_bytes() if target.exists() else None))
        os_replace(source, target)

    def cut(self) -> None:
        for path in self.folder.rglob("*"):
            if path.is_file() and not path.name.startswith("ledger"):
                os.truncate(path, min(path.stat().st_size, self.synced.get(path.stat().st_ino, 0)))
        for path, old in reversed(self.renamed):
            path.unlink() if old is None else path.write_bytes(old)


def no_file_sync() -> None:
    """Rename without having synced the file."""

    def write(path: Path, data: bytes) -> str:
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_bytes(data)
        os.replace(temporary, path)
        files.sync_folder(path.parent)
        return hashlib.sha256(data).hexdigest()

    dataset.write_atomically = rollouts.write_atomically = write


def no_folder_sync() -> None:
    """Rename without having synced the folder."""
    files.sync_folder = lambda folder: None


def no_rename() -> None:
    """Write in place."""

    def write(path: Path, data: bytes) -> str:
        path.write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    dataset.write_atomically = rollouts.write_atomically = write


def commit_first() -> None:
    """Commit the row before the episode's file is there."""
    record, write = rollouts.Rollouts.record, files.write_atomically

    def late(self, *args):
        held = []

        def hold(path: Path, data: bytes) -> str:
            held.append((path, data))
            return hashlib.sha256(data).hexdigest()

        rollouts.write_atomically = hold
        row = record(self, *args)
        rollouts.write_atomically = write
        for path, data in held:
            write(path, data)
        return row

    rollouts.Rollouts.record = late


def no_film_sync() -> None:
    """Give a film its place without having synced it."""
    films.move = os.replace


VARIANTS = {
    f.__name__: f for f in (no_file_sync, no_folder_sync, no_rename, commit_first, no_film_sync)
}


def campaign(folder: Path, acknowledged: Path) -> Campaign:
    """Run the campaign in the folder, from wherever it is; note what it acknowledges."""

    def note(event) -> None:
        if isinstance(event, RolloutDone):
            with acknowledged.open("a") as file:
                file.write(f"{event.rollout.id} {event.rollout.sha256}\n")

    parts = fake_parts()
    started = (folder / "config.yaml").exists()
    made = (
        Campaign.open(folder, parts, SETTINGS)
        if started
        else Campaign.create(folder, parts, SETTINGS, "x")
    )
    with made:
        run(made, Filming(), note)
    return made


def child(folder: Path, acknowledged: Path, request: dict, die_at: int | None) -> int:
    """Fork a child that runs the campaign; return its process id."""
    pid = os.fork()
    if pid == 0:
        try:
            if request.get("variant"):
                VARIANTS[request["variant"]]()
            disk = Disk(folder, die_at, bool(request.get("power_cut")))
            campaign(folder, acknowledged)
            disk.point()  # there is a moment after the last call, too
            (acknowledged.parent / "points").write_text(str(disk.points))
        except BaseException:
            (acknowledged.parent / "error").write_text(traceback.format_exc())
            os._exit(1)
        os._exit(0)
    return pid


def trial(request: dict, base: Path) -> dict:
    """Run one campaign to its end, with deaths on the way."""
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    folder, acknowledged = base / "run", base / "acknowledged"
    acknowledged.touch()
    for death in request["deaths"]:
        pid = child(folder, acknowledged, request, death.get("point"))
        if "seconds" in death:
            time.sleep(death["seconds"])
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    started = time.monotonic()
    pid = child(folder, acknowledged, request, None)
    _, status = os.waitpid(pid, 0)
    seconds = time.monotonic() - started
    error = base / "error"
    if status != 0:
        return {"error": error.read_text() if error.exists() else f"status {status}"}
    return {
        "seconds": seconds,
        "points": int((base / "points").read_text()),
        "acknowledged": [line.split() for line in acknowledged.read_text().splitlines()],
    } | inspect(folder)


def inspect(folder: Path) -> dict:
    """Return what is on the disk at the end."""
    with Ledger.open(folder / "ledger.sqlite", read_only=True) as ledger:
        rows = ledger.rows(RolloutRow)
        digest = ledger.digest()
    hashes = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in (".parquet", ".mp4", ".safetensors", ".tmp")
    }
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return {
        "digest": digest,
        "rollouts": {row.id: row.sha256 for row in rows if row.state == "recorded"},
        "files": hashes,
        "rounds": [json.loads(line)["round"] for line in lines],
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(trial(json.loads(line), Path(sys.argv[1]))), flush=True)
