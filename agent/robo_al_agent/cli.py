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


class _Commands:
    """The commands of a parser, as they are added."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(self, name: str, do: Any, text: str) -> argparse.ArgumentParser:
        """Add a command, which `do` executes."""
        made = self._parsers.add_parser(name, help=text, description=text)
        made.set_defaults(do=do)
        return made

    def add_for_agent(
        self, name: str, do: Any, text: str, note: bool = False
    ) -> argparse.ArgumentParser:
        """Add a command on AGENT.yaml, perhaps with a note on the session."""
        made = self.add(name, do, text)
        made.add_argument("config", type=Path, metavar="AGENT.yaml")
        if note:
            made.add_argument("--note", default="", metavar="TEXT", help="of this session, to keep")
        return made


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="robo-al-agent", description="Executes a robo-al campaign's rollouts on a robot."
    )
    commands = _Commands(parser)
    commands.add_for_agent("serve", serving.serve, "serve the robot until Ctrl-C", note=True)
    _add_setting_up(commands)
    _add_motions(commands)
    _add_words(commands)
    _add_recordings(commands)
    tell = conversation.tell
    pause = "let what runs end, and start nothing until `resume`"
    commands.add_for_agent("pause", tell, pause)
    commands.add_for_agent("resume", tell, "let rollouts start again after `pause`")
    commands.add_for_agent("abort", tell, "stop the robot, and drop what waits")
    return parser


def _add_setting_up(commands: _Commands) -> None:
    """Add what is used before a robot is served."""
    keys = commands.add("keys", _keys, "make CURVE keys for an agent and a host")
    keys.add_argument("folder", type=Path, metavar="FOLDER")
    found = "list serial ports and what answers; moves nothing"
    finding.add_arguments(commands.add("find", finding.find, found))
    setup = "show and set what serial servos keep"
    servo_setup.add_arguments(commands.add("setup", servo_setup.setup, setup))
    text = "write a first envelope, from what a driver says of its robot"
    envelope = commands.add("envelope", checking.envelope, text)
    envelope.add_argument("--from", dest="what", required=True, metavar="AGENT.yaml|FILE.py:DRIVER")
    envelope.add_argument(
        "--out", type=Path, help="file to write (the one AGENT.yaml names, or envelope.yaml)"
    )
    envelope.add_argument(
        "--model", type=Path, metavar="MJCF", help="of a twin, which is started to be asked"
    )
    text = "connect, read and measure the rate; or say whether a driver keeps its contract"
    check = commands.add("check", checking.check, text)
    check.add_argument("what", metavar="AGENT.yaml|FILE.py:DRIVER")
    for made in (envelope, check):
        made.add_argument(
            "--parameters", default="{}", metavar="JSON", help="of the driver's constructor"
        )
    check.add_argument("--move", action="store_true", help="a driver: let the robot move a little")
    text = "serve a MuJoCo twin, in real time, through the same code"
    twin = commands.add_for_agent("twin", serving.twin, text, note=True)
    twin.add_argument(
        "--model", type=Path, required=True, metavar="MJCF", help="of robot and scene"
    )


def _add_motions(commands: _Commands) -> None:
    """Add what moves the robot slowly."""
    recover = "bring joints slowly back into their limits; Ctrl-C stops"
    commands.add_for_agent("recover", moving.recover, recover)
    park = "bring it slowly to the pose `park` of AGENT.yaml; Ctrl-C stops"
    commands.add_for_agent("park", moving.lead, park)
    text = "move one joint slowly by a little; Ctrl-C stops"
    jog = commands.add_for_agent("jog", moving.lead, text)
    jog.add_argument("joint", metavar="JOINT")
    jog.add_argument(
        "delta", metavar="DELTA", type=_finite, help="rad, m or %%, as the joint has it"
    )


def _add_words(commands: _Commands) -> None:
    """Add what a person asks of the agent, and says to it."""
    commands.add_for_agent("status", conversation.status, "tell what runs, waits, and is faulty")
    for name, text in (
        ("approve", "let the waiting rollout run"),
        ("reject", "do not let the waiting rollout run"),
    ):
        made = commands.add_for_agent(name, conversation.say, text)
        made.add_argument("id", nargs="?", help="of the rollout (the first that waits)")
    clear = "clear a fault, after looking at the robot"
    commands.add_for_agent("clear", conversation.errand, clear)
    release = "torque off: THE ARM FALLS; hold it"
    commands.add_for_agent("release", conversation.release, release)


def _add_recordings(commands: _Commands) -> None:
    """Add what makes recordings, and shows and keeps them."""
    text = "record a motion led by hand: THE ARM FALLS; hold it"
    record = commands.add_for_agent("record", conversation.record, text, note=True)
    record.add_argument(
        "--seconds", type=_finite, default=600.0, help="after which it ends (600); Enter ends it"
    )
    record.add_argument("--out", type=Path, metavar="FILE.safetensors", help="write it there too")
    text = "list the recordings that are kept"
    kept = commands.add_for_agent("recordings", conversation.recordings, text)
    kept.add_argument("id", nargs="?", metavar="RECORDING")
    kept.add_argument("--out", type=Path, metavar="FILE.safetensors", help="write it there")
    kept.add_argument("--drop", action="store_true", help="let the agent forget it")


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
