"""The ledger: the durable record of every rollout, fit and evaluation, in one SQLite file.

Tables are the dataclasses of `robo_al.dataset.rows`, column for field. One connection, rollback
journal, and `synchronous=EXTRA`: like FULL, and the folder is synced after a commit, so that what
was acknowledged survives a power cut.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from robo_al.dataset.files import is_there, storage, sync_folder
from robo_al.dataset.rows import (
    LOST,
    STATES,
    TABLES,
    AnyRow,
    ConfigurationRow,
    DecisionRow,
    EvaluationRow,
    FitRow,
    LabelRow,
    RolloutRow,
    RolloutState,
    RoundRow,
    Row,
    Totals,
    finite,
    solved_at,
    to_json,
)
from robo_al.dataset.tables import make_tables, selection
from robo_al.errors import RunFolderError, StorageError

__all__ = [
    "FORMAT",
    "LOST",
    "STATES",
    "ConfigurationRow",
    "DecisionRow",
    "EvaluationRow",
    "FitRow",
    "LabelRow",
    "Ledger",
    "RolloutRow",
    "RolloutState",
    "RoundRow",
    "Totals",
    "solved_at",
    "to_json",
]

FORMAT = 3
"""Version of the run folder's format, in `PRAGMA user_version`."""

_VOLATILE = {"wall_seconds", "opening", "sequence", "record", "takes_back"}
"""Columns that depend on the clock, on interruptions or on the order of completion."""


class Ledger:
    """An open ledger; see the module's docstring."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._selections: dict[type, str] = {}
        """How each table is read; see `robo_al.dataset.tables.selection`."""

    @classmethod
    def create(cls, path: Path) -> "Ledger":
        """Make an empty ledger.

        Raises:
            StorageError: the disk is full or refuses.
        """
        with storage(path):
            ledger = cls(path, _connect(path, "rwc"))
            ledger._connection.execute("PRAGMA synchronous=EXTRA")
            with ledger.transaction():
                make_tables(ledger._connection)
                ledger._connection.execute(f"PRAGMA user_version={FORMAT}")
            sync_folder(path.parent)
        return ledger

    @classmethod
    def open(cls, path: Path, read_only: bool = False) -> "Ledger":
        """Open a ledger; read-only ones may be open while a campaign writes.

        Raises:
            RunFolderError: there is none, it is damaged, or of another version.
        """
        if not is_there(path):
            raise RunFolderError(f"{path.parent}: no run here (there is no {path.name})")
        try:
            # A reader too must be able to roll back what a killed process left half-written.
            connection = _connect(path, "rw")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == FORMAT:
                connection.execute("SELECT count(*) FROM rollouts").fetchone()
        except sqlite3.DatabaseError as error:
            raise RunFolderError(f"{path}: cannot be read as a ledger now: {error}") from error
        if version != FORMAT:
            connection.close()
            raise RunFolderError(
                f"{path.parent}: a run of format {version}; this robo-al reads format {FORMAT}: "
                "use the version of robo-al that wrote it"
            )
        connection.execute("PRAGMA query_only=1" if read_only else "PRAGMA synchronous=EXTRA")
        ledger = cls(path, connection)
        if not read_only:
            try:
                with ledger.transaction():
                    make_tables(connection)
            except BaseException:
                connection.close()
                raise
        return ledger

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._connection.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ------------------------------------------------------------ writing

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all writes inside durable together, or none.

        Raises:
            StorageError: the disk is full or refuses; nothing was written.
        """
        with storage(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def insert(self, *rows: AnyRow) -> None:
        """Add rows, inside a transaction; a number that is not finite becomes null."""
        for row in rows:
            names = ", ".join(f'"{field.name}"' for field in fields(row))
            values = [finite(value) for value in astuple(row)]
            marks = ", ".join("?" * len(values))
            self._connection.execute(
                f"INSERT INTO {TABLES[type(row)]} ({names}) VALUES ({marks})", values
            )

    def update(self, table: type[Row], key: str | int, **changes: Any) -> None:
        """Change columns of one row, inside a transaction; see `insert`."""
        name = fields(table)[0].name
        assignments = ", ".join(f'"{column}" = ?' for column in changes)
        cursor = self._connection.execute(
            f'UPDATE {TABLES[table]} SET {assignments} WHERE "{name}" = ?',
            (*map(finite, changes.values()), key),
        )
        assert cursor.rowcount == 1, f"{table.__name__} {key}"

    def new_opening(self) -> int:
        """Count this opening; return its number, from 1."""
        with self.transaction():
            cursor = self._connection.execute("INSERT INTO openings DEFAULT VALUES")
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def next_sequence(self) -> int:
        """Return the place of the next rollout in the order of recording, from 1."""
        return int(self._read("SELECT max(sequence) FROM rollouts")[0][0] or 0) + 1

    # ------------------------------------------------------------ reading

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything that is read inside be of one moment; a campaign waits to write."""
        self._read("BEGIN")
        try:
            yield
        finally:
            self._read("ROLLBACK")

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return what a SELECT finds.

        Raises:
            StorageError: the file cannot be read now.
        """
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise StorageError(
                f"{self.path}: cannot be read now: {error}; see to its disk, then resume"
            ) from error

    def _select(self, table: type[Row], rest: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return rows of a table; `rest` is what follows its name in a SELECT."""
        if table not in self._selections:
            self._selections[table] = selection(self._connection, table)
        return [table(*row) for row in self._read(f"{self._selections[table]} {rest}", values)]

    def rows(self, table: type[Row], **where: Any) -> list[Row]:
        """Return rows in the order of rounds, whose columns are these values (None: null)."""
        key = fields(table)[0].name
        order = 'round, "index"' if table is RolloutRow else f'"{key}"'
        tests = [f'"{name}" {"IS NULL" if x is None else "= ?"}' for name, x in where.items()]
        return self._select(
            table,
            f"WHERE {' AND '.join(tests) or '1'} ORDER BY {order}",
            [value for value in where.values() if value is not None],
        )

    def after(self, table: type[Row], key: int) -> list[Row]:
        """Return the rounds, fits or evaluations after one of them."""
        name = fields(table)[0].name
        return self._select(table, f'WHERE "{name}" > ? ORDER BY "{name}"', [key])

    def under_way(self) -> list[RolloutRow]:
        """Return the rollouts that are selected or dispatched, in the order of rounds."""
        return self._select(
            RolloutRow, "WHERE state IN ('selected', 'dispatched') ORDER BY round, \"index\""
        )

    def episodes(self) -> list[tuple[int, int, str, str]]:
        """Return round, index, id and hash of all that is recorded, in that order."""
        return self._read(
            "SELECT round, \"index\", id, sha256 FROM rollouts WHERE state = 'recorded' "
            'ORDER BY round, "index"'
        )

    def row(self, table: type[Row], key: str | int) -> Row | None:
        """Return the row with this key, if there is one."""
        return next(iter(self.rows(table, **{fields(table)[0].name: key})), None)

    def last(self, table: type[Row]) -> Row | None:
        """Return the newest row of rounds, fits, evaluations or configurations."""
        key = fields(table)[0].name
        return next(iter(self._select(table, f'WHERE 1 ORDER BY "{key}" DESC LIMIT 1')), None)

    def states(self) -> dict[RolloutState, int]:
        """Return how many rollouts are in each state; all states are listed."""
        counts = self._read("SELECT state, count(*) FROM rollouts GROUP BY state")
        return dict.fromkeys(STATES, 0) | dict(counts)

    def totals(self) -> Totals:
        """Return what the campaign has come to in all."""
        count, steps = self._read(
            "SELECT count(*), sum(steps) FROM rollouts WHERE state = 'recorded'"
        )[0]
        # in the order of their values: the sum does not depend on the order of completion
        seconds = self._read(
            "SELECT sum(robot_seconds) FROM (SELECT robot_seconds FROM rollouts "
            "WHERE robot_seconds NOT NULL ORDER BY robot_seconds)"
        )[0][0]
        return Totals(count, steps or 0, seconds or 0.0)

    def files(self) -> tuple[int, int, int]:
        """Return how many files of episodes, evaluations and weights were ever written."""
        counts = self._read(
            "SELECT (SELECT count(*) FROM rollouts WHERE sha256 NOT NULL), "
            "(SELECT count(*) FROM evaluations), "
            "(SELECT count(*) FROM fits WHERE weights NOT NULL)"
        )[0]
        return tuple(counts)

    def digest(self) -> str:
        """Return a SHA-256 over everything that an interruption must not change."""
        content = {
            name: [
                {f.name: value for f, value in zip(fields(table), row, strict=True)}
                for row in map(astuple, self.rows(table))
            ]
            for table, name in TABLES.items()
        }
        for rows in content.values():
            for row in rows:
                for column in _VOLATILE & row.keys():
                    del row[column]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=30
    )
