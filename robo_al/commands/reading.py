"""`report`, `show` and `inbox`: look at what a folder has, and decide about it."""

import argparse
import json
from pathlib import Path

from robo_al.commands import AddCommand
from robo_al.errors import UserError


def add(command: AddCommand) -> None:
    """Add the commands."""
    report = command("report", _report, "write the page of a run or a comparison again")
    report.add_argument("folder", type=Path, metavar="DIR")
    report.add_argument(
        "--reference",
        metavar="NAME",
        help="of a comparison: the strategy that the others are compared with",
    )
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

        plan = planned(folder).against(options.reference)
        records = read_records(folder, plan).values()
        write_comparison(folder, plan, records)
        print(f"report: {folder / PAGE}")
        return
    need_run(folder)  # before what draws is loaded
    if options.reference is not None:
        raise UserError(f"--reference: a comparison has one, and {folder} is a run")
    from robo_al.dataset.start_folder import started_in
    from robo_al.report.page import write_report

    with started_in(folder) as named:  # its env may be a relative file, which draws the pictures
        report = write_report(named)
    print(f"report: {report}")


def _show(options: argparse.Namespace) -> None:
    from robo_al.dataset.view import RunView
    from robo_al.report.summary import render, summarise

    summary = summarise(RunView(options.folder))
    if options.json:
        print(json.dumps(summary, indent=2, allow_nan=False))
        return
    from rich.console import Console

    Console().print(render(summary))


def _inbox(options: argparse.Namespace) -> None:
    from robo_al.dataset.view import RunView
    from robo_al.report.terminal import say
    from robo_al.report.words import count

    for name in ("accept", "discard", "again"):
        if (rollout := getattr(options, name)) is not None:
            say(_decide(options.folder, name, rollout))
            return
    run = RunView(options.folder)
    for row in run.waiting:
        measured = f"{row.steps} of {count(row.horizon, 'step')} measured"
        say(f"{row.id}  {measured if row.steps else 'nothing measured'}  {row.reason}")
        decision = run.decisions.get(row.id)
        if decision is not None:
            refused = f", which was refused: {decision.refused}" if decision.refused else ""
            say(f"  decided: {decision.choice}{refused}")
    say(
        f"decide with: robo-al inbox {options.folder} --accept|--discard|--again ID"
        if run.waiting
        else "No rollout waits for a decision."
    )


def _decide(folder: Path, choice: str, rollout: str) -> str:
    """Do what was decided, or leave it for the campaign that runs; return what to tell."""
    from contextlib import closing

    from robo_al.dataset import decisions
    from robo_al.dataset.dataset import Dataset
    from robo_al.errors import FolderInUseError

    try:
        with closing(Dataset(folder)) as dataset:
            row = decisions.CHOICES[choice](dataset, rollout)
    except FolderInUseError:
        decisions.leave(folder, choice, rollout)
        when = "" if choice == "again" else "before it retrains, or "
        return f"{rollout}: {choice} is noted; the campaign does it {when}when it is resumed"
    return f"{rollout}: {row.state}" + (f" as {row.id}" if row.id != rollout else "")
