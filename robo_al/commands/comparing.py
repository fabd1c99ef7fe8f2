"""`compare`: strategies x tasks x seeds."""

import argparse
import os
import re
from pathlib import Path

from robo_al.commands import AddCommand, Stopped, tell
from robo_al.dataset.folders import COMPARISON
from robo_al.errors import RoboALError, UserError


def add(command: AddCommand) -> None:
    """Add the command."""
    compare = command("compare", _compare, "run strategies x tasks x seeds, and tell which is best")
    source = compare.add_mutually_exclusive_group(required=True)
    source.add_argument("config", metavar="CONFIG", nargs="?", help="a YAML file, or a shipped one")
    source.add_argument(
        "--merge",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="folders of one comparison, other seeds in each, that are copied into --out",
    )
    compare.add_argument("--out", type=Path, metavar="DIR", help="a new or empty folder")
    compare.add_argument("--jobs", type=int, metavar="N", help="processes at a time (all cores)")
    compare.add_argument(
        "--reference", metavar="NAME", help="the strategy that the others are compared with"
    )
    compare.add_argument("--resume", action="store_true", help="go on with what is in the folder")
    for name, what in (("seeds", "more seeds"), ("budget", "more rollouts for each run")):
        compare.add_argument(
            f"--{name}", type=_more, default=0, metavar="+N", help=f"so many {what} than it has"
        )


def _more(text: str) -> int:
    """Return how many are added: 5 of `+5`.

    Raises:
        ArgumentTypeError: it is no number after a plus sign.
    """
    if not re.fullmatch(r"\+[1-9]\d{0,8}", text):
        raise argparse.ArgumentTypeError(f"expected a number to add, such as +5, given {text!r}")
    return int(text)


def _compare(options: argparse.Namespace) -> None:
    if options.merge:
        return _merge(options)
    from robo_al.config.sources import find_config
    from robo_al.dataset.folders import need_new_or_comparison
    from robo_al.dataset.start_folder import started_in, what_is_gone

    jobs = len(os.sched_getaffinity(0)) if options.jobs is None else options.jobs
    if jobs < 1:
        raise UserError(f"--jobs: {jobs}; at least 1 process is needed")
    source = find_config(options.config, "compare")
    folder = options.out or Path("runs") / source.stem
    need_new_or_comparison(folder, options.resume)  # before anything heavy is loaded
    tell([f"{source.stem}: its tasks and strategies are loaded"])
    here = Path.cwd()
    if not options.resume:
        return _run_comparison(source, folder, jobs, options, here)
    tell(what_is_gone(folder))
    with started_in(folder) as named:
        _run_comparison(here / source, named, jobs, options, here)


def _merge(options: argparse.Namespace) -> None:
    """Copy the runs of several folders into a new one, and write what they come to together."""
    if options.out is None:
        raise UserError("--merge: give --out, a new folder for all of their runs")
    from robo_al.compare.merging import merge

    merge(options.merge, options.out)
    _conclude(options.out)


def _run_comparison(
    source: Path, folder: Path, jobs: int, options: argparse.Namespace, here: Path
) -> None:
    """Run a comparison, write what it has come to, and say what failed."""
    from robo_al.compare.folder import begun_in
    from robo_al.compare.live import Progress
    from robo_al.compare.plan import load_plan
    from robo_al.compare.runner import run_comparison
    from robo_al.dataset.start_folder import where_from

    begun = begun_in(folder) if options.resume else None
    plan = load_plan(source, begun, options.seeds, options.budget).against(options.reference)
    specs = [spec for config in plan.configs.values() for spec in config.plugins]
    tell(where_from(specs, here))
    again = f"robo-al compare {options.config} --out {folder} --resume"
    try:
        with Progress(plan, jobs) as progress:
            run_comparison(plan, folder, jobs, progress, options.resume)
    except KeyboardInterrupt:
        _conclude(folder)
        raise Stopped(f"stopped; go on with: {again}") from None
    failed = _conclude(folder)
    if failed:
        from robo_al.report.words import count

        raise RoboALError(f"{count(failed, 'run')} failed, see above; try again with: {again}")


def _conclude(folder: Path) -> int:
    """Write what a comparison has come to and show it; return how many runs failed."""
    if not (folder / COMPARISON).exists():  # stopped before anything was written
        return 0
    from rich.console import Console

    from robo_al.compare.folder import planned
    from robo_al.compare.records import UNFINISHED
    from robo_al.compare.report import PAGE, render, write_comparison
    from robo_al.compare.runner import read_records

    plan = planned(folder)
    records = list(read_records(folder, plan).values())
    comparison = write_comparison(folder, plan, records)
    Console().print(render(comparison))
    print(f"report: {folder / PAGE}")
    return sum(record.failed not in (None, UNFINISHED) for record in records)
