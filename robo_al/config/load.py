"""Reads a configuration from a file and the command line, and tells everything that is wrong in it.

What is wrong is told at once, one line each, with its path.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from robo_al import plugins
from robo_al.config import plain_yaml
from robo_al.config.components import (
    GROUPS,
    Component,
    WrongEntry,
    as_component,
    expectation,
    inspect_arguments,
)
from robo_al.config.overrides import Override, parse_overrides
from robo_al.config.schema import (
    Config,
    Constraint,
    ObservedChannel,
    Strategy,
    as_strategy,
)
from robo_al.config.settings import Evaluation, Loop, entries_of
from robo_al.config.sources import find_config, is_env, nearest
from robo_al.errors import ConfigError, PluginError


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read and check a configuration.

    Args:
        source: a YAML file, the name of a shipped configuration (`pendulum`), or an env
            (`gymnasium:Pendulum-v1`), with which everything else is as by default.
        overrides: as on the command line: `--seed 3 --model.samples=8 --strategy variance`.

    Raises:
        ConfigError: no such file, no YAML, or wrong entries: all of them, one line each.
    """
    data = _read(source)
    given = parse_overrides(overrides)
    for override in given:
        _override(data, override, override.key.split("."))
    return check_config(data, str(source if is_env(source) else find_config(source)), given)


def _read(source: str | Path) -> dict[str, Any]:
    """Return the entries that a source has."""
    if is_env(source):
        return {"env": str(source)}
    path = find_config(source)
    try:
        with path.open(encoding="utf-8") as file:
            data = plain_yaml.parse(file.read(plain_yaml.MAX_SIZE + 1))
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping such as `env: pendulum`, given {data!r:.80}")
    return data


def check_config(data: Mapping[str, Any], where: str, given: Sequence[Override] = ()) -> Config:
    """Check entries that are read already.

    Args:
        data: as in a configuration's YAML.
        where: they are from, for the message.
        given: those that are overrides.

    Raises:
        ConfigError: wrong entries: all of them, one line each.
    """
    wrong = _wrong_entries(data)
    lines = [_told(entry, given) for entry in wrong]
    if len(lines) == 1 and _typed(wrong[0], given):
        raise ConfigError(lines[0])  # the file is not to blame
    if lines:
        raise ConfigError(f"{where}: " + "\n  ".join(["cannot be used"] * (len(lines) > 1) + lines))
    return resolve(Config.model_validate(data))


def resolve(config: Config) -> Config:
    """Name the acquisition function and the selector where a strategy leaves them open."""
    strategy = config.strategy
    acquisition, selector = strategy.acquisition, strategy.selector
    alone = selector and _without_scores(selector)
    if acquisition is None and not alone:
        acquisition = Component(name="joint_information")
    if selector is None and acquisition is not None:
        joint = hasattr(plugins.load("acquisitions", acquisition.name), "joint")
        selector = Component(name="greedy_joint" if joint else "top_k")
    resolved = strategy.model_copy(update={"acquisition": acquisition, "selector": selector})
    return config.model_copy(update={"strategy": resolved})


def _without_scores(selector: Component) -> bool:
    return bool(getattr(plugins.load("selectors", selector.name), "without_scores", False))


# ---------------------------------------------------------------- overrides


def _override(
    data: dict[str, Any], override: Override, path: Sequence[str], above: str = ""
) -> None:
    """Set one entry; a component that gets another name loses its parameters."""
    key, *rest = path
    where = f"{above}{key}"
    if not rest:
        data[key] = _sum(data.get(key), override, where) if override.more else override.value
        return
    if where == "strategy":
        data[key] = as_strategy(data.get(key))
    if where in GROUPS:
        default = Config.model_fields[key].default if not above else None
        data.setdefault(key, default.model_dump() if isinstance(default, Component) else {})
        data[key] = as_component(data[key])
        old = data[key].get("name") if isinstance(data[key], dict) else None
        if rest == ["name"] and old != override.value:
            data[key] = {}
    inner = data.setdefault(key, {})
    if inner is None:
        inner = data[key] = {}
    if not isinstance(inner, dict):
        raise ConfigError(f"{override.typed}: {where} is {inner!r}, without such entries")
    _override(inner, override, rest, f"{where}.")


def _sum(now: object, override: Override, where: str) -> object:
    """Return the value of an entry that an override makes larger."""
    if isinstance(now, bool) or not isinstance(now, int | float):
        said = "is not said" if now is None else f"is {now!r:.80}"
        raise ConfigError(f"{override.typed}: {where} {said}, and nothing can be added to it")
    return now + override.value


# ---------------------------------------------------------------- what is wrong


def _typed(entry: WrongEntry, given: Sequence[Override]) -> Override | None:
    """Return the override that gave what is wrong, if one did: the last, where several did."""
    for override in reversed(given):
        # `--polisy.x 1` has made the unknown entry `polisy`; a component was there before
        made = entry.path not in GROUPS and override.key.startswith(f"{entry.path}.")
        if made or override.covers(entry.path):
            return override
    return None


def _told(entry: WrongEntry, given: Sequence[Override]) -> str:
    """Return what is wrong in a line, that begins with what was typed where it was typed."""
    override = _typed(entry, given)
    if override is None:
        return str(entry)
    return f"{override.typed}: {entry.reason if override.key == entry.path else entry}"


def _wrong_entries(data: Mapping[str, Any]) -> list[WrongEntry]:
    """Return each wrong entry, components' parameters included."""
    wrong = []
    try:
        Config.model_validate(data)
    except ValidationError as error:
        wrong = [_wrong_entry(details) for details in error.errors()]
    for key, group in GROUPS.items():
        value = _component_at(data, key)
        try:
            component = Component.model_validate(value)
        except ValidationError:
            continue  # none is named, or it is told already
        try:
            parameters = inspect_arguments(group, component)[1]
            wrong += [WrongEntry(f"{key}.{entry.path}", entry.reason) for entry in parameters]
            wrong += _needless_scores(data, key, component)
        except PluginError as error:
            wrong.append(WrongEntry(key, str(error)))
    return list(dict.fromkeys(wrong))


def _component_at(data: Mapping[str, Any], path: str) -> object:
    """Return the component at `policy`, or `strategy.selector`."""
    first, _, second = path.partition(".")
    if not second:
        return as_component(data.get(first, Config.model_fields[first].get_default()))
    strategy = as_strategy(data.get(first))
    return as_component(strategy.get(second) if isinstance(strategy, Mapping) else None)


def _needless_scores(data: Mapping[str, Any], key: str, component: Component) -> list[WrongEntry]:
    if key != "strategy.selector" or not _without_scores(component):
        return []
    if _component_at(data, "strategy.acquisition") is None:
        return []
    reason = f"selector {component.name} does not look at scores; leave it out"
    return [WrongEntry("strategy.acquisition", reason)]


def _wrong_entry(details: Any) -> WrongEntry:
    """Return what pydantic found wrong with one entry, in our words."""
    path = [str(part) for part in details["loc"]]
    where = ".".join(path)
    if details["type"] == "extra_forbidden":
        inner: dict[tuple[str, ...], type[BaseModel]] = {
            ("evaluation",): Evaluation,
            ("loop",): Loop,
            ("strategy",): Strategy,
            ("strategy", "constraint"): Constraint,
            ("channels",): ObservedChannel,
        }
        above = tuple(part for part in path[:-1] if not part.isdigit())
        model = inner.get(above, Config)
        prefix = where.removesuffix(path[-1])
        known = ", ".join(entries_of(model))
        near = nearest(path[-1], model.model_fields, prefix)
        return WrongEntry(where, f"unknown key{near or f'; known: {known}'}")
    if details["type"] == "missing":
        example = ", for example `env: pendulum`" if where == "env" else ""
        return WrongEntry(where, f"missing{example}")
    return WrongEntry(where, expectation(details))
