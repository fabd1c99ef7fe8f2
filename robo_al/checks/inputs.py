"""What campaigns read beside their configuration: plugins' files, recordings, files that are named.

A run or comparison that goes on after one of them has changed puts two experiments into one folder.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from robo_al.config.schema import Config
from robo_al.dataset.recordings.recording import digest
from robo_al.errors import ConfigError, RunFolderError
from robo_al.plugins import GYMNASIUM, of_suite
from robo_al.tasks.offers import offers_of
from robo_al.tasks.shelf import borrowed
from robo_al.types import EnvSpec


def inputs_of(configs: Iterable[Config]) -> dict[str, str]:
    """Return the SHA-256 of each file and recording that campaigns read, by what it is.

    Of a plugin in a file it is that of the file; of one in a package, that of all its modules.

    Args:
        configs: of the campaigns.

    Raises:
        ConfigError: a file cannot be read.
    """
    found: dict[str, str] = {}
    for config in configs:
        for spec in config.plugins:
            if spec not in found and (files := _sources(spec)):
                found[spec] = _sha256(files)
        for path in _paths(config.model_dump()):
            if path not in found:
                found[path] = _sha256([Path(path).expanduser()])
        env = EnvSpec.in_config(config.model_dump())
        name = f"the recording {env.parameters.get('path', env.name)}"
        if name not in found and (recorded := _recording(env)):
            found[name] = recorded
    return found


def changed(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return what is not as it was, a line each."""
    return [
        f"{name}: its content is not what it was when this began"
        for name, sha256 in was.items()
        if name in now and now[name] != sha256
    ]


def with_inputs(config: Config, folder: Path) -> Config:
    """Return a configuration with what it reads as it is now, which is as it was noted.

    Raises:
        RunFolderError: it is not, and nobody has said that the run goes on with what is there now.
    """
    if config.inputs is None:  # an earlier robo-al did not note them
        return config
    found = inputs_of([config])
    lines = [] if config.inputs == "now" else changed(config.inputs, found)
    if lines:
        raise RunFolderError(
            "\n  ".join([f"{folder}: what this run reads has changed", *lines])
            + "\nput it back; or go on with it as it is now, which is noted: "
            f"robo-al resume {folder} --inputs now"
        )
    return config.model_copy(update={"inputs": found})


def _sources(spec: str) -> list[Path]:
    """Return the files of a plugin that does not come with robo-al."""
    place, _, _ = spec.rpartition(":")
    if not place or spec.startswith(GYMNASIUM) or of_suite(spec):
        return []
    if place.endswith(".py"):
        return [Path(place).expanduser()]
    top = place.partition(".")[0]
    package = None if top.startswith("robo_al") else find_spec(top)
    if package is None or package.origin is None:
        return []
    if package.submodule_search_locations is None:
        return [Path(package.origin)]
    return sorted(Path(package.origin).parent.rglob("*.py"))


def _paths(value: Any) -> Iterator[str]:
    """Return the files that a configuration's values name."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _paths(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item)
    elif isinstance(value, str) and Path(value).suffix and Path(value).expanduser().is_file():
        yield value


def _sha256(files: Sequence[Path]) -> str:
    content = hashlib.sha256()
    for file in files:
        try:
            content.update(hashlib.sha256(file.read_bytes()).digest())
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    return content.hexdigest()


def _recording(spec: EnvSpec) -> str | None:
    """Return the hash of an env's recorded rollouts, if it has such."""
    with borrowed(spec) as env:
        recorded = offers_of(env).episodes
    if recorded is None:
        return None
    digests = "".join(digest(episode) for part in recorded for episode in part)
    return hashlib.sha256(digests.encode()).hexdigest()
