"""How a run's configuration may differ from the one that it was begun with.

The ledger has the configuration as it was at the creation. What is in `MAY_CHANGE` says how long a
campaign goes on, how it is watched, or by which means it computes; anything else would put two
experiments into one ledger. A key that is left open goes on as it was decided.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robo_al.config import plain_yaml
from robo_al.config.load import check_config
from robo_al.config.overrides import Override
from robo_al.config.schema import Config
from robo_al.errors import ConfigError, RunFolderError

MAY_CHANGE = (
    "rounds",
    "evaluation",
    "stop_when_solved",
    "threshold",
    "loop",
    "device",
    "inputs",
    "oracle.address",
    "oracle.keys",
    "oracle.start_timeout",
    "oracle.step_timeout",
    "oracle.queue",
    "oracle.onnx",
    "oracle.workers",
    "oracle.threads",
    "oracle.envs",
)
"""Keys, each with those below it."""
_NONE_IS_A_VALUE = ("strategy.cost", "strategy.constraint")
"""Keys at which null does not leave anything open."""


def continued(recorded: str, config: Config, path: Path, given: Sequence[Override] = ()) -> Config:
    """Return the configuration with which a run goes on.

    Args:
        recorded: the text in the ledger.
        config: in the run folder now.
        path: of its file, for the message.
        given: the overrides that are in it.

    Raises:
        ConfigError: an override changes more than `MAY_CHANGE`.
        RunFolderError: it differs in more than `MAY_CHANGE`.
    """
    was = check_config(
        plain_yaml.parse(recorded), f"the configuration that {path.parent} has noted"
    )
    refused = {
        key: values for key, values in differences(was, config).items() if not _may_change(key)
    }
    typed = {item.typed: None for key in refused for item in given if item.covers(key)}
    if typed:
        raise ConfigError(
            f"{', '.join(typed)}: cannot change in a run that has begun; begin another in a new "
            f"folder; what may change: {', '.join(MAY_CHANGE)}"
        )
    if refused:
        lines = [
            f"{key}: it was {told(old)}, and is {told(new)}" for key, (old, new) in refused.items()
        ]
        raise RunFolderError(
            "\n  ".join([f"{path}: is not the configuration that this run was begun with", *lines])
            + f"\nput it back, or begin another run in a new folder; what may change: "
            f"{', '.join(MAY_CHANGE)}"
        )
    return check_config(_filled(config.model_dump(), was.model_dump()), str(path))


def differences(was: Config, now: Config) -> dict[str, tuple[Any, Any]]:
    """Return both values of each key that is not as it was; None for one that is not there."""
    old = was.model_dump()
    before, after = _flat(old), _flat(_filled(now.model_dump(), old))
    keys = [*before, *(key for key in after if key not in before)]
    return {
        key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)
    }


def told(value: Any) -> str:
    """Return a value as a configuration says it."""
    return plain_yaml.dump(value).removesuffix("...\n").strip()


def _may_change(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in MAY_CHANGE)


def _filled(now: Mapping[str, Any], was: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return entries with what they leave open as it was; another component has its own."""
    filled = dict(now)
    if now.get("name") != was.get("name"):
        return filled
    for key, old in was.items():
        new = filled.get(key)
        if new is None and f"{above}{key}" not in _NONE_IS_A_VALUE:
            filled[key] = old
        elif isinstance(new, Mapping) and isinstance(old, Mapping):
            filled[key] = _filled(new, old, f"{above}{key}.")
    return filled


def _flat(entries: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return the values by their whole keys: `model.samples`."""
    found: dict[str, Any] = {}
    for key, value in entries.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = value
    return found
