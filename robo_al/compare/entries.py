"""The entries of a comparison's YAML, read and checked without knowing what they mean."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robo_al.config import plain_yaml
from robo_al.config.sources import nearest
from robo_al.errors import ConfigError

BOUNDS = ("true_dynamics", "all_knowing")
"""Runs that tell what there is to gain, and do not compete."""
_KEYS = ("tasks", "strategies", "seeds", "budget", "bounds", "reference")
FACTORS = ("rollouts_per_round", "candidates")
"""Entries of a campaign that a strategy may change, so that batch sizes and pools are compared."""
_NAME = re.compile(r"\w[\w.+-]{0,99}\Z")
"""Of a task or strategy: it names a folder too."""
_ELSEWHERE = {
    "strategy": "give it under `strategies`",
    "acquisition": "give a strategy under `strategies`",
    "selector": "give a strategy under `strategies`",
    "seed": "give `seeds`",
    "rounds": "give the task's `budget`, in rollouts",
    "device": "all runs compute on the processor, so that they are alike",
}
"""Entries of a campaign that no task may override, and what to do instead."""


@dataclass(frozen=True)
class TaskEntry:
    """What is said of one task."""

    config: str
    """A YAML file, relative to the plan's folder or the current one, or a shipped one's name."""
    budget: Any
    """Rollouts of a run; None where nothing is said."""
    overrides: Mapping[str, Any]
    """Of the campaign's configuration."""


@dataclass(frozen=True)
class Entries:
    """What a comparison's YAML says."""

    tasks: Mapping[str, TaskEntry]
    strategies: Mapping[str, Any]
    """The value of a campaign's `strategy`, by name."""
    factors: Mapping[str, Mapping[str, Any]]
    """Which of `FACTORS` a strategy changes, by its name."""
    seeds: tuple[int, ...]
    bounds: tuple[str, ...]
    reference: str | None = None
    """One of the strategies; None where nothing is said."""

    def enlarged(
        self, had: Mapping[str, int], kept: Sequence[int], seeds: int, budget: int
    ) -> "Entries":
        """Return entries with what a comparison has already, and with what is added.

        Args:
            had: the budget that each of its tasks has had.
            kept: the seeds that it has.
            seeds: that are added, counted on from the largest one.
            budget: rollouts that are added to each run.
        """
        every = [*kept, *(seed for seed in self.seeds if seed not in kept)]
        every += range(max(every) + 1, max(every) + 1 + seeds)
        tasks = {
            name: replace(entry, budget=max(entry.budget, had.get(name, 0)) + budget)
            for name, entry in self.tasks.items()
        }
        return replace(self, tasks=tasks, seeds=tuple(every))


def read_entries(path: Path) -> Entries:
    """Read a comparison's YAML.

    Raises:
        ConfigError: no such file, no YAML, or wrong entries: all of them, one line each.
    """
    try:
        with path.open(encoding="utf-8") as file:
            data = plain_yaml.parse(file.read(plain_yaml.MAX_SIZE + 1))
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping with `tasks`, given {data!r:.80}")
    lines = [_unknown(key) for key in data if key not in _KEYS]
    tasks = _tasks(data, lines)
    given = _named(data, "strategies", lambda name: name, lines)
    factors = {
        name: {key: value[key] for key in FACTORS if key in value}
        for name, value in given.items()
        if isinstance(value, dict)
    }
    entries = Entries(
        tasks,
        {name: _without(value, FACTORS) for name, value in given.items()},
        {name: changed for name, changed in factors.items() if changed},
        _seeds(data, lines),
        _bounds(data, lines),
        data.get("reference"),
    )
    if entries.reference is not None and entries.reference not in entries.strategies:
        lines.append(
            f"reference: expected one of the strategies, {', '.join(entries.strategies)}, given "
            f"{_shown(entries.reference)}"
        )
    lines += [
        f"strategies.{name}: this name is a bound's; choose another"
        for name in entries.strategies
        if name in BOUNDS
    ]
    refuse(path, lines)
    return entries


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    """Return a mapping without some of its keys; anything else as it is."""
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if key not in keys}


def refuse(path: Path, lines: list[str]) -> None:
    """Raise a `ConfigError` of all lines, if there are any."""
    if lines:
        raise ConfigError(f"{path}: " + "\n  ".join(["cannot be used"] * (len(lines) > 1) + lines))


def _whole(value: Any, least: int) -> bool:
    """Return whether a value of YAML's is an integer from `least` to what a seed may be."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63


def _unknown(key: str) -> str:
    near = nearest(key, _KEYS)
    return f"{key}: unknown key{near or '; known: ' + ', '.join(_KEYS)}"


def _shown(value: Any) -> str:
    return f"{json.dumps(value):.80}"


def _tasks(data: Mapping[str, Any], lines: list[str]) -> dict[str, TaskEntry]:
    found = {}
    for name, value in _named(data, "tasks", lambda name: {"config": name}, lines).items():
        if not isinstance(value, dict | None):
            lines.append(
                f"tasks.{name}: expected a mapping, what to override, given {_shown(value)}"
            )
            continue
        overrides = dict(value or {})
        config, budget = overrides.pop("config", name), overrides.pop("budget", data.get("budget"))
        lines += [f"tasks.{name}.{k}: {_ELSEWHERE[k]}" for k in overrides if k in _ELSEWHERE]
        if budget is None:
            lines.append(f"tasks.{name}: no budget; give `budget: 20`, rollouts of a run")
        elif not _whole(budget, 1):
            lines.append(f"tasks.{name}: its budget, {_shown(budget)}, is no number of rollouts")
        elif not isinstance(config, str):
            lines.append(f"tasks.{name}.config: expected a file or a name, given {_shown(config)}")
        else:
            found[name] = TaskEntry(config, budget, overrides)
    return found


def _named(
    data: Mapping[str, Any], key: str, value_of: Callable[[str], Any], lines: list[str]
) -> dict[str, Any]:
    """Return a mapping, or what a list of names is short for."""
    given = data.get(key)
    if isinstance(given, list) and all(isinstance(name, str) for name in given):
        found = {re.sub(r"^.*/|\.ya?ml$", "", name): value_of(name) for name in given}
        if len(found) < len(given):
            lines.append(f"{key}: a name is given twice")
        given = found
    if not isinstance(given, dict) or not given:
        said = _shown(data.get(key))
        lines.append(f"{key}: expected a list of names, or a mapping, given {said}")
        return {}
    lines += [
        f"{key}.{name}: no name for a folder; give `{key}: {{a_name: ...}}`"
        for name in given
        if not _NAME.match(name)
    ]
    return given


def _seeds(data: Mapping[str, Any], lines: list[str]) -> tuple[int, ...]:
    given = data.get("seeds")
    if _whole(given, 1):
        return tuple(range(int(given)))  # type: ignore[arg-type]
    if not isinstance(given, list) or not given or not all(_whole(s, 0) for s in given):
        lines.append(f"seeds: expected how many, or a list of seeds, given {_shown(given)}")
        return ()
    if len(set(given)) < len(given):
        lines.append(f"seeds: {max(given, key=given.count)} is given twice")
    return tuple(given)


def _bounds(data: Mapping[str, Any], lines: list[str]) -> tuple[str, ...]:
    given = data.get("bounds", [])
    if isinstance(given, list) and all(name in BOUNDS for name in given):
        return tuple(dict.fromkeys(given))
    lines.append(f"bounds: expected a list of {' and '.join(BOUNDS)}, given {_shown(given)}")
    return ()
