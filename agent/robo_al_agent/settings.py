"""Settings as files: plain YAML, checked as a whole, every wrong entry told at once.

The YAML differs from `yaml.safe_load`'s: scalars are YAML 1.2's (`1e-3` is a number, `True` is
true, `no` is a word), a key given twice is refused instead of dropped, numbers are finite, and
there are no aliases, because a few hundred bytes of those expand without bound.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from yaml.nodes import Node, ScalarNode

from robo_al_agent.errors import SetupError

MAX_BYTES = 1_000_000
"""From here on a file is no settings."""

_SCALARS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(0|[1-9][0-9]*)",
    "float": r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|nan)",
}
RESOLVERS = {
    None: [
        (f"tag:yaml.org,2002:{kind}", re.compile(f"({pattern})\\Z"))
        for kind, pattern in _SCALARS.items()
    ]
}
"""What a word without quotes means."""


class Loader(yaml.SafeLoader):
    """Reads such YAML; raises `yaml.YAMLError`, `ValueError` or `RecursionError` for any other."""

    yaml_implicit_resolvers = RESOLVERS

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """Refuse aliases."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise _refusal("aliases are not allowed", event)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse keys that are no words, or given twice."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise _refusal("a key must be a word", key)
            if key.value in seen:
                raise _refusal(f"the key `{key.value}` is given twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_float(self, node: Any) -> float:
        """Refuse infinity and NaN."""
        value = super().construct_yaml_float(node)
        if not math.isfinite(value):
            raise _refusal(f"{node.value} is not a finite number", node)
        return value


Loader.add_constructor("tag:yaml.org,2002:float", Loader.construct_yaml_float)


class Settings(BaseModel):
    """Base of what is read from such a file: no unknown key, no conversion, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def read_settings(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises:
        SetupError: the file cannot be read or is no such YAML; says the line.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes: these are no settings")
        data = yaml.load(content.decode("utf-8"), Loader=Loader)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        raise SetupError(f"{path}: {problem(error)}") from None
    except RecursionError:
        raise SetupError(f"{path}: nested too deeply") from None
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise SetupError(f"{path}: {error}") from None
    if not isinstance(data, dict):
        raise SetupError(f"{path}: expected `key: value` lines, found {data!r:.80}")
    return data


def problems(error: ValidationError) -> list[str]:
    """Return one line for each wrong entry: its path, what is wrong, and what was given."""
    lines = []
    for item in error.errors(include_url=False, include_context=False):
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "missing":
            lines.append(f"{key}: missing")
        elif item["type"] == "extra_forbidden":
            lines.append(f"{key}: no such key")
        else:
            message = item["msg"].removeprefix("Value error, ")
            lines.append(f"{key}: {message[0].lower()}{message[1:]}, given {item['input']!r:.60}")
    return lines


def refuse(path: Path, lines: Sequence[str]) -> None:
    """Tell what is wrong with a file, if anything is.

    Raises:
        SetupError: there is a line or more.
    """
    if lines:
        raise SetupError(
            f"{path}: " + "\n  ".join(["cannot be used"] * (len(lines) > 1) + [*lines])
        )


def problem(error: yaml.MarkedYAMLError) -> str:
    """Return what is wrong with a text, and where in it."""
    mark = error.problem_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{where}{error.problem}"


def _refusal(reason: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=reason, problem_mark=where.start_mark)
