"""Where a configuration comes from: a file, the name of a shipped one, or an env alone.

Nothing heavy is imported here, so that a wrong name is told at once.
"""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from robo_al.errors import ConfigError
from robo_al.plugins import known


def shipped_configs(kind: str = "") -> dict[str, Path]:
    """Return the configurations that come with robo-al, by name; of `compare`, the comparisons."""
    package = Path(__file__).parents[1]
    folder = package / "_configs"  # where a wheel has them; a checkout has them in `configs`
    folder = folder if folder.is_dir() else package.parent / "configs"
    return {path.stem: path for path in sorted((folder / kind).glob("*.yaml"))}


def is_env(source: str | Path) -> bool:
    """Return whether a source is an env, which alone is a configuration, and not one's name."""
    name = str(source)
    an_env = ":" in name or name in known("envs")
    return an_env and name not in shipped_configs() and not os.path.isfile(name)


def find_config(source: str | Path, kind: str = "") -> Path:
    """Return the file that a path, or the name of a shipped configuration, stands for.

    Args:
        source: the path or name.
        kind: `compare` for a comparison, nothing for a campaign.

    Raises:
        ConfigError: there is none; says which are shipped.
    """
    path, shipped = Path(source).expanduser(), shipped_configs(kind)
    try:
        if path.is_file():
            return path
    except OSError as error:
        raise ConfigError(f"{path}: cannot be looked at: {error.strerror}") from error
    if str(source) in shipped:
        return shipped[str(source)]
    an_env = "" if kind else ", or an env, as robo-al list envs names them"
    raise ConfigError(
        f"{source}: no such configuration{nearest(path.stem, shipped)}; "
        f"give a YAML file or one of {', '.join(shipped)}{an_env}"
    )


def short_name(source: str | Path) -> str:
    """Return what a configuration's runs are called: `pendulum`, `HalfCheetah-v5`.

    Raises:
        ConfigError: there is no such configuration.
    """
    if is_env(source):
        return re.sub(r"[^\w-]+", "_", str(source).rpartition(":")[2])
    return find_config(source).stem


def nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return a question that names the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {prefix}{near[0]}?" if near else ""
