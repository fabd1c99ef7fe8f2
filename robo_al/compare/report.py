"""A comparison for its readers: the files of a comparison's folder, the terminal, Markdown.

All of it is made of the content of `comparison.json`, and says the same in the same words.
"""

import csv
import io
import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from rich.console import Group, RenderableType

from robo_al.compare import alike, answers, method, pictures, tables
from robo_al.compare.analysis import analyse
from robo_al.compare.answers import JSON
from robo_al.compare.entries import BOUNDS
from robo_al.compare.plan import Plan
from robo_al.compare.records import RunRecord
from robo_al.compare.tables import Table
from robo_al.dataset.files import write_atomically
from robo_al.report.terminal import Listing, Prose
from robo_al.report.words import unbroken

COLUMNS = (
    "task", "strategy", "seed", "rollouts", "transitions", "mean_return", "solved", "failed",
    "cpu_seconds", "robot_seconds",
)  # fmt: skip
"""Of `comparison.csv`; `solved` is 1 at the evaluation that confirmed it, `cpu_seconds` a run's."""

PAGE = "comparison.html"
"""In a comparison's folder."""
PAGE_ONLY = (
    tables.GOAL, tables.P_VALUE, "p value, log-rank", *tables.PAID, *tables.TAILS,
    "rank correlation", *map(tables.REGRET.format, BOUNDS),
)  # fmt: skip
"""Columns that a terminal of 80 characters has no room for."""


def write_comparison(folder: Path, plan: Plan, records: Iterable[RunRecord]) -> JSON:
    """Write `comparison.json`, `.csv` and `.html`, whatever the comparison has come to.

    Args:
        folder: of the comparison.
        plan: of the comparison, as the folder has it.
        records: of the runs there are.

    Returns:
        The content of `comparison.json`.

    Raises:
        StorageError: a file cannot be written.
    """
    comparison = analyse(
        plan.tasks,
        plan.strategies,
        plan.seeds,
        plan.bounds,
        records,
        plan.reference,
        plan.planned,
    )
    texts = {
        "comparison.json": json.dumps(comparison, allow_nan=False, separators=(",", ":")) + "\n",
        "comparison.csv": csv_of(comparison),
        PAGE: page(comparison),
    }
    for name, text in texts.items():
        write_atomically(folder / name, text.encode())
    return comparison


def csv_of(comparison: JSON) -> str:
    """Return one line for each evaluation of each run; a run without any has one line too."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for task, result in comparison["tasks"].items():
        for strategy, own in tables.families(result).items():
            for run in own["runs"]:
                common = {"task": task, "strategy": strategy} | {
                    key: run[key] for key in ("seed", "failed", "cpu_seconds")
                }
                at = run["solved_at"]
                for row in run["evaluations"] or [{}]:
                    solved = int(bool(row and at and row["rollouts"] == at["rollouts"]))
                    writer.writerow(common | row | {"solved": solved})
    return text.getvalue()


# ---------------------------------------------------------------- the page


def page(comparison: JSON) -> str:
    """Return `comparison.html`, which needs nothing but itself."""
    template = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_unbroken,
    )
    source = files("robo_al.compare").joinpath(PAGE).read_text(encoding="utf-8")
    tasks = [
        {
            "name": name,
            "answer": result["answer"],
            "starts": answers.STARTS_FOUND if result.get("finds_starts") else "",
            "left_out": answers.left_out(tables.families(result).values()),
            "comparing": tables.comparing(name, result),
            "pairs": tables.pairs(name, result),
            "claimed": answers.of_pairs(result),
            "alone": tables.alone(name, result),
            "bounds": tables.bounds(name, result) if result["bounds"] else None,
            "gains": [f"{bound} {own['sentence']}." for bound, own in result["bounds"].items()],
            **pictures.of_task(name, result),
        }
        for name, result in comparison["tasks"].items()
    ]
    made_with, not_alike = alike.made_with(tables.every_run(comparison))
    return template.from_string(source).render(
        axes={axis: pictures.AXES[axis] for task in tasks for axis in task["curves"]},
        made_with=made_with,
        not_alike=not_alike,
        answer=comparison["answer"],
        tiles=tables.tiles(comparison),
        tasks=tasks,
        overall=tables.overall(comparison),
        overall_pictures=pictures.of_all(comparison),
        left_out=answers.left_out(tables.every_strategy(comparison)),
        failures=tables.failures(comparison),
        decided=method.how_decided(comparison),
        reference=comparison["reference"],
    )


def _unbroken(value: Any) -> Any:
    """Keep numbers and their units together in what is text; a picture is no text."""
    return unbroken(value) if type(value) is str else value


# ---------------------------------------------------------------- the terminal


def render(comparison: JSON) -> RenderableType:
    """Return what the terminal shows of a comparison."""
    parts: list[RenderableType] = [Prose(comparison["answer"], "bold")]
    for name, result in comparison["tasks"].items():
        if len(comparison["tasks"]) > 1:
            parts += [Prose(f"\n{name}", "bold"), Prose(result["answer"])]
        parts += [Prose(f"\n{answers.STARTS_FOUND}", "yellow")] * bool(result.get("finds_starts"))
        for table in (tables.comparing(name, result), tables.alone(name, result)):
            parts += _terminal_table(table)
        gains = [f"{bound} {own['sentence']}." for bound, own in result["bounds"].items()]
        parts += [Prose("\n" + "\n".join(gains))] * bool(gains)
    for table in (tables.overall(comparison), tables.failures(comparison)):
        if table.rows:
            parts += [Prose(f"\n{table.title}", "bold"), *_terminal_table(table)]
    left_out = answers.left_out(tables.every_strategy(comparison))
    _, not_alike = alike.made_with(tables.every_run(comparison))
    parts += [Prose(f"\n{text}", "yellow") for text in (not_alike, left_out) if text]
    return Group(*parts)


def _terminal_table(table: Table) -> list[RenderableType]:
    """Return a table as the terminal shows it, its caption before it."""
    shown = [i for i, column in enumerate(table.columns) if column not in PAGE_ONLY]
    rows = [[row[i] for i in shown] for row in table.rows]
    listing = Listing([table.columns[i] for i in shown], rows, table.numbers)
    return [Prose(f"\n{table.caption}\n", "bright_black"), listing]


# ---------------------------------------------------------------- Markdown


def markdown(comparison: JSON) -> str:
    """Return the answers and tables of a comparison, for a page of the documentation."""
    parts = [comparison["answer"]]
    for name, result in comparison["tasks"].items():
        parts += [f"### {name}", result["answer"]]
        parts += [answers.STARTS_FOUND] * bool(result.get("finds_starts"))
        parts += [_markdown_table(table) for table in tables.of_task(name, result)]
        parts += [f"{bound} {own['sentence']}." for bound, own in result["bounds"].items()]
        parts.append(answers.left_out(tables.families(result).values()))
    for table in (tables.overall(comparison), tables.failures(comparison)):
        if table.rows:
            parts += [f"### {table.title}", _markdown_table(table)]
    parts += alike.made_with(tables.every_run(comparison))
    decided = method.how_decided(comparison)
    parts += ["### How a difference is decided", "\n".join(f"- {x}" for x in decided)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown_table(table: Table) -> str:
    """Return a table in GitHub's Markdown, its caption before it."""
    rule = ["---:" if column in table.numbers else "---" for column in table.columns]
    lines = [table.columns, rule, *table.rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join([f"{table.caption}", "", *(f"| {' | '.join(line)} |" for line in cells)])
