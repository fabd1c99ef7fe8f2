"""YAML as configurations need it: plain data, and nothing that surprises.

Differs from `yaml.safe_load`: scalars are YAML 1.2's (`1e-3` is a number, `True` is true, `no` is a
word), a key given twice is refused instead of dropped, numbers are finite, and there are no
aliases, because a few hundred bytes of those expand without bound.
"""

import math
import re
from typing import Any

import yaml
from yaml.nodes import Node, ScalarNode

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


def problem(error: yaml.MarkedYAMLError) -> str:
    """Return what is wrong with a text, and where in it."""
    mark = error.problem_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{where}{error.problem}"


def _refusal(reason: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=reason, problem_mark=where.start_mark)
