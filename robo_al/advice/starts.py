"""The starts that a person could be asked to demonstrate from: a table, or an env's own."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from robo_al.errors import UserError
from robo_al.tasks import contexts_from
from robo_al.tasks.shelf import borrowed
from robo_al.types import Channel, Context, EnvSpec


def read_starts(path: Path, channels: Sequence[Channel]) -> list[Context]:
    """Read a table of starts, one a row, with a column for each number that is observed.

    Args:
        path: of a CSV file; its first row names the columns, in any order.
        channels: of the observation.

    Returns:
        Contexts whose seed is the number of their row, from 1.

    Raises:
        UserError: no such file, no starts in it, other columns, or what is no finite number.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, restkey="", strict=True)
            rows = list(table)
            columns = list(table.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a table of starts: {error}") from error
    names = [channel.name for channel in channels]
    wrong = [f"no column {name!r}" for name in names if name not in columns]
    wrong += [f"{name!r} is not observed" for name in columns if name not in names]
    wrong += [f"{name!r} is there twice" for name in names if columns.count(name) > 1]
    if wrong:
        raise UserError(
            f"{path}: its columns are to be the numbers that were observed, {', '.join(names)}: "
            f"{'; '.join(wrong)}"
        )
    if not rows:
        raise UserError(f"{path}: no starts in it; each is one row below the names of the columns")
    return [
        Context(_numbers(path, place, row, names), place) for place, row in enumerate(rows, start=1)
    ]


def _numbers(path: Path, place: int, row: Mapping[str, str], names: Sequence[str]) -> np.ndarray:
    """Return the numbers of a row [O]; raises `UserError` where one is none."""
    if "" in row or None in row.values():
        raise UserError(f"{path}: row {place} has not one value for each of its columns")
    found = np.full(len(names), np.nan)
    for i, name in enumerate(names):
        try:
            found[i] = float(row[name])
        except ValueError:
            pass
        if not np.isfinite(found[i]):
            raise UserError(f"{path}: row {place}: {name} is {row[name]!r}; no finite number")
    return found


def draw_starts(spec: EnvSpec, count: int, channels: Sequence[Channel]) -> list[Context]:
    """Return where an env's reset puts the seeds from 1 on.

    Args:
        spec: of the env.
        count: how many.
        channels: of the observations that were recorded.

    Raises:
        UserError: it observes other numbers.
        PluginError: it cannot be made, or its reset raises.
    """
    with borrowed(spec) as env:
        contexts = contexts_from(env, range(1, count + 1))
    size = len(contexts[0].observation)
    if size != len(channels):
        raise UserError(
            f"env {spec.name}: it observes {size} numbers, and {len(channels)} were recorded; "
            "give the env that was recorded, or a table of starts (--pool)"
        )
    return contexts
