from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robo_al.compare.entries import TaskEntry, read_entries
from robo_al.errors import ConfigError

Write = Callable[..., Path]


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_entries(path)
    assert caught.value.exit_code == 2
    return str(caught.value).removeprefix(f"{path}: ")


def test_lists_of_names_are_short_for_mappings(write: Write) -> None:
    short = read_entries(write(tasks=["pendulum", "my/arm.yaml"], strategies=["random"], seeds=2))
    whole = read_entries(
        write(
            tasks={"pendulum": None, "arm": {"config": "my/arm.yaml", "budget": 3}},
            strategies={"random": "random"},
            seeds=[0, 1],
        )
    )
    assert short == whole
    assert short.tasks["arm"] == TaskEntry("my/arm.yaml", 3, {})


def test_a_task_may_have_a_budget_of_its_own_and_overrides(write: Write) -> None:
    entries = read_entries(write(tasks={"pendulum": {"candidates": 8, "budget": 5}}, budget=20))
    assert entries.tasks["pendulum"] == TaskEntry("pendulum", 5, {"candidates": 8})


def test_what_a_strategy_means_is_left_alone(write: Write) -> None:
    value = {"acquisition": "target_information", "cost": {"name": "seconds", "budget": 30}}
    assert read_entries(write(strategies={"careful": value})).strategies == {"careful": value}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"seeds": None}, "seeds: expected how many, or a list of seeds, given null"),
        ({"seeds": []}, "seeds: expected how many, or a list of seeds, given []"),
        ({"seeds": 0}, "seeds: expected how many, or a list of seeds, given 0"),
        ({"seeds": True}, "seeds: expected how many, or a list of seeds, given true"),
        ({"seeds": [1, "2"]}, 'seeds: expected how many, or a list of seeds, given [1, "2"]'),
        ({"seeds": [3, 1, 3]}, "seeds: 3 is given twice"),
        ({"seed": 3}, "seed: unknown key; did you mean seeds?"),
        ({"tasks": None}, "tasks: expected a list of names, or a mapping, given null"),
        ({"tasks": []}, "tasks: expected a list of names, or a mapping, given []"),
        ({"tasks": ["a/x.yaml", "b/x.yaml"]}, "tasks: a name is given twice"),
        ({"tasks": {"p": 8}}, "tasks.p: expected a mapping, what to override, given 8"),
        ({"tasks": {"p": {"config": 1}}}, "tasks.p.config: expected a file or a name, given 1"),
        ({"budget": None}, "tasks.fake: no budget; give `budget: 20`, rollouts of a run"),
        ({"budget": 2.5}, "tasks.fake: its budget, 2.5, is no number of rollouts"),
        ({"strategies": {}}, "strategies: expected a list of names, or a mapping, given {}"),
        (
            {"strategies": ["my.py:Mine"]},
            "strategies.my.py:Mine: no name for a folder; give `strategies: {a_name: ...}`",
        ),
        (
            {"strategies": {"../up": "random"}},
            "strategies.../up: no name for a folder; give `strategies: {a_name: ...}`",
        ),
        (
            {"strategies": ["all_knowing"]},
            "strategies.all_knowing: this name is a bound's; choose another",
        ),
        (
            {"bounds": ["best"]},
            'bounds: expected a list of true_dynamics and all_knowing, given ["best"]',
        ),
        ({"bounds": [{}]}, "bounds: expected a list of true_dynamics and all_knowing, given [{}]"),
    ],
)
def test_wrong_entries_are_refused(write: Write, entries: dict[str, Any], message: str) -> None:
    assert refusal(write(**entries)) == message


@pytest.mark.parametrize("key", ["strategy", "seed", "rounds", "device", "acquisition"])
def test_a_task_may_not_override_what_is_the_comparisons(write: Write, key: str) -> None:
    assert refusal(write(tasks={"pendulum": {key: 1}})).startswith(f"tasks.pendulum.{key}: ")


def test_everything_wrong_is_told_at_once(write: Write) -> None:
    said = refusal(write(seeds=[], task=1, strategies=["a b"], budget=0)).splitlines()
    assert said[0] == "cannot be used"
    assert [line.partition(":")[0] for line in said[1:]] == [
        "  task",
        "  tasks.fake",
        "  strategies.a b",
        "  seeds",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- pendulum", "expected a mapping"),
        ("tasks: [", "line 1"),
        ("tasks: [pendulum]\ntasks: [cartpole]", "the key `tasks` is given twice"),
    ],
)
def test_what_is_no_comparison_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "comparison.yaml"
    path.write_text(text)
    assert message in refusal(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nothing.yaml")
