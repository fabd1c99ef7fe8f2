"""YAML as configurations need it: plain data, and nothing that surprises.

Differs from `yaml.safe_load`: scalars are YAML 1.2's (`1e-3` is a number, `no` is a word), a key
given twice is refused instead of dropped, numbers are finite, and there are no aliases, because a
few hundred bytes of those expand without bound.
"""

import math
import re
from typing import Any

import yaml
from yaml.nodes import Node, ScalarNode

from robo_al.errors import ConfigError

MAX_SIZE = 1_000_000
"""Characters from which a text is not a configuration."""

_SCALARS = {
    "null": r"~|null|",
    "bool": r"true|false",
    "int": r"[-+]?(0|[1-9][0-9]*)",
    "float": r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|nan)",
}
_RESOLVERS = {
    None: [
        (f"tag:yaml.org,2002:{kind}", re.compile(f"({pattern})\\Z"))
        for kind, pattern in _SCALARS.items()
    ]
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = _RESOLVERS

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise _refusal("aliases are not allowed", event)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise _refusal("a key must be a word", key)
            if key.value in seen:
                raise _refusal(f"the key `{key.value}` is given twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_float(self, node: Any) -> float:
        value = super().construct_yaml_float(node)
        if not math.isfinite(value):
            raise _refusal(f"{node.value} is not a finite number", node)
        return value


_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers = _RESOLVERS

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _refusal(reason: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=reason, problem_mark=where.start_mark)


def parse(text: str) -> Any:
    """Return the data that a YAML text means: mappings, lists, words, numbers, true and null.

    Raises:
        ConfigError: it is no such text; says the line.
    """
    if len(text) > MAX_SIZE:
        raise ConfigError(f"more than {MAX_SIZE} characters: this is no configuration")
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{where}{error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"not YAML: {error}") from None
    except RecursionError:
        raise ConfigError("nested too deeply") from None


def dump(data: Any) -> str:
    """Return the YAML text that `parse` reads as `data`."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
