"""The command line of the robot's PC: `robo-al-agent serve AGENT.yaml`, and what a person says."""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robo_al_agent.commands import checking, moving, serving
from robo_al_agent.errors import AgentError
from robo_al_agent.operator import conversation, finding, servo_setup
from robo_al_agent.operator.terminal import tolerate
from robo_al_agent.protocol.keys import make_keys


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    tolerate()
    options = _parser().parse_args(arguments)
    try:
        return int(options.do(options) or 0)
    except AgentError as error:
        print(f"robo-al-agent: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads has seen enough: `robo-al-agent status ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="robo-al-agent", description="Executes a robo-al campaign's rollouts on a robot."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, do: Any, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(do=do)
        return made

    def with_config(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made.add_argument("config", type=Path, metavar="AGENT.yaml")
        return made

    def with_note(made: argparse.ArgumentParser) -> None:
        made.add_argument("--note", default="", metavar="TEXT", help="of this session, to keep")

    with_note(with_config(command("serve", serving.serve, "serve the robot until Ctrl-C")))
    keys = command("keys", _keys, "make CURVE keys for an agent and a host")
    keys.add_argument("folder", type=Path, metavar="FOLDER")
    finding.add_arguments(
        command("find", finding.find, "list serial ports and what answers; moves nothing")
    )
    servo_setup.add_arguments(
        command("setup", servo_setup.setup, "show and set what serial servos keep")
    )
    envelope = command(
        "envelope",
        checking.envelope,
        "write a first envelope, from what a driver says of its robot",
    )
    envelope.add_argument("--from", dest="what", required=True, metavar="AGENT.yaml|FILE.py:DRIVER")
    envelope.add_argument(
        "--out", type=Path, help="file to write (the one AGENT.yaml names, or envelope.yaml)"
    )
    envelope.add_argument(
        "--model", type=Path, metavar="MJCF", help="of a twin, which is started to be asked"
    )
    check = command(
        "check",
        checking.check,
        "connect, read and measure the rate; or say whether a driver keeps its contract",
    )
    check.add_argument("what", metavar="AGENT.yaml|FILE.py:DRIVER")
    for made in (envelope, check):
        made.add_argument(
            "--parameters", default="{}", metavar="JSON", help="of the driver's constructor"
        )
    check.add_argument("--move", action="store_true", help="a driver: let the robot move a little")
    twin = command("twin", serving.twin, "serve a MuJoCo twin, in real time, through the same code")
    with_note(with_config(twin))
    twin.add_argument(
        "--model", type=Path, required=True, metavar="MJCF", help="of robot and scene"
    )
    with_config(
        command(
            "recover", moving.recover, "bring joints slowly back into their limits; Ctrl-C stops"
        )
    )
    with_config(
        command(
            "park", moving.lead, "bring it slowly to the pose `park` of AGENT.yaml; Ctrl-C stops"
        )
    )
    jog = with_config(
        command("jog", moving.lead, "move one joint slowly by a little; Ctrl-C stops")
    )
    jog.add_argument("joint", metavar="JOINT")
    jog.add_argument(
        "delta", metavar="DELTA", type=_finite, help="rad, m or %%, as the joint has it"
    )
    with_config(command("status", conversation.status, "tell what runs, waits, and is faulty"))
    for name, text in (
        ("approve", "let the waiting rollout run"),
        ("reject", "do not let the waiting rollout run"),
    ):
        made = with_config(command(name, conversation.say, text))
        made.add_argument("id", nargs="?", help="of the rollout (the first that waits)")
    with_config(command("clear", conversation.errand, "clear a fault, after looking at the robot"))
    with_config(command("release", conversation.release, "torque off: THE ARM FALLS; hold it"))
    record = with_config(
        command(
            "record", conversation.record, "record a motion led by hand: THE ARM FALLS; hold it"
        )
    )
    with_note(record)
    record.add_argument(
        "--seconds", type=_finite, default=600.0, help="after which it ends (600); Enter ends it"
    )
    record.add_argument("--out", type=Path, metavar="FILE.safetensors", help="write it there too")
    kept = with_config(
        command("recordings", conversation.recordings, "list the recordings that are kept")
    )
    kept.add_argument("id", nargs="?", metavar="RECORDING")
    kept.add_argument("--out", type=Path, metavar="FILE.safetensors", help="write it there")
    kept.add_argument("--drop", action="store_true", help="let the agent forget it")
    with_config(
        command("pause", conversation.tell, "let what runs end, and start nothing until `resume`")
    )
    with_config(command("resume", conversation.tell, "let rollouts start again after `pause`"))
    with_config(command("abort", conversation.tell, "stop the robot, and drop what waits"))
    return parser


def _finite(text: str) -> float:
    """Return a number that argparse takes for an argument."""
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


def _keys(options: argparse.Namespace) -> None:
    make_keys(options.folder)
    print(
        f"keys are in {options.folder}. On the robot's PC: keys: {options.folder} in AGENT.yaml.\n"
        "On the host: a folder with agent.key and host.key_secret, as oracle.keys."
    )


if __name__ == "__main__":
    sys.exit(main())
