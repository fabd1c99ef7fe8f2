"""Entries of a configuration that are given on the command line: `--seed 3 --model.samples=8`.

A number after a plus sign is added to what the configuration says: `--rounds +5`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robo_al.config import plain_yaml
from robo_al.errors import ConfigError, UserError

SHOWN = 80
"""Characters of an override that a message shows."""


@dataclass(frozen=True)
class Override:
    """One entry that is given in place of a configuration's own."""

    key: str
    """Where it belongs: `model.samples`."""
    value: Any
    typed: str
    """What was typed, for messages: `--model.samples=8`."""
    more: bool = False
    """Whether the value is added to what the configuration says."""

    def covers(self, path: str) -> bool:
        """Return whether what is wrong at a path was given by this override."""
        inside = path == self.key or path.startswith(f"{self.key}.")
        return inside or path == self.key.removesuffix(".name")


def split_arguments(
    tokens: Sequence[str], what: str = "configuration", example: str = "robo-al run cartpole"
) -> tuple[str, list[str]]:
    """Tell a configuration's name, or a run's folder, from the overrides before and after it.

    Args:
        tokens: `--seed 3 cartpole --device=cpu`, in any order.
        what: it is that has to be given, for the message.
        example: of a whole command.

    Returns:
        The name, and the other tokens.

    Raises:
        UserError: there is no name.
    """
    overrides, rest = list[str](), list(tokens)
    while rest:
        token = rest.pop(0)
        if not token.startswith("--"):
            return token, overrides + rest
        overrides.append(token)
        if "=" not in token and rest and not rest[0].startswith("--"):
            overrides.append(rest.pop(0))
    pairs = zip(overrides, overrides[1:], strict=False)
    taken = [f"{value} is the value of {key}" for key, value in pairs if _takes(key, value)]
    reason = f" ({', '.join(taken)})" if taken else ""
    raise UserError(f"no {what} is given{reason}; for example: {example}")


def _takes(key: str, value: str) -> bool:
    return key.startswith("--") and not value.startswith("--")


def parse_overrides(tokens: Sequence[str]) -> list[Override]:
    """Read `--key value` and `--key=value`; names come before the parameters that need them.

    Raises:
        ConfigError: a token that is no override, has no value, or whose value is no YAML.
    """
    found, rest = list[Override](), list(tokens)
    while rest:
        token = typed = rest.pop(0)
        key, equals, text = token.removeprefix("--").partition("=")
        if not token.startswith("--") or not key:
            raise ConfigError(f"{token}: expected an override such as --seed 3")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise ConfigError(f"{token}: no value is given")
            text = rest.pop(0)
            typed = f"{token} {text}"
        typed = typed if len(typed) <= SHOWN else f"{typed[:SHOWN]}..."
        try:
            value = plain_yaml.parse(text)
            more = text.startswith("+") and isinstance(value, int | float)
            found.append(Override(key, value, typed, more))
        except ConfigError as error:
            raise ConfigError(f"{typed}: {error}") from None
    return sorted(found, key=lambda item: "." in item.key and not item.key.endswith(".name"))
