"""One tree of errors: everything that robo-al raises for its users to read.

A message says what was wrong, where (file, key, value) and what to do. The command line prints
it without a traceback and exits with `exit_code`.
"""

import errno
from pathlib import Path
from typing import Literal


class RoboALError(Exception):
    """Base of every error that robo-al raises on purpose."""

    exit_code = 1


class UserError(RoboALError):
    """Something that the user gave cannot be used; nothing was changed."""

    exit_code = 2


class ConfigError(UserError):
    """A configuration is wrong: every wrong key at once, with its path."""


class PluginError(UserError):
    """A plugin cannot be found or loaded, or breaks its contract."""


class RunFolderError(UserError):
    """A folder is no run, is another version's, or is in use by another process."""


class FolderInUseError(RunFolderError):
    """A run folder is in use by another process."""


class IntegrityError(RoboALError):
    """Recorded data are not what was written: truncated, altered or missing."""


class StorageError(RoboALError):
    """Data cannot be written or read now: a full disk, a folder that is not mounted."""

    @classmethod
    def of_write(cls, path: Path, error: OSError) -> "StorageError":
        """Return what a disk answered to a write as a message."""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "the disk is full; make room" if full else f"{error.strerror or error}"
        return cls(f"{path}: cannot be written: {what}")


class OracleError(RoboALError):
    """An oracle cannot go on at all; a rollout that went wrong is a `Failure` instead."""


class EnvFault(RoboALError):
    """An env that runs in another process raised, hung or died; the rollout cannot go on."""

    def __init__(self, kind: Literal["failed", "quarantined"], reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        """As of `robo_al.types.Failure`."""


class ModelError(RoboALError):
    """A model cannot be fitted, or predicts values that are not finite."""
