"""A person at the robot's PC: what is typed there, and waiting until it has come about."""

import contextlib
import io
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forked import Forked, finished

from robo_al_agent.cli import main

ASKING = "status approve reject clear release pause resume abort recordings".split()
"""Commands that only ask the agent, and are run in this process: a further one starts slowly."""


def run(config: Path, command: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of robo-al-agent to its end, with nobody at a terminal."""
    typed = [command, str(config), *words]
    if command in ASKING:
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            code = main(typed)
        return subprocess.CompletedProcess(typed, code, out.getvalue(), errors.getvalue())
    return finished("robo_al_agent.cli", *typed)


def question(process: Forked) -> str:
    """Read what a command says up to its question; what is typed before that is no answer."""
    said = ""
    while not said.endswith("[y/N] ") and (letter := process.stdout.read(1)):
        said += letter
    return said


def leave(path: Path, words: str) -> None:
    """Write a file that another process may be reading: it finds the old words or the new ones."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(words)
    temporary.replace(path)


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until something is true; return it."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, "it did not come about"
        time.sleep(0.02)
    return found
