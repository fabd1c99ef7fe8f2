"""The commands of the command line, one module for each job.

Each module adds the parsers of its commands, and imports what is heavy where it is used.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from robo_al.errors import RoboALError

AddCommand: TypeAlias = Callable[..., argparse.ArgumentParser]
"""(name, function of the parsed options, help text, what else argparse takes) -> its parser."""
INTERRUPTED = 130
"""Exit code of a program that was stopped by Ctrl-C."""


class Stopped(RoboALError):
    """Ctrl-C; the message says how to go on."""

    exit_code = INTERRUPTED


def tell(lines: Sequence[str]) -> None:
    """Print lines at once."""
    for line in lines:
        print(line, flush=True)


def command_adder(commands: Any) -> AddCommand:
    """Return the function that adds a command to argparse's subparsers."""

    def command(
        name: str, do: Callable[[argparse.Namespace], None], text: str, **more: Any
    ) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(
            name, help=text, description=text, allow_abbrev=False, **more
        )
        made.set_defaults(do=do)
        return made

    return command
