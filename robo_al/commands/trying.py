"""`ab`: is policy B better than policy A."""

import argparse
from pathlib import Path

from robo_al.commands import AddCommand
from robo_al.errors import UserError


def add(command: AddCommand) -> None:
    """Add the command."""
    ab = command(
        "ab",
        _ab,
        "tell which of two policies is better, from results that there are",
        epilog="RESULTS is a CSV file with a line for each rollout, in their order: policy, start, "
        "and success or score. The answer holds at any time: add lines and ask again.",
    )
    ab.add_argument("results", metavar="RESULTS", type=Path, help="a CSV file")
    ab.add_argument("policies", metavar="POLICY", nargs="*", help="which two (all that there are)")
    ab.add_argument(
        "--against", type=float, metavar="VALUE", help="tell too whether a policy's mean exceeds it"
    )
    ab.add_argument(
        "--range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="between which numbers every score must lie (0 and 1)",
    )
    ab.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the answer (runs/ab-RESULTS)"
    )


def _ab(options: argparse.Namespace) -> None:
    if options.range is not None and not options.range[0] < options.range[1]:
        low, high = options.range
        raise UserError(f"--range: {low:g} to {high:g}; the lower number comes first")
    from robo_al.compare.ab.results import read_results
    from robo_al.compare.ab.verdict import judge, policies_of

    limits = None if options.range is None else (options.range[0], options.range[1])
    rollouts, scale = read_results(options.results, limits)
    named = policies_of(rollouts, options.policies, options.against, str(options.results))
    result = judge(rollouts, named, scale, options.against)
    from robo_al.compare.ab.page import need_place, write_answer
    from robo_al.report.terminal import say

    folder = options.out or Path("runs") / f"ab-{options.results.stem}"
    need_place(folder)
    page = write_answer(folder, result)
    say(result["answer"])
    print(f"page: {page}")
