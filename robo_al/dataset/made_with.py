"""With what rollouts are chosen and recorded: versions, the commit of one's own files, hardware."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

VERSIONS_OF = ("robo-al", "torch", "mujoco", "gymnasium", "numpy")
"""Distributions whose versions are part of the record."""
_PROCESSORS = Path("/proc/cpuinfo")


def made_with(device: str) -> str:
    """Return what the record says of this process, as entries that are separated by commas.

    Args:
        device: of models and policies, `cpu` or `cuda`.
    """
    commit = _commit()
    entries = list(_versions())
    entries += [f"commit {commit}"] if commit else []
    entries.append(f"{os.cpu_count()} x {_processor()}")
    if device == "cuda":
        import torch

        entries.append(torch.cuda.get_device_name())
    return ", ".join(entry.replace(",", "") for entry in entries)


@cache
def _versions() -> tuple[str, ...]:
    """Return the versions of what a run depends on: asked once, for each takes its time."""
    versions = [f"{name} {version(name)}" for name in VERSIONS_OF]
    return f"python {platform.python_version()}", *versions


def _commit() -> str | None:
    """Return the commit that the present folder has checked out, if it is in a Git repository.

    It ends with `-dirty` where files that Git knows are not as they were committed.
    """
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # there is no Git
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    """Return the processor's name, as Linux tells it; elsewhere its architecture."""
    try:
        lines = _PROCESSORS.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
