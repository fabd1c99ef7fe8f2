"""The ledger: the durable record of every rollout, fit and evaluation, in one SQLite file.

Tables are the dataclasses below, column for field. One connection, rollback journal, and
`synchronous=EXTRA`: like FULL, and the folder is synced after a commit, so that what was
acknowledged survives a power cut.
"""

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from robo_al.dataset.files import storage, sync_folder
from robo_al.errors import RunFolderError

FORMAT = 3
"""Version of the run folder's format, in `PRAGMA user_version`."""

STATES = (
    "selected",
    "dispatched",
    "recorded",
    "failed",
    "aborted",
    "quarantined",
    "indeterminate",
)
"""Of a rollout. Only what is `recorded` is trained on."""
LOST = STATES[3:]
"""States of rollouts that gave no data."""


@dataclass(frozen=True)
class RolloutRow:
    """One selected rollout: why it was chosen, how it went, and what it came from."""

    id: str
    """`r0003-02`: the third rollout of round 3."""
    round: int
    """From 1."""
    index: int
    """Place in its batch, best first, from 0."""
    state: str
    """One of `STATES`."""
    context: str
    """JSON: observation, seed and options of the start."""
    controller: str
    """JSON: `kind` open_loop with its actions, or streamed with its policy and member."""
    horizon: int
    """Steps."""
    seed: int
    content_hash: str
    """SHA-256 of context, controller, horizon and seed."""
    strategy: str
    """By its short name; `explorer` where no model chose."""
    acquisition: str
    """`none` where the selector does not look at scores."""
    selector: str
    policy: str
    model: str
    oracle: str
    config_hash: str
    versions: str
    model_hash: str | None
    """SHA-256 of the weights that chose it; null where no model chose or it cannot be saved."""
    score: float | None
    rank: int | None
    """Place of its score among all candidates of the round, from 1."""
    gain: float | None
    """What it added to those before it in the batch."""
    predicted_information: float | None
    """Nats, of the imagined rollout under the model that chose it."""
    predicted_seconds: float | None = None
    """To execute it, where the strategy has a cost."""
    predicted_risk: float | None = None
    """That it breaks the task's constraint, where the strategy has one."""
    realised_information: float | None = None
    """Nats, of what happened, under the model at that time, before it was retrained."""
    sha256: str | None = None
    """Of the episode file; null where there is none."""
    steps: int | None = None
    total_reward: float | None = None
    reason: str | None = None
    """Of a state other than recorded."""
    robot_seconds: float | None = None
    wall_seconds: float | None = None
    """From dispatch to recording."""
    epoch: int | None = None
    """Which opening of the folder dispatched it last."""
    sequence: int | None = None
    """Order of recording, from 1."""


@dataclass(frozen=True)
class RoundRow:
    """One selection."""

    round: int
    scores: str | None
    """JSON: [N] scores, null for one that is not finite; null where no model chose."""
    record: str | None = None
    """JSON: the round's line in metrics.jsonl, once the round is complete."""
    after: int | None = None
    """`sequence` of the last rollout that was recorded when it was selected; null: none was."""


@dataclass(frozen=True)
class FitRow:
    """One retraining."""

    number: int
    """From 1."""
    round: int
    rollouts: int
    transitions: int
    data_hash: str
    """SHA-256 of the hashes of the episodes trained on."""
    weights: str | None
    """Name of the file in `models/`, where the model can be saved."""
    model_hash: str | None
    """SHA-256 of that file."""
    loss: float | None
    details: str
    """JSON."""
    held_out: str | None
    """JSON: errors of the old and the new model on the last evaluation; null without one."""


@dataclass(frozen=True)
class EvaluationRow:
    """One evaluation of the current policy on the fixed starts."""

    round: int
    rollouts: int
    """Recorded when it began: what the policy could have learned from."""
    transitions: int
    mean_return: float | None
    """Null if any of its rollouts failed."""
    returns: str
    """JSON: one for each start, null for one that failed."""
    sha256: str
    """Of its file in `evaluations/`."""


Row = TypeVar("Row", RolloutRow, RoundRow, FitRow, EvaluationRow)
_TABLES: dict[type, str] = {
    RolloutRow: "rollouts",
    RoundRow: "rounds",
    FitRow: "fits",
    EvaluationRow: "evaluations",
}
_VOLATILE = {"wall_seconds", "epoch", "sequence", "record"}
"""Columns that depend on the clock, on interruptions or on the order of completion."""
_SQL = {int: "INTEGER", float: "REAL", str: "TEXT"}
_INDEXES = (
    'recorded ON rollouts (state, round, "index", id, sha256, steps)',
    'batches ON rollouts (round, "index")',
    "sequences ON rollouts (sequence)",
    "robot_times ON rollouts (robot_seconds)",
    "open_rounds ON rounds (round) WHERE record IS NULL",
    "fits_of_rounds ON fits (round)",
    "fits_by_model ON fits (model_hash)",
)
"""So that no round reads rows of what is recorded: what is counted is counted in an index."""


class Ledger:
    """An open ledger; see the module's docstring."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def create(cls, path: Path) -> "Ledger":
        """Make an empty ledger.

        Raises:
            StorageError: the disk is full or refuses.
        """
        ledger = cls(path, _connect(path, "rwc"))
        with storage(path):
            ledger._connection.execute("PRAGMA synchronous=EXTRA")
            with ledger.transaction():
                for table, name in _TABLES.items():
                    ledger._connection.execute(f"CREATE TABLE {name} ({_columns(table)}) STRICT")
                ledger._index()
                ledger._connection.execute("CREATE TABLE openings (epoch INTEGER PRIMARY KEY)")
                ledger._connection.execute(f"PRAGMA user_version={FORMAT}")
            sync_folder(path.parent)
        return ledger

    @classmethod
    def open(cls, path: Path, read_only: bool = False) -> "Ledger":
        """Open a ledger; read-only ones may be open while a campaign writes.

        Raises:
            RunFolderError: there is none, it is damaged, or of another version.
        """
        if not path.is_file():
            raise RunFolderError(f"{path.parent}: no run here (there is no {path.name})")
        try:
            # A reader too must be able to roll back what a killed process left half-written.
            connection = _connect(path, "rw")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == FORMAT:
                connection.execute("SELECT count(*) FROM rollouts").fetchone()
        except sqlite3.DatabaseError as error:
            raise RunFolderError(f"{path}: cannot be read as a ledger: {error}") from error
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
                    ledger._index()  # an earlier robo-al made fewer
            except BaseException:
                connection.close()
                raise
        return ledger

    def _index(self) -> None:
        for index in _INDEXES:
            self._connection.execute(f"CREATE INDEX IF NOT EXISTS {index}")

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

    def insert(self, *rows: RolloutRow | RoundRow | FitRow | EvaluationRow) -> None:
        """Add rows, inside a transaction."""
        for row in rows:
            values = astuple(row)
            marks = ", ".join("?" * len(values))
            self._connection.execute(f"INSERT INTO {_TABLES[type(row)]} VALUES ({marks})", values)

    def update(self, table: type[Row], key: str | int, **changes: Any) -> None:
        """Change columns of one row, inside a transaction."""
        name = fields(table)[0].name
        assignments = ", ".join(f'"{column}" = ?' for column in changes)
        cursor = self._connection.execute(
            f'UPDATE {_TABLES[table]} SET {assignments} WHERE "{name}" = ?',
            (*changes.values(), key),
        )
        assert cursor.rowcount == 1, f"{table.__name__} {key}"

    def new_epoch(self) -> int:
        """Count this opening; return its number, from 1."""
        with self.transaction():
            cursor = self._connection.execute("INSERT INTO openings DEFAULT VALUES")
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def next_sequence(self) -> int:
        """Return the place of the next rollout in the order of recording, from 1."""
        found = self._connection.execute("SELECT max(sequence) FROM rollouts").fetchone()[0]
        return int(found or 0) + 1

    # ------------------------------------------------------------ reading

    def rows(self, table: type[Row], **where: Any) -> list[Row]:
        """Return rows in the order of rounds, whose columns are these values (None: null)."""
        order = {RolloutRow: 'round, "index"', FitRow: "number"}.get(table, "round")
        tests = [f'"{name}" {"IS NULL" if x is None else "= ?"}' for name, x in where.items()]
        cursor = self._connection.execute(
            f"SELECT * FROM {_TABLES[table]} WHERE {' AND '.join(tests) or '1'} ORDER BY {order}",
            tuple(value for value in where.values() if value is not None),
        )
        return [table(*values) for values in cursor.fetchall()]

    def after(self, table: type[Row], key: int) -> list[Row]:
        """Return the rounds, fits or evaluations after one of them."""
        name = fields(table)[0].name
        cursor = self._connection.execute(
            f"SELECT * FROM {_TABLES[table]} WHERE {name} > ? ORDER BY {name}", (key,)
        )
        return [table(*values) for values in cursor.fetchall()]

    def under_way(self) -> list[RolloutRow]:
        """Return the rollouts that are selected or dispatched, in the order of rounds."""
        cursor = self._connection.execute(
            "SELECT * FROM rollouts WHERE state IN ('selected', 'dispatched') "
            'ORDER BY round, "index"'
        )
        return [RolloutRow(*values) for values in cursor.fetchall()]

    def episodes(self) -> list[tuple[int, int, str, str]]:
        """Return round, index, id and hash of all that is recorded, in that order."""
        return self._connection.execute(
            "SELECT round, \"index\", id, sha256 FROM rollouts WHERE state = 'recorded' "
            'ORDER BY round, "index"'
        ).fetchall()

    def row(self, table: type[Row], key: str | int) -> Row | None:
        """Return the row with this key, if there is one."""
        return next(iter(self.rows(table, **{fields(table)[0].name: key})), None)

    def last(self, table: type[Row]) -> Row | None:
        """Return the newest row of rounds, fits or evaluations."""
        key = fields(table)[0].name
        found = self._connection.execute(f"SELECT max({key}) FROM {_TABLES[table]}").fetchone()[0]
        return None if found is None else self.row(table, found)

    def states(self) -> dict[str, int]:
        """Return how many rollouts are in each state; all states are listed."""
        counts = self._connection.execute("SELECT state, count(*) FROM rollouts GROUP BY state")
        return dict.fromkeys(STATES, 0) | dict(counts.fetchall())

    def totals(self) -> tuple[int, int, float]:
        """Return rollouts and transitions recorded, and seconds of robot time for all rollouts."""
        count, steps = self._connection.execute(
            "SELECT count(*), sum(steps) FROM rollouts WHERE state = 'recorded'"
        ).fetchone()
        # in the order of their values: the sum does not depend on the order of completion
        seconds = self._connection.execute(
            "SELECT sum(robot_seconds) FROM (SELECT robot_seconds FROM rollouts "
            "WHERE robot_seconds NOT NULL ORDER BY robot_seconds)"
        ).fetchone()[0]
        return count, steps or 0, seconds or 0.0

    def digest(self) -> str:
        """Return a SHA-256 over everything that an interruption must not change."""
        content = {
            name: [
                {f.name: value for f, value in zip(fields(table), row, strict=True)}
                for row in map(astuple, self.rows(table))
            ]
            for table, name in _TABLES.items()
        }
        for rows in content.values():
            for row in rows:
                for column in _VOLATILE & row.keys():
                    del row[column]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def solved_at(
    evaluations: Sequence[EvaluationRow], threshold: float | None
) -> EvaluationRow | None:
    """Return the second of the first two evaluations in a row at or above the threshold."""
    if threshold is None:
        return None
    good = [row.mean_return is not None and row.mean_return >= threshold for row in evaluations]
    for i in range(1, len(good)):
        if good[i - 1] and good[i]:
            return evaluations[i]
    return None


def to_json(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Return compact JSON in which numbers that are not finite are null."""
    return json.dumps(_finite(value), allow_nan=False, sort_keys=True, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    with storage(path):
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=30
        )


def _columns(table: type) -> str:
    columns = []
    for position, field in enumerate(fields(table)):
        kind = str(getattr(field.type, "__name__", field.type)).split(" |")[0]
        sql = next(sql for python, sql in _SQL.items() if python.__name__ == kind)
        suffix = " PRIMARY KEY" if position == 0 else ""
        suffix += "" if "None" in str(field.type) else " NOT NULL"
        columns.append(f'"{field.name}" {sql}{suffix}')
    return ", ".join(columns)
