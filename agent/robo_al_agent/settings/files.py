"""Settings as files: plain YAML, checked as a whole, every wrong entry told at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from robo_al_agent.errors import SetupError
from robo_al_agent.settings.plain_yaml import Loader, problem

MAX_BYTES = 1_000_000
"""From here on a file is no settings."""


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
