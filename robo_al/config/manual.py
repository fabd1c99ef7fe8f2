"""What a part takes and what it means, read off its signature and its docstring.

`robo-al list`, `robo-al describe` and docs/configuration.md say what these functions return, so
that a docstring is the only place where a parameter is explained.
"""

import inspect
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from robo_al import plugins
from robo_al.config.components import Component, parameters_of
from robo_al.config.schema import Config
from robo_al.config.settings import entries_of
from robo_al.types import EnvSpec

_SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Attributes|Example|Examples):$", re.MULTILINE)
_ARGUMENT = re.compile(r"^ {4}\**(\w+)(?: \([^)]*\))?: ")


@dataclass(frozen=True)
class Parameter:
    """One entry that a configuration may have."""

    name: str
    """Its path: `samples`, `evaluation.starts`."""
    kind: str
    """Its type in words: `integer or none`."""
    range: str
    """`1 to 10,000`; empty where any value of the type is one."""
    default: str | None
    """As YAML says it; None where it has to be given."""
    meaning: str


@dataclass(frozen=True)
class Description:
    """What is to be known of a part."""

    summary: str
    """The first sentence of its docstring."""
    text: str
    """The rest of it, before the sections of parameters and errors."""
    module: str
    """The docstring of its module: where it is from, its formula."""
    parameters: tuple[Parameter, ...]


def describe(group: str, name: str) -> Description:
    """Describe a part.

    Args:
        group: envs, policies, models, ..., or drivers.
        name: as a configuration names it.

    Raises:
        PluginError: there is none, or it cannot be imported.
    """
    part = _constructor(group, name)
    summary, text = _read(_docstring(part))
    meanings = _meanings(part)
    module = inspect.cleandoc(getattr(inspect.getmodule(part), "__doc__", None) or "")
    parameters = []
    for key, parameter in parameters_of(group, part).items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kind, limits = _kind_of(parameter.annotation)
        given = parameter.default is parameter.empty
        default = None if given else _as_yaml(parameter.default)
        parameters.append(Parameter(key, kind, limits, default, meanings.get(key, "")))
    return Description(summary, text, module, tuple(parameters))


def entries(model: type[BaseModel] = Config, above: str = "") -> Iterator[Parameter]:
    """Yield every entry of a configuration, those of its mappings after them."""
    for key in entries_of(model):
        field = model.model_fields[key]
        kind, limits = _kind_of(_annotation(field))
        default = None if field.is_required() else _as_yaml(field.get_default())
        meaning = _flowing(field.description or "")
        yield Parameter(f"{above}{key}", kind, limits, default, meaning)
        inner = _mapping_in(field.annotation)
        if inner is not None:
            yield from entries(inner, f"{above}{key}.")


def first_comment(path: Path) -> str:
    """Return the first sentence of the comment that a file begins with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    text = _flowing(" ".join(line.lstrip("# ") for line in comment))
    return re.split(r"(?<=\.) (?=[A-Z])", text)[0]


def _constructor(group: str, name: str) -> Any:
    """Return the class or function that makes a part."""
    if group != "envs" or not name.startswith(plugins.GYMNASIUM):
        return plugins.load(group, name)
    import gymnasium
    from gymnasium.envs.registration import load_env_creator

    plugins.env_maker(EnvSpec(name))  # imports what registers it, or says what is wrong
    entry = gymnasium.spec(name.rpartition(":")[2]).entry_point
    return load_env_creator(entry) if isinstance(entry, str) else entry


# ---------------------------------------------------------------- docstrings


def _docstring(part: Any) -> str:
    """Return the docstring that somebody wrote for a part itself."""
    own = vars(part).get("__doc__") if inspect.isclass(part) else part.__doc__
    text = inspect.cleandoc(own or "")
    made_up = text.startswith(f"{getattr(part, '__name__', '')}(")  # by `dataclass`
    return "" if made_up else text


def _read(docstring: str) -> tuple[str, str]:
    """Return the first paragraph, and the rest before the sections of arguments and errors."""
    text = _SECTION.split(docstring)[0]
    paragraphs = [part for part in text.split("\n\n") if not part.startswith("#")]  # a heading
    return _flowing(paragraphs[0]) if paragraphs else "", "\n\n".join(paragraphs[1:]).strip()


def _meanings(part: Any) -> dict[str, str]:
    """Return what each argument means: as a class says it, its constructor, or what it inherits."""
    owners = reversed(part.__mro__) if inspect.isclass(part) else ()
    found = dict[str, str]()
    for owner in [*owners] or [part]:
        for text in (owner.__doc__, owner.__init__.__doc__):
            found |= _arguments_in(inspect.cleandoc(text or ""))
    return found


def _arguments_in(docstring: str) -> dict[str, str]:
    """Return what the section of arguments says of each."""
    pieces = _SECTION.split(docstring)
    sections = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    meanings, key = dict[str, str](), ""
    for line in sections.get("Args", "").splitlines():
        found = _ARGUMENT.match(line)
        if found:
            key = found[1]
            meanings[key] = line[found.end() :].strip()
        elif key:
            meanings[key] = f"{meanings[key]} {line.strip()}".strip()
    return meanings


def _flowing(text: str) -> str:
    """Return a text in one line."""
    return " ".join(text.split())


# ---------------------------------------------------------------- types in words


def _annotation(field: FieldInfo) -> Any:
    """Return a field's type with its range, as it was written."""
    kind: Any = field.annotation
    for limit in field.metadata:
        kind = Annotated[kind, limit]
    return kind


def _mapping_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model of a mapping's entries, if that is what an entry holds."""
    choices = [annotation, *getattr(annotation, "__args__", ())]
    for choice in choices:
        model = inspect.isclass(choice) and issubclass(choice, BaseModel)
        if model and choice is not Component:
            return choice  # type: ignore[no-any-return]
    return None


def _kind_of(annotation: Any) -> tuple[str, str]:
    """Return a type and its range in words."""
    if annotation is inspect.Parameter.empty:
        return "any value", ""
    if isinstance(annotation, str):
        return annotation, ""
    try:
        schema = TypeAdapter(annotation).json_schema()
    except Exception:  # a type that no configuration can say: an array, a function
        return getattr(annotation, "__name__", str(annotation)), ""
    return _words(schema, schema.get("$defs", {}))


def _words(schema: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a JSON schema says, as type and range."""
    if "$ref" in schema:
        return _words(known[schema["$ref"].rpartition("/")[2]], known)
    if schema.get("title") == Component.__name__:
        return "component", ""
    if "anyOf" in schema:
        found = [_words(choice, known) for choice in schema["anyOf"]]
        kinds = list(dict.fromkeys(kind for kind, _ in found))
        return " or ".join(kinds), "; ".join(limits for _, limits in found if limits)
    if "enum" in schema or "const" in schema:
        choices = schema.get("enum") or [schema["const"]]
        return " or ".join(map(_as_yaml, choices)), ""
    return _plain_words(schema, known)


def _plain_words(schema: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a JSON schema of one type says."""
    names = {
        "integer": "integer",
        "number": "number",
        "string": "text",
        "boolean": "true or false",
        "object": "mapping",
        "null": "null",
    }
    kind = schema.get("type")
    if kind == "array":
        inner, limits = _words(schema.get("items", {}), known)
        fewest = f"at least {schema['minItems']} of them" if "minItems" in schema else ""
        return f"list of: {inner}", ", ".join(filter(None, [fewest, limits and f"each {limits}"]))
    return names.get(str(kind), "any value"), _range(schema)


def _range(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{low:,} to {high:,}"
    parts = {"at least": low, "above": above, "at most": high, "below": below}
    return ", ".join(
        f"{word} {_number(value)}" for word, value in parts.items() if value is not None
    )


def _number(value: float) -> str:
    return "2^63" if value == 2**63 else f"{value:,}"


def _as_yaml(value: Any) -> str:
    """Return a value as a configuration says it, in a line."""
    if isinstance(value, Component):
        return value.name if not value.parameters else json.dumps(value.model_dump())
    if isinstance(value, BaseModel):
        return "{}"
    if isinstance(value, str):
        return value or '""'
    try:
        return json.dumps(value)
    except TypeError:
        return repr(value)
