"""`list`, `describe` and `check`: which parts there are, what they take, whether they fit."""

import argparse
import json
import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_al.commands import AddCommand
from robo_al.errors import PluginError

if TYPE_CHECKING:
    from robo_al.types import EnvFacts

GROUPS = (
    "envs",
    "encoders",
    "policies",
    "models",
    "acquisitions",
    "selectors",
    "costs",
    "oracles",
    "drivers",
)
"""Kinds of plugins."""
FILES = {"configs": "", "comparisons": "compare"}
"""What else has a name: the files that come with robo-al, by their folders."""


def add(command: AddCommand) -> None:
    """Add the commands."""
    listing = command("list", _list, "list what is installed under a name, each in a line")
    listing.add_argument("group", nargs="?", choices=(*GROUPS, *FILES), help="all by default")
    described = command("describe", _describe, "tell what a part does, and what parameters it has")
    described.add_argument("spec", metavar="SPEC", help="a name, module:Class or path.py:Class")
    described.add_argument("--group", choices=(*GROUPS, *FILES), help="which of several of a name")
    check = command("check", _check, "check that a plugin keeps its contract")
    check.add_argument("spec", metavar="SPEC", help="a name, module:Class or path.py:Class")
    check.add_argument("--group", choices=GROUPS, help="what it is, where that is not clear")
    check.add_argument("--env", default="pendulum", help="the env to check it on (%(default)s)")
    check.add_argument(
        "--parameters", type=_mapping, default={}, metavar="JSON", help="of its constructor"
    )
    check.add_argument(
        "--facts",
        type=_mapping,
        default={},
        metavar="JSON",
        help='what a configuration says of the env: {"action_limits": [-1, 1], "horizon": 200}',
    )
    check.add_argument("--move", action="store_true", help="a driver: let the robot move a little")
    check.add_argument(
        "--execute",
        action="store_true",
        help="an oracle: let it execute four short rollouts, though it is not `repeatable`",
    )


def _list(options: argparse.Namespace) -> None:
    groups = [options.group] if options.group else [*GROUPS, *FILES]
    for number, group in enumerate(groups):
        if len(groups) > 1:
            print(f"\n{group}" if number else group)
        names = _names(group)
        width = max(map(len, names), default=0)
        for name in names:
            print(f"{name:{width}}  {_in_a_line(group, name)}", flush=True)


def _names(group: str) -> list[str]:
    from robo_al.config.sources import shipped_configs
    from robo_al.plugins import SUITES, known

    if group in FILES:
        return list(shipped_configs(FILES[group]))
    return [*known(group), *(f"{suite}:TASK" for suite in known(SUITES) if group == "envs")]


def _in_a_line(group: str, name: str) -> str:
    """Return what a part is, or why it cannot be imported."""
    from robo_al.config.manual import describe, first_comment
    from robo_al.config.sources import shipped_configs

    if group in FILES:
        return first_comment(shipped_configs(FILES[group])[name])
    try:
        return describe(group, name).summary or "(it has no docstring)"
    except PluginError as error:
        return f"not available: {error}"


def _describe(options: argparse.Namespace) -> None:
    spec = options.spec
    groups = [group for group in (*GROUPS, *FILES) if ":" not in spec and spec in _names(group)]
    if options.group:
        groups = [options.group]
    elif not groups:
        from robo_al.checks.groups import groups_of

        groups = groups_of(spec, GROUPS)
    if len(groups) > 1:
        print(f"{spec} is the name of {len(groups)} parts, in {', '.join(groups)}\n")
    for number, group in enumerate(groups):
        print("\n" * bool(number) + "\n".join(_told(group, spec)))


def _told(group: str, spec: str) -> list[str]:
    """Return all that is to be known of a part, in lines as wide as the terminal."""
    from robo_al.config.manual import describe
    from robo_al.config.sources import shipped_configs
    from robo_al.plugins import known

    if group in FILES:
        files = shipped_configs(FILES[group])
        if spec not in files:
            raise PluginError(f"{spec}: none of the {group}, which are {', '.join(files)}")
        path = files[spec]
        return [f"{group}: {spec} ({path})", "", path.read_text(encoding="utf-8").rstrip()]
    part = describe(group, spec)
    where = f" ({known(group)[spec]})" if spec in known(group) else ""
    lines = [f"{group}: {spec}{where}", *_wrapped(part.summary or "It has no docstring.")]
    for text in (part.text, part.module):
        lines += ["", text] if text else []
    lines += ["", "Parameters:" if part.parameters else "It has no parameters."]
    for parameter in part.parameters:
        facts = [parameter.kind, parameter.range]
        facts += ["has to be given"] if parameter.default is None else []
        facts += [] if parameter.default is None else [f"by default {parameter.default}"]
        lines += _wrapped(f"{parameter.name}: {', '.join(filter(None, facts))}", 2)
        lines += _wrapped(parameter.meaning, 6)
    return lines


def _wrapped(text: str, indent: int = 0) -> list[str]:
    width = shutil.get_terminal_size().columns
    return textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2 if indent == 2 else indent),
        break_on_hyphens=False,
        break_long_words=False,
    )


def _check(options: argparse.Namespace) -> None:
    from robo_al.checks import check_plugin
    from robo_al.checks.groups import groups_of
    from robo_al.types import EnvSpec

    env = EnvSpec(options.env, facts=_facts(options.facts))
    group = options.group
    if group is None and "python" in options.parameters:  # which only an env can have
        group = "envs"
    groups = [group] if group else groups_of(options.spec, GROUPS)
    for group in groups:
        if group == "drivers":
            print(_check_driver(options))
            print(f"{options.spec} keeps the contract of {group}")
            continue
        report = check_plugin(group, options.spec, options.parameters, env, options.execute)
        for note in report.notes:
            print(f"note: {note}")
        limit = ", as far as it was tried" if report.not_tried else ""
        print(f"{options.spec} keeps the contract of {group}{limit}")
        print(textwrap.indent(str(report), "  "))


def _facts(entries: dict[str, Any]) -> "EnvFacts":
    """Return what is said of an env, checked as in a configuration."""
    from dataclasses import fields

    from robo_al.config.load import check_config
    from robo_al.errors import ConfigError
    from robo_al.types import EnvFacts

    known = [field.name for field in fields(EnvFacts)]
    if unknown := [key for key in entries if key not in known]:
        raise ConfigError(f"--facts: no {unknown[0]!r} is said of an env; it is {', '.join(known)}")
    config = check_config({"env": "pendulum", **entries}, "--facts")  # any env: it is not made
    return EnvFacts.of(config.model_dump())


def _check_driver(options: argparse.Namespace) -> object:
    """Check a driver of a robot's agent; return what was seen of it."""
    from robo_al_agent.conformance import check_driver
    from robo_al_agent.drivers.loading import make_driver
    from robo_al_agent.errors import AgentError

    try:
        driver = make_driver({"name": options.spec, **options.parameters}, Path.cwd())
        return check_driver(driver, move=options.move)
    except AgentError as error:
        raise PluginError(str(error)) from error.__cause__


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f'{text!r} is no JSON object like {{"port": "/dev/x"}}')
    return value
