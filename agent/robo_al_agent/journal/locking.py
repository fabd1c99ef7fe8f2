"""One process alone has a journal's folder, and so its robot."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO

from robo_al_agent.devices.ownership import process
from robo_al_agent.errors import BusyError


def lock(folder: Path) -> IO[bytes]:
    """Return the lock of a journal's folder, and so of its robot, for this process alone.

    Raises:
        BusyError: another process has it; says which.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (folder / "lock").open("a+b", buffering=0)  # the holder's number stays in it
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        number = file.read(20)
        file.close()
        who = process(int(number)) if number.isdigit() else "another process"
        raise BusyError(
            f"{folder}: {who} uses this journal, and has the robot; end it first"
        ) from None
    with contextlib.suppress(OSError):  # a full disk: then nobody is told which process it is
        file.truncate(0)
        file.write(b"%d" % os.getpid())
    return file
