"""YAML as configurations need it: plain data, read as `robo_al_agent.settings.plain_yaml` says."""

from typing import Any

import yaml

from robo_al.errors import ConfigError
from robo_al_agent.settings.plain_yaml import RESOLVERS, Loader, problem

MAX_SIZE = 1_000_000
"""Characters from which a text is not a configuration."""


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers = RESOLVERS

    def ignore_aliases(self, data: Any) -> bool:
        return True


def parse(text: str) -> Any:
    """Return the data that a YAML text means: mappings, lists, words, numbers, true and null.

    Raises:
        ConfigError: it is no such text; says the line.
    """
    if len(text) > MAX_SIZE:
        raise ConfigError(f"more than {MAX_SIZE} characters: this is no configuration")
    try:
        return yaml.load(text, Loader=Loader)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        raise ConfigError(problem(error)) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"not YAML: {error}") from None
    except RecursionError:
        raise ConfigError("nested too deeply") from None


def dump(data: Any) -> str:
    """Return the YAML text that `parse` reads as `data`."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
