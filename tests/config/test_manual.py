import runpy
from pathlib import Path

import pytest

from robo_al.commands.plugins import GROUPS
from robo_al.config.manual import describe, entries, first_comment
from robo_al.config.schema import Config
from robo_al.plugins import known

ROOT = Path(__file__).parents[2]
SHIPPED = [
    (group, name)
    for group in GROUPS
    for name, target in known(group).items()
    if target.startswith("robo_al")
]


@pytest.mark.parametrize(("group", "name"), SHIPPED)
def test_every_parameter_of_every_part_has_a_type_and_a_meaning(group: str, name: str) -> None:
    part = describe(group, name)
    assert part.summary.endswith(".") and "\n" not in part.summary
    for parameter in part.parameters:
        assert parameter.meaning and parameter.kind != "any value", parameter


def test_every_entry_of_a_configuration_has_a_type_and_a_meaning() -> None:
    found = {entry.name: entry for entry in entries()}
    assert set(Config.model_fields) <= set(found)
    assert {"evaluation.starts", "loop.mode", "strategy.constraint.delta"} <= set(found)
    assert all(entry.meaning and entry.kind != "any value" for entry in found.values())


def test_types_ranges_and_defaults_are_in_words() -> None:
    found = {entry.name: (entry.kind, entry.range, entry.default) for entry in entries()}
    assert found["env"] == ("component", "", None)
    assert found["model"] == ("component", "", "gp")
    assert found["rounds"] == ("integer", "1 to 1,000,000", "10")
    assert found["seed"] == ("integer", "at least 0, below 2^63", "0")
    assert found["threshold"] == ("number or null", "", "null")
    assert found["loop.mode"] == ("sequential or overlapped", "", "sequential")
    assert found["strategy.constraint.delta"] == ("number", "above 0, below 1", None)
    sb3 = {entry.name: entry for entry in describe("policies", "sb3").parameters}
    assert "task" not in sb3 and "device" not in sb3  # which no configuration says
    assert sb3["hidden"].kind == "list of: integer or null"
    assert sb3["hidden"].range == "at least 1 of them, each 1 to 10,000"


def test_meanings_are_those_of_a_class_its_constructor_and_what_it_inherits(
    tmp_path: Path,
) -> None:
    (tmp_path / "arm.py").write_text(
        "class Base:\n"
        "    '''Base.\n\n    Args:\n        stiffness: of the joints,\n"
        "            in N m.\n    '''\n"
        "class Arm(Base):\n"
        "    '''An arm.\n\n    Of a lab.\n    '''\n"
        "    def __init__(self, stiffness: float, grip=None):\n"
        "        '''Make it.\n\n        Args:\n            grip: of its hand.\n        '''\n"
    )
    arm = describe("oracles", f"{tmp_path / 'arm.py'}:Arm")
    assert (arm.summary, arm.text) == ("An arm.", "Of a lab.")
    stiffness, grip = arm.parameters
    assert (stiffness.meaning, stiffness.default) == ("of the joints, in N m.", None)
    assert (grip.meaning, grip.default, grip.kind) == ("of its hand.", "null", "any value")


def test_an_env_of_gymnasium_is_described() -> None:
    part = describe("envs", "gymnasium:Pendulum-v1")
    assert part.summary.startswith("The inverted pendulum")
    assert {"g", "render_mode"} <= {parameter.name for parameter in part.parameters}


def test_a_file_is_told_by_the_first_sentence_of_its_comment() -> None:
    told = first_comment(ROOT / "configs" / "pendulum.yaml")
    assert told == "Pendulum swing-up from random starts (TIP's)."


def test_the_reference_is_complete_and_up_to_date(tmp_path: Path) -> None:
    written = tmp_path / "configuration.md"
    runpy.run_path(str(ROOT / "docs" / "configuration.py"))["main"](written)
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert text == written.read_text(encoding="utf-8"), "it is not up to date: make docs"
    for _, name in SHIPPED:
        assert f"#### `{name}`" in text
    for entry in entries():
        assert f"| `{entry.name}` |" in text
