"""`run` and `resume`: turn the loop."""

import argparse
import itertools
import re
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from robo_al.commands import AddCommand, Stopped, tell
from robo_al.errors import RunFolderError, StorageError

if TYPE_CHECKING:
    from robo_al.campaign.campaign import Campaign
    from robo_al.config.schema import Config
    from robo_al.protocols import Oracle


def add(command: AddCommand) -> None:
    """Add the commands."""
    run = command(
        "run",
        _run,
        "turn the loop until the task is solved or the budget is spent",
        usage="robo-al run CONFIG [--out DIR] [--key value ...]",
        epilog="CONFIG is a YAML file, the name of a shipped one, or an env such as "
        "gymnasium:Pendulum-v1. Any entry of it can be overridden, before or after it: --seed 3 "
        "--model.samples 8 --strategy variance",
    )
    run.add_argument("--out", type=Path, metavar="DIR", help="a new or empty folder for the run")
    command(
        "resume",
        _resume,
        "go on with a run that was stopped or killed, or has spent its budget",
        usage="robo-al resume DIR [--key value ...]",
        epilog="Entries that say how long a run goes on, how it is watched or by which means it "
        "computes can be overridden: --rounds +5 for five more rounds than it has now",
    )


def _run(options: argparse.Namespace) -> None:
    from robo_al.config.overrides import split_arguments
    from robo_al.config.sources import short_name
    from robo_al.dataset.folders import need_new

    source, overrides = split_arguments(options.arguments)
    name = short_name(source)
    need_new(options.out or Path("runs") / name / "new")  # before a plugin loads torch
    tell([f"{name}: its parts are loaded, and tried on a few steps before the run begins"])
    from robo_al.config.load import load_config

    config = load_config(source, overrides)
    begun = Path("runs").exists()
    folder = options.out or _new_folder(name, config)
    try:
        campaign, oracle, told = _begun(config, folder)
    except BaseException:
        made = [] if options.out else [folder, *([] if begun else [folder.parent])]
        with suppress(OSError):  # nothing is in it, or it is kept
            for path in made:
                path.rmdir()
        raise
    with campaign:
        tell([told])
        _turn(campaign, oracle, config)


def _begun(config: "Config", folder: Path) -> "tuple[Campaign, closing[Oracle], str]":
    """Begin a campaign; return it, the oracle that was tried, and how long a round will take."""
    from robo_al.build import begin, dry_run
    from robo_al.report.forecast import foresee

    tried = dry_run(config)
    with ExitStack() as opened:
        opened.enter_context(closing(tried.oracle))
        campaign = opened.enter_context(begin(tried, folder))
        told = foresee(tried, campaign.parts.device)
        opened.pop_all()
    return campaign, closing(tried.oracle), told


def _resume(options: argparse.Namespace) -> None:
    from robo_al.config.overrides import split_arguments
    from robo_al.dataset.folders import AB_PLAN, need_run
    from robo_al.dataset.start_folder import started_in, what_is_gone, where_from

    given, overrides = split_arguments(options.arguments, "run folder", "robo-al resume runs/first")
    need_run(Path(given))
    if (Path(given).absolute().parent / AB_PLAN).exists():
        parent = Path(given).absolute().parent
        raise RunFolderError(
            f"{given}: its rollouts are those of two policies, and nothing is learned from them; "
            f"go on with: robo-al ab {parent}"
        )
    here = Path.cwd()
    tell([f"{given}: its parts are loaded", *what_is_gone(Path(given))])
    with started_in(Path(given)) as folder:
        from robo_al.build import load_run_config, make_oracle, open_campaign
        from robo_al.config.changes import differences, told

        before = load_run_config(folder)
        tell(where_from(before.plugins, here))
        with open_campaign(folder, overrides) as campaign:
            config = load_run_config(folder)
            changes = differences(before, config).items()
            tell([f"{key}: was {told(old)}, is now {told(new)}" for key, (old, new) in changes])
            _turn(campaign, make_oracle(config), config)


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


def _turn(campaign: "Campaign", made: "closing[Oracle]", config: "Config") -> None:
    """Turn the loop, write the report, and say what was learned."""
    from robo_al import loop
    from robo_al.report.progress import Progress

    folder = campaign.dataset.folder
    title = f"{config.env.name}, {config.strategy.short_name}, seed {config.seed} -> {folder}"
    rollouts, transitions, _ = campaign.dataset.ledger.totals()
    done = (campaign.rounds, rollouts, transitions)
    progress = Progress(title, config.rounds, done, campaign.parts.task.threshold)
    try:
        with progress, made as oracle:
            loop.run(campaign, oracle, progress)
    except KeyboardInterrupt:
        raise Stopped(f"stopped; go on with: robo-al resume {folder}") from None
    except StorageError as error:
        raise StorageError(
            f"{error}; nothing recorded is lost; go on with: robo-al resume {folder}"
        ) from error
    from robo_al.dataset.view import RunView
    from robo_al.report.page import write_report  # plots: not before they are needed
    from robo_al.report.summary import summarise, verdict
    from robo_al.report.terminal import say

    report = write_report(folder)
    say(verdict(summarise(RunView(folder))))
    print(f"report: {report}")
