"""One comparison, four ways to read it: JSON, CSV, a page, a terminal; and Markdown."""

import csv
import io
import json
import runpy
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from robo_al.compare.analysis import analyse
from robo_al.compare.plan import Plan, TaskPlan
from robo_al.compare.records import RunRecord
from robo_al.compare.report import markdown, page, render, write_comparison
from robo_al.errors import StorageError

synthetic = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic.py"))))

TASKS = (
    TaskPlan("pendulum", -30.0, 12, "return"),
    TaskPlan("logged", None, 8, "minus held-out error"),
)
STRATEGIES = ("random", "joint_information", "ucb")
BOUNDS = ("true_dynamics", "all_knowing")
SEEDS = (0, 1, 2, 3, 4, 5, 6)
RATES = {"random": 0.15, "joint_information": 0.4, "ucb": 0.15, "all_knowing": 0.6}


def records() -> list[RunRecord]:
    """Return runs of which one failed and one is not there."""
    found = []
    for task in TASKS:
        found += synthetic.learning(task, RATES, SEEDS)
        found += [synthetic.run_of(task, "true_dynamics", seed, [-5.0 - seed]) for seed in SEEDS]
    found.remove(next(r for r in found if (r.task, r.strategy, r.seed) == ("logged", "ucb", 6)))
    failed = next(r for r in found if (r.task, r.strategy, r.seed) == ("pendulum", "ucb", 3))
    found[found.index(failed)] = synthetic.run_of(
        TASKS[0], "ucb", 3, [-90.0], "killed by SIGKILL | <out of memory>"
    )
    return found


def planned(
    tasks: Sequence[TaskPlan],
    strategies: Sequence[str] = STRATEGIES,
    seeds: Sequence[int] = SEEDS,
    bounds: Sequence[str] = BOUNDS,
) -> Plan:
    """Return a plan, of which a report needs no configurations."""
    names = (*strategies, *bounds)
    return Plan(tuple(tasks), names, tuple(seeds), tuple(bounds), {}, planned=tuple(seeds))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison's folder."""
    path = tmp_path_factory.mktemp("comparison")
    returned = write_comparison(path, planned(TASKS), records())
    assert json.loads((path / "comparison.json").read_text()) == json.loads(json.dumps(returned))
    return path


@pytest.fixture(scope="module")
def comparison(folder: Path) -> dict[str, Any]:
    """What its `comparison.json` holds."""
    return json.loads((folder / "comparison.json").read_text())  # type: ignore[no-any-return]


class Page(HTMLParser):
    """What a browser, or a screen reader, would make of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.pictures: list[str] = []
        self.text = ""
        self.feed(html)
        self.text = self.text.replace("\N{NO-BREAK SPACE}", " ")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.links += [given[k] or "" for k in ("src", "href", "xlink:href") if k in given]
        self.ids += [given["id"] or ""] if "id" in given else []
        if given.get("role") == "img":
            self.pictures.append(given["aria-label"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def seen(folder: Path) -> Page:
    """The page, as it is seen."""
    return Page((folder / "comparison.html").read_text(encoding="utf-8"))


def test_nothing_else_is_written(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "comparison.csv", "comparison.html", "comparison.json",
    ]  # fmt: skip


def test_csv_has_a_row_for_each_evaluation(folder: Path, comparison: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO((folder / "comparison.csv").read_text())))
    runs = {
        (task, strategy, run["seed"]): run
        for task, result in comparison["tasks"].items()
        for strategy, own in (result["strategies"] | result["bounds"]).items()
        for run in own["runs"]
    }
    assert len(rows) == sum(len(run["evaluations"]) or 1 for run in runs.values())
    for key, run in runs.items():
        own = [row for row in rows if (row["task"], row["strategy"], int(row["seed"])) == key]
        returns = [float(row["mean_return"]) for row in own if row["mean_return"]]
        assert returns == [row["mean_return"] for row in run["evaluations"]]
        solved = [int(row["rollouts"]) for row in own if row["solved"] == "1"]
        assert solved == ([run["solved_at"]["rollouts"]] if run["solved_at"] else [])
        assert {row["failed"] for row in own} == {run["failed"] or ""}
        assert {float(row["cpu_seconds"]) for row in own} == {run["cpu_seconds"]}


def test_page_needs_nothing_but_itself(seen: Page) -> None:
    assert all(link.startswith("#") for link in seen.links)
    assert {"script", "link", "iframe", "img"}.isdisjoint(seen.tags)
    within = {link[1:] for link in seen.links if link[1:].startswith(("task-", "left-", "decided"))}
    assert within == {"task-1", "task-2", "left-out", "decided"}
    assert within <= set(seen.ids)


def test_page_can_be_read_without_seeing_it(seen: Page) -> None:
    assert seen.tags.count("h1") == 1
    assert seen.tags.count("table") == seen.tags.count("caption") == 10
    # Of each task: rollouts saved, and the curves of two strategies and a bound, over rollouts and
    # over transitions; two of all.
    assert len(seen.pictures) == seen.tags.count("svg") == 2 * (1 + 2 * 3) + 2
    for words in seen.pictures:
        assert words.endswith(".")
    assert any(
        "Learning curve of ucb on pendulum, return: random goes from" in w for w in seen.pictures
    )


def test_page_answers_and_says_how_it_was_decided(seen: Page, comparison: dict[str, Any]) -> None:
    text = " ".join(seen.text.split())
    assert comparison["answer"] in text
    for result in comparison["tasks"].values():
        assert text.count(result["answer"]) >= 2
        for name, own in result["bounds"].items():
            assert f"{name} {own['sentence']}." in text
    assert "Wilcoxon's signed-rank test on the 7 seeds planned" in text
    assert text.count("regret to true_dynamics") == text.count("The bound is no supremum") == 2
    for part in ("95 % band", "n = 6 to 7 seeds", "perfect model", "training transitions"):
        assert part in text


def test_what_found_starts_lose_is_said_of_their_task_alone(tmp_path: Path) -> None:
    tasks = (TaskPlan("wandering", -30.0, 12, "return", finds_starts=True), TASKS[0])
    runs = [run for task in tasks for run in synthetic.learning(task, RATES, SEEDS)]
    found = write_comparison(tmp_path, planned(tasks, bounds=()), runs)
    console = Console(width=300, record=True, file=io.StringIO())
    console.print(render(found))
    whole = page(found)
    for text in (whole, markdown(found), console.export_text()):
        assert text.count("are found, not asked for") == 1
    of_first = whole[whole.index('id="task-1"') : whole.index('id="task-2"')]
    assert "wandering" in of_first and "are found, not asked for" in of_first


def test_page_shows_every_pair_of_strategies() -> None:
    seeds, task = range(12), TaskPlan("pendulum", -30.0, 12, "return")
    found = analyse([task], STRATEGIES, seeds, (), synthetic.learning(task, RATES, seeds))
    text = " ".join(Page(page(found)).text.split())
    pairs = found["tasks"]["pendulum"]["pairs"]
    assert [(pair["strategy"], pair["reference"]) for pair in pairs] == [
        ("random", "joint_information"), ("random", "ucb"), ("joint_information", "ucb"),
    ]  # fmt: skip
    claimed = [f"{pair['strategy']} {pair['sentence']}." in text for pair in pairs]
    assert claimed == [True, False, True]


def test_what_runs_were_made_with_is_said_and_where_it_differs(tmp_path: Path) -> None:
    runs = [
        replace(run, made_with=(f"python 3.11, torch 2.{12 + (run.seed > 1)}",))
        for run in synthetic.learning(TASKS[0], {"random": 0.2, "ucb": 0.4}, range(4))
    ]
    found = write_comparison(tmp_path, planned(TASKS[:1], ("random", "ucb"), range(4), ()), runs)
    console = Console(width=300, record=True, file=io.StringIO())
    console.print(render(found))
    for text in (Page(page(found)).text, markdown(found), console.export_text()):
        assert "not all made alike" in text
        assert "4 runs with torch 2.12; 4 runs with torch 2.13." in text
    assert "The runs were made with python 3.11." in Page(page(found)).text


def test_the_axis_of_learning_curves_is_chosen_without_a_script(
    folder: Path, comparison: dict[str, Any]
) -> None:
    html = (folder / "comparison.html").read_text()
    assert html.count('type="radio"') == 2 and html.count(" checked>") == 1
    for axis in ("rollouts", "transitions"):
        assert f"body:has(#over-{axis}:not(:checked)) .over-{axis} {{ display: none; }}" in html
        assert html.count(f'class="curves over-{axis}"') == 2
    own = comparison["tasks"]["pendulum"]["strategies"]["ucb"]
    steps = synthetic.STEPS
    assert own["learning_curve_over"]["transitions"]["transitions"][0] == steps
    assert "robot_seconds" not in own["learning_curve_over"]  # these runs did not note it


def test_page_lists_what_is_left_out(seen: Page) -> None:
    text = " ".join(seen.text.split())
    assert "2 of 70 runs are left out of all figures: 1 failed and 1 is not finished." in text
    assert "killed by SIGKILL | <out of memory>" in text


def test_names_are_no_html() -> None:
    task = TaskPlan("<b>x", -30.0, 12, "return")
    html = page(analyse([task], STRATEGIES, SEEDS, (), []))
    assert "<b>x" not in html
    assert "&lt;b&gt;x" in html


@pytest.mark.parametrize("width", [80, 140])
def test_terminal_cuts_nothing_off(comparison: dict[str, Any], width: int) -> None:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(render(comparison))
    text = console.export_text()
    assert "…" not in text
    joined = " ".join(text.split())
    for result in comparison["tasks"].values():
        assert result["answer"] in joined
        for name, own in result["bounds"].items():
            assert f"{name} {own['sentence']}." in joined
    assert comparison["answer"] in joined
    assert joined.endswith(
        "2 of 70 runs are left out of all figures: 1 failed and 1 is not finished."
    )


def test_markdown_tables_are_whole(comparison: dict[str, Any]) -> None:
    text = markdown(comparison)
    assert text.startswith(comparison["answer"])
    for name, result in comparison["tasks"].items():
        assert f"### {name}\n\n{result['answer']}\n" in text
    tables = [part for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 10
    for table in tables:
        lines = [line.replace("\\|", "") for line in table.strip().split("\n")]
        assert len({line.count("|") for line in lines}) == 1
        assert set(lines[1]) <= set("| -:")


@pytest.mark.parametrize("strategies", [STRATEGIES, ("ucb",)])
def test_a_comparison_that_has_just_begun(tmp_path: Path, strategies: tuple[str, ...]) -> None:
    found = write_comparison(tmp_path, planned(TASKS, strategies), [])
    text = " ".join(Page((tmp_path / "comparison.html").read_text()).text.split())
    assert "No run of pendulum is complete yet." in text
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(render(found))
    assert "No run of logged is complete yet." in console.export_text()
    assert "not finished" in markdown(found)


def test_one_run_of_one_strategy(tmp_path: Path) -> None:
    run = synthetic.run_of(TASKS[0], "random", 4, [-40.0, -20.0, -20.0])
    found = write_comparison(tmp_path, planned(TASKS[:1], ("random",), (4,), ()), [run])
    seen = Page((tmp_path / "comparison.html").read_text())
    assert found["tasks"]["pendulum"]["strategies"]["random"]["rollouts_to_solved"]["median"] == 3
    assert any(words.startswith("Learning curve of random on pendulum") for words in seen.pictures)
    assert found["answer"].startswith("No strategy can be compared with random yet")


def test_same_runs_give_the_same_files(tmp_path: Path) -> None:
    contents = []
    for order in (1, -1):
        some = records()[::order]
        write_comparison(tmp_path, planned(TASKS[:1], STRATEGIES[:2], SEEDS[:2], ()), some)
        contents.append({path.name: path.read_bytes() for path in tmp_path.iterdir()})
    assert contents[0] == contents[1]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"comparison\.json: cannot be written"):
        write_comparison(tmp_path / "missing", planned(TASKS[:1]), [])
