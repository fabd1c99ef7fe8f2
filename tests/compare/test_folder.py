import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robo_al.compare import folder as module
from robo_al.compare.folder import begun_in, check_folder, continued, differences, lock, planned
from robo_al.compare.plan import Plan, content_hash, load_plan
from robo_al.config import plain_yaml
from robo_al.errors import RunFolderError

Write = Callable[..., Path]


@pytest.fixture
def begun(write: Write, tmp_path: Path) -> Path:
    """The folder of a comparison that was begun."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "comparison.yaml").write_text(load_plan(write()).text())
    return out


def test_a_new_or_an_empty_folder_will_do(write: Write, tmp_path: Path) -> None:
    plan = load_plan(write())
    check_folder(plan, tmp_path / "new", resume=False)
    check_folder(plan, tmp_path / "new", resume=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "lock").touch()  # of a process that was killed at once
    (tmp_path / "empty" / ".comparison.yaml.tmp").touch()
    check_folder(plan, tmp_path / "empty", resume=False)


def test_a_folder_with_something_in_it_is_not_touched(write: Write, tmp_path: Path) -> None:
    plan = load_plan(write())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(RunFolderError, match=r"it has thesis.txt\); give a new folder$"):
        check_folder(plan, tmp_path / "mine", resume=False)
    with pytest.raises(RunFolderError, match="no comparison here"):
        check_folder(plan, tmp_path / "mine", resume=True)
    with pytest.raises(RunFolderError, match="not a folder"):
        check_folder(plan, tmp_path / "comparison.yaml", resume=True)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"seeds": [2, 1, 0]},
        {"strategies": ["variance", "random", "joint_information"]},
        {"bounds": ["true_dynamics"]},
    ],
)
def test_a_comparison_may_be_continued_with_more(
    write: Write, begun: Path, more: dict[str, Any]
) -> None:
    check_folder(load_plan(write(**more)), begun, resume=True)


def test_a_comparison_may_be_continued_with_more_tasks(
    write: Write, begun: Path, tmp_path: Path
) -> None:
    tasks = {"fake": {"config": f"{tmp_path}/fake.yaml"}, "pendulum": {}}
    check_folder(load_plan(write(tasks=tasks)), begun, resume=True)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"budget": 2}, "tasks.fake.budget: 3 there, 2 here"),
        ({"seeds": [0, 2]}, "seeds: 1 there, missing here"),
        ({"strategies": ["random"]}, "strategies.joint_information: there, missing here"),
        (
            {"strategies": {"random": "variance", "joint_information": "joint_information"}},
            'strategies.random.acquisition.name: "random" there, "variance" here',
        ),
        ({"tasks": ["pendulum"]}, "tasks.fake: there, missing here"),
    ],
)
def test_another_comparison_is_refused_with_what_differs(
    write: Write, begun: Path, other: dict[str, Any], message: str
) -> None:
    with pytest.raises(RunFolderError) as caught:
        check_folder(load_plan(write(**other)), begun, resume=True)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{begun}: has another comparison; give a new folder"
    assert lines[1] == f"  {message}"


def test_of_many_differences_the_first_are_named() -> None:
    was = {"tasks": {"a": dict.fromkeys("cdefghij", 1)}, "strategies": {}}
    now = {"tasks": {"a": {"c": {"x": 1}, "k": 2}}, "strategies": {"new": 1}}
    lists = {"seeds": [0], "bounds": []}
    found = differences(was | lists, now | lists)
    assert found[:2] == ['tasks.a.c: 1 there, {"x": 1} here', "tasks.a.d: 1 there, null here"]
    assert found[-1] == "tasks.a.k: null there, 2 here"
    assert len(found) == 9


@pytest.mark.parametrize("text", ["", "tasks: 1", "a: [", "tasks: {}\nsha256: abc"])
def test_an_altered_record_is_refused(write: Write, begun: Path, text: str) -> None:
    (begun / "comparison.yaml").write_text(text)
    with pytest.raises(RunFolderError, match="not as a comparison wrote it"):
        check_folder(load_plan(write()), begun, resume=True)


def test_altering_one_number_is_noticed(write: Write, begun: Path) -> None:
    path = begun / "comparison.yaml"
    content = plain_yaml.parse(path.read_text())
    content["tasks"]["fake"]["config"]["candidates"] += 1
    path.write_text(plain_yaml.dump(content))
    with pytest.raises(RunFolderError, match="not as a comparison wrote it"):
        check_folder(load_plan(write()), begun, resume=True)


# ---------------------------------------------------------------- the lock


def test_a_folder_in_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    with lock(tmp_path), pytest.raises(RunFolderError, match="in use by another process"):
        lock(tmp_path)
    lock(tmp_path).close()


def test_a_folder_is_waited_for_until_the_last_worker_has_ended(tmp_path: Path) -> None:
    held, ended = lock(tmp_path), threading.Event()

    def end() -> None:
        ended.set()
        held.close()

    timer = threading.Timer(0.5, end)
    timer.start()
    lock(tmp_path).close()
    assert ended.is_set()
    timer.join()


# ---------------------------------------------------------------- what it read


@pytest.mark.parametrize("part", ["plugin", "file", "recording"])
def test_what_was_read_and_has_changed_is_named(part: str) -> None:
    was = {"tasks": {}, "strategies": {}, "seeds": [], "bounds": [], "inputs": {part: "a"}}
    assert differences(was, was) == []
    assert differences(was, was | {"inputs": {part: "b"}}) == [
        f"{part}: its content is not what it was when this began"
    ]
    before = {key: value for key, value in was.items() if key != "inputs"}  # an earlier version's
    assert differences(before, was) == []


def test_the_seeds_that_were_planned_first_stay_so(write: Write, begun: Path) -> None:
    more = continued(load_plan(write(seeds=5), begun_in(begun)), begun)
    assert (more.planned, more.seeds) == ((0, 1), (0, 1, 2, 3, 4))
    assert load_plan(write(seeds=5)).planned == (0, 1, 2, 3, 4)
    assert planned(begun).planned == (0, 1)


def test_seeds_and_rollouts_that_are_added_stay(write: Write, begun: Path) -> None:
    def asked(path: Path, **more: int) -> Plan:
        plan = load_plan(path, begun_in(begun), **more)
        check_folder(plan, begun, resume=True)
        return continued(plan, begun)

    more = asked(write(), seeds=2, budget=5)
    assert (more.seeds, more.planned) == ((0, 1, 2, 3), (0, 1))
    assert [(task.budget, task.earlier_budgets) for task in more.tasks] == [(8, (3,))]
    assert {config.rounds for config in more.configs.values()} == {8}
    (begun / "comparison.yaml").write_text(more.text())
    assert asked(write()) == more
    largest = asked(write(budget=10), seeds=1)
    assert largest.seeds == (0, 1, 2, 3, 4)
    assert [(task.budget, task.earlier_budgets) for task in largest.tasks] == [(10, (3, 8))]


def test_an_earlier_folder_says_neither_reference_nor_planned_seeds(
    write: Write, begun: Path
) -> None:
    content = load_plan(write()).content()
    for key in ("reference", "planned_seeds", "inputs"):
        del content[key]
    content["sha256"] = content_hash(content)
    (begun / "comparison.yaml").write_text(plain_yaml.dump(content))
    assert (planned(begun).reference, planned(begun).planned) == ("random", ())
    check_folder(load_plan(write(reference="joint_information")), begun, resume=True)
