"""`ab`: is policy B better than policy A."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from robo_al.commands import AddCommand, Stopped, tell
from robo_al.errors import UserError

if TYPE_CHECKING:
    from robo_al.compare.ab.live import Plan

STARTS = 100
"""From how many starts two policies are rolled out at most."""
_OF_RUNS = ("budget", "seed", "by")


def add(command: AddCommand) -> None:
    """Add the command."""
    ab = command(
        "ab",
        _ab,
        "tell which of two policies is better, from results or by rolling them out",
        usage="robo-al ab RESULTS [POLICY POLICY] | RUN RUN | DIR  [options]",
        epilog="RESULTS is a CSV file with a line for each rollout, in their order: policy, start, "
        "and success or score. Of two run folders the policies are rolled out by turns from the "
        "same starts, until it is known which is better. DIR is a folder in which that goes on. "
        "The answer holds at any time: add rollouts, and ask again.",
    )
    ab.add_argument("what", metavar="WHAT", type=Path, help="a CSV file, a run, or DIR")
    ab.add_argument("policies", metavar="POLICY", nargs="*", help="which two, or the other run")
    ab.add_argument(
        "--against", type=float, metavar="VALUE", help="tell too whether a policy's mean exceeds it"
    )
    ab.add_argument(
        "--range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="between which numbers every score (0 and 1) or return (not known) must lie",
    )
    ab.add_argument("--out", type=Path, metavar="DIR", help="folder of the answer (runs/ab-...)")
    runs = ab.add_argument_group("of runs")
    runs.add_argument(
        "--budget", type=int, metavar="N", help=f"from how many starts at most ({STARTS})"
    )
    runs.add_argument("--seed", type=int, help="of the starts, and of who begins (0)")
    runs.add_argument(
        "--by",
        choices=("success", "return"),
        help="what counts (success where the task says it); labels of persons are successes too",
    )


def _ab(options: argparse.Namespace) -> None:
    if options.range is not None and not options.range[0] < options.range[1]:
        low, high = options.range
        raise UserError(f"--range: {low:g} to {high:g}; the lower number comes first")
    if options.what.is_dir():
        _of_runs(options)
        return
    for name in _OF_RUNS:
        if getattr(options, name) is not None:
            raise UserError(f"--{name}: is for two run folders; leave it out of a file of results")
    from robo_al.compare.ab.results import read_results
    from robo_al.compare.ab.verdict import judge, policies_of

    limits = None if options.range is None else (options.range[0], options.range[1])
    rollouts, scale = read_results(options.what, limits)
    named = policies_of(rollouts, options.policies, options.against, str(options.what))
    result = judge(rollouts, named, scale, options.against)
    from robo_al.compare.ab.page import need_place, write_answer

    folder = options.out or Path("runs") / f"ab-{options.what.stem}"
    need_place(folder)
    _say(result, write_answer(folder, result))


def _of_runs(options: argparse.Namespace) -> None:
    """Begin with two runs, or go on in a folder."""
    from robo_al.compare.ab.live import begin, go_on
    from robo_al.dataset.folders import AB_PLAN

    if (options.what / AB_PLAN).exists():
        folder, plan = options.what, _going_on(options)
    else:
        plan = _new(options)
        folder = options.out or Path("runs") / f"ab-{'-'.join(one.name for one in plan.policies)}"
        begin(folder, plan)
    tell([f"{folder}: at most {plan.starts} starts, judged by {plan.judged_by}"])
    try:
        result, page = go_on(folder, plan)
    except KeyboardInterrupt:
        raise Stopped(f"stopped; go on with: robo-al ab {folder}") from None
    _say(result, page)
    unsure = sum(own["unsure"] for own in result["policies"].values())
    if plan.judged_by == "success" and unsure:
        then = f"robo-al label {folder / 'run'}, then robo-al ab {folder}"
        tell([f"{unsure} without a success: {then}"])


def _new(options: argparse.Namespace) -> "Plan":
    """Return the plan of two runs, or of one and a threshold."""
    from robo_al.compare.ab.live import Plan, named, says_success

    folders = [options.what, *map(Path, options.policies)]
    if len(folders) > 2 or (len(folders) < 2 and options.against is None):
        raise UserError(
            f"ab: {len(folders)} run given; name two runs, or what one is to reach: --against VALUE"
            if len(folders) < 2
            else f"ab: {len(folders)} runs given; name two"
        )
    budget = STARTS if options.budget is None else options.budget
    if budget < 1:
        raise UserError(f"--budget: {budget}; from one start at least")
    policies = named(folders)
    by: Literal["success", "return"] | None = options.by
    if by is None:
        by = "success" if says_success(folders[0]) else "return"
    if by == "success" and options.range is not None:
        raise UserError("--range: a success is 0 or 1; leave --range out, or say --by return")
    plan = Plan(
        policies=policies,
        starts=budget,
        seed=options.seed or 0,
        judged_by=by,
        limits=options.range,
        against=options.against,
    )
    from robo_al.compare.ab.verdict import judge

    judge([], [policy.name for policy in policies], plan.scale, plan.against)  # refuses a threshold
    return plan


def _going_on(options: argparse.Namespace) -> "Plan":
    """Return the plan of a folder, of which only the budget may change."""
    from robo_al.compare.ab.live import read_plan, write_plan

    plan = read_plan(options.what)
    given = {"against": options.against, "range": options.range, "out": options.out}
    given |= {"seed": options.seed, "by": options.by}
    for name, value in given.items():
        if value is not None:
            raise UserError(f"--{name}: {options.what} goes on as it was begun; leave it out")
    if options.policies:
        raise UserError(f"{options.what}: has its policies; leave {options.policies[0]} out")
    if options.budget is not None and options.budget > plan.starts:
        plan = plan.model_copy(update={"starts": options.budget})
        write_plan(options.what, plan)
    return plan


def _say(result: dict[str, Any], page: Path) -> None:
    from robo_al.report.terminal import say

    say(result["answer"])
    print(f"page: {page}")
