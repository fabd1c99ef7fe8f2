"""`next`: which demonstrations a person should be asked for, given those that there are."""

import argparse
import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robo_al.commands import AddCommand, tell
from robo_al.errors import UserError

if TYPE_CHECKING:
    from robo_al.advice.ranking import Asked
    from robo_al.dataset.recordings.recording import Recording
    from robo_al.types import Context

STARTS = 200
"""Of an env, to choose from."""


def add(command: AddCommand) -> None:
    """Add the command."""
    asked = command(
        "next",
        _next,
        "tell which demonstrations would teach a policy most",
        epilog="DATA is a run folder, a folder of runs, a LeRobot v3 or a Minari dataset. Starts "
        "are those of --pool or --env; without either, those of the env that the runs were made in",
    )
    asked.add_argument("data", type=Path, metavar="DATA")
    asked.add_argument("-k", type=int, default=10, help="how many, as one batch (10)")
    starts = asked.add_mutually_exclusive_group()
    starts.add_argument(
        "--pool",
        type=Path,
        metavar="FILE",
        help="a CSV table of starts: a column for each number that is observed",
    )
    starts.add_argument("--env", metavar="SPEC", help=f"an env, of which {STARTS} starts are drawn")
    asked.add_argument("--policy", default="bc", metavar="SPEC", help="that is to be learned (bc)")
    asked.add_argument(
        "--column", metavar="NAME", help="of a LeRobot dataset, what is observed: an embedding"
    )
    asked.add_argument("--csv", type=Path, metavar="FILE", help="write the list there too")


def _next(options: argparse.Namespace) -> None:
    target = options.csv
    if target is not None and (
        target.is_dir() or not target.parent.is_dir() or not os.access(target.parent, os.W_OK)
    ):
        raise UserError(f"--csv {target}: no file can be written there")
    if options.k < 1:
        raise UserError(f"-k {options.k}: at least 1 demonstration can be asked for")
    from robo_al.dataset.recordings.reading import read_recording

    recording = read_recording(options.data, column=options.column)
    contexts = _contexts(options, recording)
    if options.k > len(contexts):
        raise UserError(f"-k {options.k}: there are only {len(contexts)} starts to choose from")
    from robo_al.advice.ranking import next_demonstrations
    from robo_al.report.words import count

    known = count(len(recording.episodes), "episode")
    tell([f"{options.data}: {options.policy} learns from {known}"])
    asked = next_demonstrations(recording, contexts, options.k, options.policy)
    if target is not None:
        from robo_al.dataset.files import write_atomically

        write_atomically(target, _table(recording, asked).encode())
    _show(asked, len(contexts))
    if target is not None:
        print(f"table: {target}")


def _contexts(options: argparse.Namespace, recording: "Recording") -> "list[Context]":
    """Return the starts to choose from."""
    from robo_al.advice.starts import draw_starts, read_starts
    from robo_al.types import EnvSpec

    channels = recording.task.channels
    if options.pool is not None:
        return read_starts(options.pool, channels)
    if options.env is not None:
        return draw_starts(EnvSpec(options.env), STARTS, channels)
    if recording.task.env.name == "replay":
        raise UserError(
            f"{options.data}: the starts to choose from are not known: give them as a table, "
            "--pool FILE, or the env that has them, --env SPEC"
        )
    return draw_starts(recording.task.env, STARTS, channels)


def _show(asked: "Sequence[Asked]", starts: int) -> None:
    """Print the list."""
    from robo_al.report.terminal import say
    from robo_al.report.words import number

    say(f"The {len(asked)} of {starts} starts that tell most together, the first one first:")
    for place, one in enumerate(asked, start=1):
        where = f"start {one.context.seed}"
        options = [
            f"{name} {' '.join(number(value) for value in values)}"
            for name, values in one.context.options.items()
        ]
        say(f"{place}. {', '.join([where, *options])}: {number(one.information)} nats")
        say(f"   {one.why}")


def _table(recording: "Recording", asked: "Sequence[Asked]") -> str:
    """Return the list as CSV."""
    names = [channel.name for channel in recording.task.channels]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    measures = ["information", "alone", "doubt", "nearest_episode", "distance", "why"]
    rows.writerow(["rank", "start", *names, *measures])
    for place, one in enumerate(asked, start=1):
        seen = one.context.observation.tolist()
        told = [one.information, one.alone, one.doubt, one.nearest, one.distance, one.why]
        rows.writerow([place, one.context.seed, *seen, *told])
    return text.getvalue()
