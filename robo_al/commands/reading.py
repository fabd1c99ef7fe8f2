"""`report`, `show` and `inbox`: look at what a folder has, and decide about it."""

import argparse
import json
from pathlib import Path

from robo_al.commands import AddCommand


def add(command: AddCommand) -> None:
    """Add the commands."""
    report = command("report", _report, "write the page of a run or a comparison again")
    report.add_argument("folder", type=Path, metavar="DIR")
    show = command("show", _show, "tell what a run has come to")
    show.add_argument("folder", type=Path, metavar="DIR")
    show.add_argument("--json", action="store_true", help="as one JSON object")
    inbox = command("inbox", _inbox, "decide about rollouts that may have run, or not to their end")
    inbox.add_argument("folder", type=Path, metavar="DIR")
    choice = inbox.add_mutually_exclusive_group()
    for name, text in (
        ("accept", "learn from the part of it that was measured"),
        ("discard", "leave it out for good"),
        ("again", "let it run again, under a new id, when the campaign goes on"),
    ):
        choice.add_argument(f"--{name}", metavar="ID", help=text)


def _report(options: argparse.Namespace) -> None:
    from robo_al.dataset.files import is_there
    from robo_al.dataset.folders import COMPARISON, need_run

    folder = options.folder
    if is_there(folder / COMPARISON):
        from robo_al.compare.folder import planned
        from robo_al.compare.report import PAGE, write_comparison
        from robo_al.compare.runner import read_records

        plan = planned(folder)
        records = read_records(folder, plan).values()
        write_comparison(folder, plan.tasks, plan.strategies, plan.seeds, plan.bounds, records)
        print(f"report: {folder / PAGE}")
        return
    need_run(folder)  # before what draws is loaded
    from robo_al.dataset.start_folder import started_in
    from robo_al.report.page import write_report

    with started_in(folder) as named:  # its env may be a relative file, which draws the pictures
        report = write_report(named)
    print(f"report: {report}")


def _show(options: argparse.Namespace) -> None:
    from robo_al.report.summary import render, summarise

    summary = summarise(options.folder)
    if options.json:
        print(json.dumps(summary, indent=2, allow_nan=False))
        return
    from rich.console import Console

    Console().print(render(summary))


def _inbox(options: argparse.Namespace) -> None:
    from contextlib import closing

    from robo_al.dataset import decisions as inbox
    from robo_al.dataset.dataset import Dataset
    from robo_al.report.terminal import say
    from robo_al.report.words import count

    with closing(Dataset(options.folder)) as dataset:
        for row in dataset.take_back():
            print(f"{row.id}: its file is what was written again; it is {row.state}")
        for name in ("accept", "discard", "again"):
            rollout = getattr(options, name)
            if rollout is not None:
                row = getattr(inbox, name)(dataset, rollout)
                print(f"{rollout}: {row.state}" + (f" as {row.id}" if row.id != rollout else ""))
                return
        rows = inbox.waiting(dataset)
        for row in rows:
            measured = f"{row.steps} of {count(row.horizon, 'step')} measured"
            say(f"{row.id}  {measured if row.steps else 'nothing measured'}  {row.reason}")
        say(
            f"decide with: robo-al inbox {options.folder} --accept|--discard|--again ID"
            if rows
            else "No rollout waits for a decision."
        )
