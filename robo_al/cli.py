"""The command line. Heavy libraries are imported by the commands that need them."""

import argparse
import os
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path

from robo_al import __version__
from robo_al.commands import (
    INTERRUPTED,
    asking,
    command_adder,
    comparing,
    exporting,
    labelling,
    plugins,
    reading,
    running,
    trying,
)
from robo_al.errors import RoboALError, UserError
from robo_al_agent.operator.terminal import tolerate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    tolerate()
    options, rest = _parser().parse_known_args(arguments)
    if options.command in ("run", "resume"):  # whose overrides have any name
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
    for module in (running, comparing, trying, reading, labelling, asking, exporting, plugins):
        module.add(command_adder(commands))
    return parser


if __name__ == "__main__":
    sys.exit(main())
