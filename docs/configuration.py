"""Writes docs/configuration.md from the docstrings: `python docs/configuration.py FILE`."""

import sys
from collections.abc import Iterable
from pathlib import Path

from robo_al.config.changes import MAY_CHANGE
from robo_al.config.manual import Parameter, describe, entries
from robo_al.plugins import known

TITLES = {
    "envs": "Tasks: `env`",
    "encoders": "Encoders: `encoder`",
    "policies": "Policies: `policy` and `explorer`",
    "models": "Models: `model`",
    "acquisitions": "Acquisition functions: `strategy.acquisition`",
    "selectors": "Selectors: `strategy.selector`",
    "costs": "Costs: `strategy.cost`",
    "oracles": "Oracles: `oracle`",
    "drivers": "Drivers: `driver` in an agent's configuration",
}
"""Of the sections, by group of plugins."""
HEAD = """\
# Configuration reference

<!-- `make docs` writes this page from the docstrings: change those. -->

A configuration is a YAML file of these entries, of which only `env` has to be given:
`env: pendulum` is complete. A *component* is a part that can be exchanged: a name, or a mapping of
a name and the parameters that are listed [below](#components) for each that comes with robo-al, as
in `model: {name: gp, samples: 8}`; [a part of your own](plugins.md) is named as `module:Class` or
`path/to/file.py:Class`. The bare name of an acquisition function or a selector is a whole
`strategy`. None is `null` in YAML.

Any entry can be overridden on the command line by its path, `--model.samples 8`. What is wrong is
told entry by entry before anything is written. `robo-al list` names every component, and
`robo-al describe NAME` says what is here in the terminal, also of a part of your own.

## Entries

"""
CHANGES = """
A run that goes on may have other values of {free}; a mapping's entries are included. In
`robo-al resume DIR --rounds +5` the plus sign means five more than the run has now. Every other
change is another experiment, and refused.

## Components
"""


def main(path: Path) -> None:
    """Write the page."""
    free = ", ".join(f"`{entry}`" for entry in MAY_CHANGE)
    text = HEAD + _table(entries()) + CHANGES.format(free=free)
    for group, title in TITLES.items():
        text += f"\n### {title}\n"
        ours = [name for name, target in known(group).items() if target.startswith("robo_al")]
        text += "".join(_component(group, name) for name in ours)
    path.write_text(text, encoding="utf-8")


def _component(group: str, name: str) -> str:
    part = describe(group, name)
    table = f"\n{_table(part.parameters)}" if part.parameters else ""
    return f"\n#### `{name}`\n\n{part.summary}\n{table}"


def _table(parameters: Iterable[Parameter]) -> str:
    lines = ["| entry | type | range | default | meaning |", "|---|---|---|---|---|"]
    for entry in parameters:
        default = "*has to be given*" if entry.default is None else f"`{entry.default}`"
        cells = [f"`{entry.name}`", entry.kind, entry.range, default, entry.meaning]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
