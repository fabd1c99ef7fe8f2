"""The ledger's tables in SQLite: how they are made, and how those of an earlier version grow."""

import sqlite3
from dataclasses import fields

from robo_al.dataset.rows import TABLES, RolloutState

_FORMER = {"opening": "epoch"}
"""What an earlier robo-al called a column."""
_SQL = {int: "INTEGER", float: "REAL", str: "TEXT"}
_INDEXES = (
    'recorded ON rollouts (state, round, "index", id, sha256, steps)',
    'batches ON rollouts (round, "index")',
    "sequences ON rollouts (sequence)",
    "robot_times ON rollouts (robot_seconds)",
    "open_rounds ON rounds (round) WHERE record IS NULL",
    "fits_of_rounds ON fits (round)",
    "fits_by_model ON fits (model_hash)",
    "damaged ON rollouts (damaged) WHERE damaged = 1",
    "labels_of_rollouts ON labels (rollout)",
)
"""So that no round reads rows of what is recorded: what is counted is counted in an index."""


def make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables, columns and indexes that there are not yet, inside a transaction.

    An earlier robo-al made fewer. A column that is added is null in the rows that are there.
    """
    for table, name in TABLES.items():
        columns = _columns(table)
        wanted = ", ".join(columns.values())
        connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({wanted}) STRICT")
        present = _present(connection, table)
        for column in columns.keys() & _FORMER.keys():
            former = _FORMER[column]
            if former in present:
                connection.execute(f"ALTER TABLE {name} RENAME COLUMN {former} TO {column}")
                present.add(column)
        for missing in columns.keys() - present:
            connection.execute(f"ALTER TABLE {name} ADD COLUMN {columns[missing]}")
    connection.execute("CREATE TABLE IF NOT EXISTS openings (epoch INTEGER PRIMARY KEY)")
    for index in _INDEXES:
        connection.execute(f"CREATE INDEX IF NOT EXISTS {index}")


def selection(connection: sqlite3.Connection, table: type) -> str:
    """Return the SELECT that reads a table's rows as its dataclass, whichever version made it.

    Columns and tables that are not there read as null and as empty; those of a later version are
    not read.
    """
    present = _present(connection, table)
    names = [field.name for field in fields(table)]
    read = [f'{_read(name, present)} AS "{name}"' for name in names]
    source = TABLES[table] if present else "(SELECT 1 LIMIT 0)"
    return f"SELECT {', '.join(read)} FROM {source}"


def _read(name: str, present: set[str]) -> str:
    """Return what a column is read from, whichever version made the table."""
    there = [column for column in (name, _FORMER.get(name)) if column in present]
    return f'"{there[0]}"' if there else "NULL"


def _present(connection: sqlite3.Connection, table: type) -> set[str]:
    """Return the names of the columns that a table has; empty where there is no such table."""
    return {row[1] for row in connection.execute(f"PRAGMA table_info({TABLES[table]})")}


def _columns(table: type) -> dict[str, str]:
    """Return the definition of each column, by its name."""
    columns = {}
    for position, field in enumerate(fields(table)):
        kind = str if field.type is RolloutState else field.type
        name = str(getattr(kind, "__name__", kind)).split(" |")[0]
        sql = next(sql for python, sql in _SQL.items() if python.__name__ == name)
        suffix = " PRIMARY KEY" if position == 0 else ""
        suffix += "" if "None" in str(field.type) else " NOT NULL"
        columns[field.name] = f'"{field.name}" {sql}{suffix}'
    return columns
