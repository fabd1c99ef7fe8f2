"""Components: the parts of a configuration that can be exchanged, and their parameters.

A component is a plugin's name and parameters of its constructor. Parameters are checked against
the constructor's signature before it is called, so that every wrong one is told at once.
"""

import inspect
import json
from typing import Annotated, Any, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
)

from robo_al import plugins
from robo_al.config.sources import nearest
from robo_al.errors import ConfigError, PluginError

GROUPS = {
    "env": "envs",
    "encoder": "encoders",
    "policy": "policies",
    "model": "models",
    "strategy.acquisition": "acquisitions",
    "strategy.selector": "selectors",
    "strategy.cost": "costs",
    "oracle": "oracles",
    "explorer": "policies",
}
"""The plugin group of each component of a configuration, by its path."""

_GIVEN = {
    "policies": ("task", "device"),
    "models": ("task", "device"),
    "oracles": ("env",),
    "encoders": ("space",),
}
"""Arguments of a constructor that the framework gives, by group."""


class WrongEntry(NamedTuple):
    """What is wrong in a configuration, and where."""

    path: str
    """`model.samples`"""
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Component(BaseModel):
    """An exchangeable part: which, and the parameters of its constructor."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    name: str = Field(min_length=1)
    """An entry point's name, `package.module:Class` or `path/to/file.py:Class`."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})

    def __repr__(self) -> str:
        """Say it as Python calls it: `gp(samples=8)`."""
        given = ", ".join(f"{key}={value!r}" for key, value in self.parameters.items())
        return f"{self.name}({given})" if given else self.name


def as_component(value: object) -> object:
    """Return what a bare name is short for; anything else as it is."""
    return {"name": value} if isinstance(value, str) else value


Part = Annotated[Component, BeforeValidator(as_component)]
"""A component in a configuration: a name, or a mapping of a name and parameters."""


def arguments(group: str, component: Component) -> dict[str, Any]:
    """Return the constructor's keyword arguments that a component's parameters stand for.

    Raises:
        ConfigError: parameters that are unknown, missing or of a wrong type: all of them.
        PluginError: no such plugin.
    """
    found, wrong = inspect_arguments(group, component)
    if wrong:
        lines = [f"{component.name}: cannot be constructed", *map(str, wrong)]
        raise ConfigError("\n  ".join(lines))
    return found


def inspect_arguments(group: str, component: Component) -> tuple[dict[str, Any], list[WrongEntry]]:
    """Return the constructor's keyword arguments, and those that are wrong.

    Raises:
        PluginError: no such plugin.
    """
    if group == "envs" and component.name.startswith(plugins.GYMNASIUM):
        return component.parameters, []  # Gymnasium checks these when it makes the env
    if group == "envs" and "python" in component.parameters:
        given = component.parameters["python"]
        reason = f"expected the path of an interpreter, given {json.dumps(given):.80}"
        # that Python checks the other parameters when it makes the env
        return component.parameters, [] if isinstance(given, str) and given else [
            WrongEntry("python", reason)
        ]
    parameters = parameters_of(group, plugins.load(group, component.name))
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = {
        k: p for k, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    found, wrong = component.parameters, list[WrongEntry]()
    for key, value in component.parameters.items():
        if key in known:
            try:
                found[key] = _convert(value, known[key].annotation)
            except ValidationError as error:
                details = error.errors()[0]
                path = ".".join(map(str, (key, *details["loc"])))
                wrong.append(WrongEntry(path, expectation(details)))
        elif not takes_any:
            hint = nearest(key, known) or f"; it has {', '.join(known) or 'none'}"
            wrong.append(WrongEntry(key, f"{component.name} has no such parameter{hint}"))
    for key, parameter in known.items():
        if parameter.default is parameter.empty and key not in found:
            wrong.append(WrongEntry(key, f"missing; {component.name} needs it"))
    return found, wrong


def parameters_of(group: str, constructor: Any) -> dict[str, inspect.Parameter]:
    """Return what a constructor takes, without what the framework gives it.

    Raises:
        PluginError: that cannot be read off it, as of some that are not written in Python.
    """
    try:
        found = inspect.signature(constructor, eval_str=True).parameters
    except Exception:  # annotations that exist for type checkers only, or are wrong
        try:
            found = inspect.signature(constructor).parameters
        except (TypeError, ValueError) as error:
            raise PluginError(f"{constructor!r}: its parameters are not known: {error}") from None
    given = _GIVEN.get(group, ())
    return {key: parameter for key, parameter in found.items() if key not in given}


def expectation(details: Any) -> str:
    """Return what was expected and what was given, from an error of pydantic's."""
    what = details["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    what = (
        what.replace("greater than or equal to", "at least")
        .replace("less than or equal to", "at most")
        .replace("a valid integer", "an integer")
        .replace("a valid boolean", "a boolean, true or false")
        .replace("a valid array", "a list")
        .replace("a valid", "a")
    )
    if details["type"] == "model_type":
        what = "a name, or a mapping of its entries"
    if details["type"] == "too_short":
        what = f"a list of at least {details['ctx']['min_length']}"
    return f"expected {what}, given {json.dumps(details['input'], default=repr):.80}"


def _convert(value: Any, annotation: Any) -> Any:
    """Return a JSON value as the annotated type, strictly: no word is taken for a number."""
    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        return value
    try:
        adapter = TypeAdapter(annotation)
    except Exception:  # no simple type (an array, say): the constructor itself has to check it
        return value
    return adapter.validate_json(json.dumps(value), strict=True)
