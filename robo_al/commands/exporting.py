"""`export`: what a run has learned, as a file that needs no robo-al."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from robo_al.commands import AddCommand, tell
from robo_al.errors import UserError

if TYPE_CHECKING:
    from robo_al.deploy.policy import LearnedPolicy


def add(command: AddCommand) -> None:
    """Add the command."""
    export = command("export", _export, "write what a run has learned as a file for elsewhere")
    export.add_argument("folder", type=Path, metavar="DIR")
    export.add_argument(
        "--policy", type=Path, metavar="FILE", required=True, help="an ONNX file for the policy"
    )
    export.add_argument(
        "--distil",
        action="store_true",
        help="train a network to imitate a policy that plans, and measure what it loses",
    )


def _export(options: argparse.Namespace) -> None:
    from robo_al.dataset.folders import need_run

    need_run(options.folder)
    folder = options.policy.parent
    if options.policy.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"--policy {options.policy}: no file can be written there")
    tell([f"{options.folder}: what was learned is loaded"])
    from robo_al.dataset.files import write_atomically
    from robo_al.deploy.policy import open_policy
    from robo_al.protocols import SupportsExport

    learned = open_policy(options.folder, "cpu")
    policy = learned.parts.policy
    if isinstance(policy, SupportsExport) and options.distil:
        raise UserError("--distil: this policy is a network already; export it without")
    if options.distil:
        content = _distilled(learned, options.folder)
    elif isinstance(policy, SupportsExport):
        content = policy.graph()
    else:
        raise UserError(
            f"a policy {type(policy).__qualname__} cannot be exported as it is: only networks can, "
            "such as those of `policy: sb3`; --distil trains a network to imitate it"
        )
    write_atomically(options.policy, content)
    print(f"policy: {options.policy}, from observation [batch, O] to action [batch, A]")


def _distilled(learned: "LearnedPolicy", folder: Path) -> bytes:
    """Train a network to imitate a policy, say what it loses, and return it as ONNX."""
    from robo_al.build import load_run_config
    from robo_al.deploy.distil import distil
    from robo_al.report.words import count, number

    starts = load_run_config(folder).evaluation.starts_for(learned.task.horizon)
    made = distil(learned.parts, starts, lambda text: tell([text]))
    lost = made.planner_returns - made.returns
    planner, network = made.planner_returns.mean(), made.returns.mean()
    tell(
        [
            f"in simulation, the mean of {count(starts, 'start')}: the policy returns "
            f"{number(planner)}, the network {number(network)}, which loses {number(lost.mean())} "
            f"(from {number(lost.min())} to {number(lost.max())})"
        ]
    )
    return made.graph
