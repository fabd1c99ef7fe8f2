"""The command line. Heavy libraries are imported by the commands that need them."""

import argparse
import itertools
import json
import os
import re
import sys
import sysconfig
import textwrap
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_al import __version__
from robo_al.errors import PluginError, RoboALError, StorageError, UserError
from robo_al_agent.terminal import tolerate

if TYPE_CHECKING:
    from robo_al.campaign.campaign import Campaign
    from robo_al.compare.plan import Plan
    from robo_al.config.schema import Config

GROUPS = (
    "envs",
    "encoders",
    "policies",
    "models",
    "acquisitions",
    "selectors",
    "costs",
    "oracles",
    "drivers",
)
"""Kinds of plugins."""
INTERRUPTED = 130
"""Exit code of a program that was stopped by Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    tolerate()
    options, rest = _parser().parse_known_args(arguments)
    if options.command == "run":
        options.arguments = rest
    elif rest:
        return _complain(f"unknown arguments: {' '.join(rest)}", UserError.exit_code)
    try:
        options.do(options)
    except RoboALError as error:
        return _complain(f"{error}{_place(error)}", error.exit_code)
    except KeyboardInterrupt:
        return _complain("stopped", INTERRUPTED)
    except BrokenPipeError:  # whoever reads has seen enough: `robo-al show DIR | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        place = _place(error)
        if not place:
            raise
        return _complain(f"{type(error).__name__}: {error}{place}", RoboALError.exit_code)
    return 0


def _complain(message: str, code: int) -> int:
    print(f"robo-al: {message}", file=sys.stderr)
    return code


def _place(error: BaseException) -> str:
    """Return where in a plugin's code an error began, if it did: ` (my/arm.py, line 3)`."""
    import robo_al_agent

    ours = [Path(__file__).parent, *map(Path, robo_al_agent.__path__)]
    others = [*ours, Path(sysconfig.get_paths()["stdlib"])]
    cause: BaseException | None = error
    while cause is not None:
        frames = [] if isinstance(cause, RoboALError) else traceback.extract_tb(cause.__traceback__)
        for frame in reversed(frames):
            path = Path(frame.filename)
            outside = not any(folder in path.parents for folder in others)
            if outside and "site-packages" not in path.parts and path.is_file():
                where = f"{frame.filename}, line {frame.lineno}"
                return "" if where in str(error) else f" ({where})"
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="robo-al", description="Active learning for robot rollouts.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"robo-al {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, do: Any, text: str, **more: Any) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, allow_abbrev=False, **more)
        made.set_defaults(do=do)
        return made

    run = command(
        "run",
        _run,
        "turn the loop until the task is solved or the budget is spent",
        usage="robo-al run CONFIG [--out DIR] [--key value ...]",
        epilog="CONFIG is a YAML file, or the name of a shipped one. Any entry of it can be "
        "overridden, before or after it: --seed 3 --model.samples 8 --strategy variance",
    )
    run.add_argument("--out", type=Path, metavar="DIR", help="a new or empty folder for the run")
    resume = command("resume", _resume, "go on with a run that was stopped or killed")
    resume.add_argument("folder", type=Path, metavar="DIR")
    compare = command("compare", _compare, "run strategies x tasks x seeds, and tell which is best")
    compare.add_argument("config", metavar="CONFIG", help="a YAML file, or a shipped one's name")
    compare.add_argument("--out", type=Path, metavar="DIR", help="a new or empty folder")
    compare.add_argument("--jobs", type=int, metavar="N", help="processes at a time (all cores)")
    compare.add_argument("--resume", action="store_true", help="go on with what is in the folder")
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
    listing = command("list", _list, "list what is installed under a name")
    listing.add_argument("group", choices=GROUPS)
    check = command("check", _check, "check that a plugin keeps its contract")
    check.add_argument("spec", metavar="SPEC", help="a name, module:Class or path.py:Class")
    check.add_argument("--group", choices=GROUPS, help="what it is, where that is not clear")
    check.add_argument("--env", default="pendulum", help="the env to check it on (%(default)s)")
    check.add_argument(
        "--parameters", type=_mapping, default={}, metavar="JSON", help="of its constructor"
    )
    check.add_argument("--move", action="store_true", help="a driver: let the robot move a little")
    check.add_argument(
        "--execute",
        action="store_true",
        help="an oracle: let it execute four short rollouts, though it is not `repeatable`",
    )
    return parser


# ---------------------------------------------------------------- run and resume


def _run(options: argparse.Namespace) -> None:
    from robo_al.config.load import find_config, load_config
    from robo_al.config.overrides import split_arguments
    from robo_al.dataset.folders import need_new

    source, overrides = split_arguments(options.arguments)
    name = find_config(source).stem
    need_new(options.out or Path("runs") / name / "new")  # before a plugin loads torch
    config = load_config(source, overrides)
    begun = Path("runs").exists()
    folder = options.out or _new_folder(name, config)
    try:
        campaign, told = _begun(config, folder)
    except BaseException:
        made = [] if options.out else [folder, *([] if begun else [folder.parent])]
        with suppress(OSError):  # nothing is in it, or it is kept
            for path in made:
                path.rmdir()
        raise
    from robo_al.build import load_run_config

    with campaign:
        print(told, flush=True)
        _turn(campaign, load_run_config(folder))


def _begun(config: "Config", folder: Path) -> "tuple[Campaign, str]":
    """Begin a campaign; return it, and how long a round of it will take."""
    from rich.console import Console

    trying = f"{config.env.name}: all parts are tried on a few steps before the run begins"
    with Console().status(trying):  # in a terminal, at once; torch takes seconds to load
        from robo_al.build import create_campaign, load_run_config
        from robo_al.report.forecast import foresee

        campaign = create_campaign(config, folder)
        try:
            return campaign, foresee(load_run_config(folder))
        except BaseException:
            campaign.close()
            raise


def _resume(options: argparse.Namespace) -> None:
    from robo_al.dataset.folders import need_run
    from robo_al.dataset.start_folder import started_in, what_is_gone, where_from

    need_run(options.folder)
    here = Path.cwd()
    _tell(what_is_gone(options.folder))
    with started_in(options.folder) as folder:
        from robo_al.build import load_run_config, open_campaign

        config = load_run_config(folder)
        _tell(where_from(config.plugins, here))
        with open_campaign(folder) as campaign:
            _turn(campaign, config)


def _tell(lines: Sequence[str]) -> None:
    for line in lines:
        print(line)


def _new_folder(name: str, config: "Config") -> Path:
    """Make the first of `runs/<config>-<strategy>-seed<seed>-<n>` that does not exist.

    Raises:
        StorageError: it cannot be made.
    """
    from robo_al.dataset.files import storage

    strategy = re.sub(r"\W+", "_", config.strategy.short_name.rpartition(":")[2])
    stem = f"{name}-{strategy}-seed{config.seed}"
    for n in itertools.count(1):
        folder = Path("runs") / f"{stem}-{n}"
        with storage(folder):
            try:
                folder.mkdir(parents=True)  # by making it, one of several processes gets it
            except FileExistsError:
                continue
        return folder
    raise AssertionError


def _turn(campaign: "Campaign", config: "Config") -> None:
    """Turn the loop, write the report, and say what was learned."""
    from robo_al import loop
    from robo_al.build import make_oracle
    from robo_al.report.progress import Progress

    folder = campaign.dataset.folder
    title = f"{config.env.name}, {config.strategy.short_name}, seed {config.seed} -> {folder}"
    rollouts, transitions, _ = campaign.dataset.ledger.totals()
    done = (campaign.rounds, rollouts, transitions)
    progress = Progress(title, config.rounds, done, campaign.parts.task.threshold)
    try:
        with progress, make_oracle(config) as oracle:
            loop.run(campaign, oracle, progress)
    except KeyboardInterrupt:
        raise Stopped(f"stopped; go on with: robo-al resume {folder}") from None
    except StorageError as error:
        raise StorageError(
            f"{error}; nothing recorded is lost; go on with: robo-al resume {folder}"
        ) from error
    from robo_al.report.page import write_report  # plots: not before they are needed
    from robo_al.report.summary import summarise, verdict
    from robo_al.report.terminal import say

    report = write_report(folder)
    say(verdict(summarise(folder)))
    print(f"report: {report}")


class Stopped(RoboALError):
    """Ctrl-C; the message says how to go on."""

    exit_code = INTERRUPTED


def _compare(options: argparse.Namespace) -> None:
    from robo_al.config.load import find_config
    from robo_al.dataset.folders import need_new_or_comparison
    from robo_al.dataset.start_folder import started_in, what_is_gone

    jobs = len(os.sched_getaffinity(0)) if options.jobs is None else options.jobs
    if jobs < 1:
        raise UserError(f"--jobs: {jobs}; at least 1 process is needed")
    source = find_config(options.config, "compare")
    folder = options.out or Path("runs") / source.stem
    need_new_or_comparison(folder, options.resume)  # before anything heavy is loaded
    here = Path.cwd()
    if not options.resume:
        return _run_comparison(source, folder, jobs, options, here)
    _tell(what_is_gone(folder))
    with started_in(folder) as named:
        _run_comparison(here / source, named, jobs, options, here)


def _run_comparison(
    source: Path, folder: Path, jobs: int, options: argparse.Namespace, here: Path
) -> None:
    """Run a comparison, write what it has come to, and say what failed."""
    from robo_al.compare.live import Progress
    from robo_al.compare.plan import load_plan
    from robo_al.compare.runner import run_comparison
    from robo_al.dataset.start_folder import where_from

    plan = load_plan(source)
    specs = [spec for config in plan.configs.values() for spec in config.plugins]
    _tell(where_from(specs, here))
    again = f"robo-al compare {options.config} --out {folder} --resume"
    try:
        with Progress(plan, jobs) as progress:
            run_comparison(plan, folder, jobs, progress, options.resume)
    except KeyboardInterrupt:
        _conclude(plan, folder)
        raise Stopped(f"stopped; go on with: {again}") from None
    failed = _conclude(plan, folder)
    if failed:
        from robo_al.report.words import count

        raise RoboALError(f"{count(failed, 'run')} failed, see above; try again with: {again}")


def _conclude(plan: "Plan", folder: Path) -> int:
    """Write what a comparison has come to and show it; return how many runs failed."""
    from rich.console import Console

    from robo_al.compare.records import UNFINISHED
    from robo_al.compare.report import render, write_comparison
    from robo_al.compare.runner import read_records

    if not folder.is_dir():  # stopped before anything was written
        return 0
    records = list(read_records(folder, plan).values())
    comparison = write_comparison(
        folder, plan.tasks, plan.strategies, plan.seeds, plan.bounds, records
    )
    Console().print(render(comparison))
    print(f"report: {folder / 'comparison.html'}")
    return sum(record.failed not in (None, UNFINISHED) for record in records)


# ---------------------------------------------------------------- show, list and check


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


def _list(options: argparse.Namespace) -> None:
    from robo_al.plugins import known

    found = known(options.group)
    width = max(map(len, found), default=0)
    for name, target in found.items():
        print(f"{name:{width}}  {target}")


def _check(options: argparse.Namespace) -> None:
    from robo_al.checks import check_plugin
    from robo_al.checks.groups import groups_of
    from robo_al.types import EnvSpec

    group = options.group
    if group is None and "python" in options.parameters:  # which only an env can have
        group = "envs"
    groups = [group] if group else groups_of(options.spec, GROUPS)
    for group in groups:
        if group == "drivers":
            print(_check_driver(options))
            print(f"{options.spec} keeps the contract of {group}")
            continue
        env = EnvSpec(options.env)
        report = check_plugin(group, options.spec, options.parameters, env, options.execute)
        for note in report.notes:
            print(f"note: {note}")
        limit = ", as far as it was tried" if report.not_tried else ""
        print(f"{options.spec} keeps the contract of {group}{limit}")
        print(textwrap.indent(str(report), "  "))


def _check_driver(options: argparse.Namespace) -> object:
    """Check a driver of a robot's agent; return what was seen of it."""
    from robo_al_agent.conformance import check_driver
    from robo_al_agent.errors import AgentError
    from robo_al_agent.loading import make_driver

    try:
        driver = make_driver({"name": options.spec, **options.parameters}, Path.cwd())
        return check_driver(driver, move=options.move)
    except AgentError as error:
        raise PluginError(str(error)) from error.__cause__


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f'{text!r} is no JSON object like {{"port": "/dev/x"}}')
    return value


if __name__ == "__main__":
    sys.exit(main())
