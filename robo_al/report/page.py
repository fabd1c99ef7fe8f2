"""The report of a run: one HTML file that needs nothing else, made from the run folder alone."""

import json
import math
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import escape

from robo_al.dataset.events import Evaluated, RolloutDone, RoundDone
from robo_al.dataset.files import write_atomically
from robo_al.dataset.rows import LOST, RolloutRow
from robo_al.dataset.view import RunView
from robo_al.errors import RoboALError
from robo_al.report import measures, pictures
from robo_al.report.charts import EvaluationPoint
from robo_al.report.footage import first_and_best
from robo_al.report.remarks import remark
from robo_al.report.summary import became, not_evaluated, summarise, verdict
from robo_al.report.video import VideoError
from robo_al.report.words import count, duration, noun, number, unbroken

COLUMNS = (
    ("rollout", "text"),
    ("state", "text"),
    ("chosen by", "text"),
    ("rank", ""),
    ("score", ""),
    ("gain", ""),
    ("predicted [s]", ""),
    ("risk", ""),
    ("predicted [nat]", ""),
    ("realised [nat]", ""),
    ("steps", ""),
    ("return", ""),
    ("robot [s]", ""),
    ("model", "text"),
    ("reason", "text reason"),
)
"""Of the table of rollouts: heading and CSS classes."""

_SHOWN_ELSEWHERE = (RolloutDone, Evaluated, RoundDone)
"""Events that the page shows in its tables and pictures."""
MOST_REMARKS = 100


def write_report(folder: str | Path) -> Path:
    """Write `report.html` into a run folder, whatever the run has come to.

    Args:
        folder: of a run; a running one too.

    Returns:
        The path of the report.

    Raises:
        RunFolderError: it is no run, or another version's.
        StorageError: the report cannot be written.
    """
    folder = Path(folder)
    run = RunView(folder)
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_unbroken
    )
    source = files("robo_al.report").joinpath("page.html").read_text(encoding="utf-8")
    page = template.from_string(source).render(**_page(run))
    path = folder / "report.html"
    write_atomically(path, page.encode())
    return path


# ---------------------------------------------------------------- the page


def _page(run: RunView) -> dict[str, Any]:
    """Return what the template is filled with."""
    videos, no_video = [], ""
    try:
        videos = first_and_best(run)
    except (RoboALError, VideoError) as error:
        no_video = f"There is no video: {error}."
    columns, rows = _table(run)
    strategy = run.config["strategy"]
    chosen_by = strategy["acquisition"] or strategy["selector"]
    names = [run.config["env"]["name"], chosen_by["name"]]
    return {
        "title": " · ".join([*names, f"seed {run.config['seed']}"]),
        "headline": verdict(summarise(run)),
        "tiles": _tiles(run),
        "warnings": _failures(run),
        "videos": videos,
        "no_video": no_video,
        "remarks": _remarks(run),
        "columns": columns,
        "rows": rows,
        "config": escape(run.config_text),  # to be copied: no space is replaced
        "versions": _versions(run),
        **_pictures(run),
    }


def _tiles(run: RunView) -> list[tuple[str, str]]:
    means = [row.mean_return for row in run.evaluation_rows if row.mean_return is not None]
    rollouts, steps, robot_seconds = run.totals
    executed = run.executed()
    tiles = [
        (noun("rollout", rollouts), f"{rollouts}"),
        (noun("transition", steps), f"{steps}"),
        ("robot time, learning", duration(robot_seconds)),
        ("robot time in all", duration(executed.robot_seconds) if executed else "not known"),
        ("wall-clock time", duration(math.fsum(run.seconds.values()))),
    ]
    if means:
        tiles += [("best evaluation", number(max(means))), ("last evaluation", number(means[-1]))]
    return tiles


def _failures(run: RunView) -> list[str]:
    """Return a sentence for each state of rollouts that gave no data."""
    lost: dict[str, list[str]] = {}
    for row in run.rollout_rows:
        if row.state in LOST:
            lost.setdefault(row.state, []).append(row.id)
    return [
        f"{count(len(ids), 'rollout')} {became(state, len(ids))}, and nothing is learned from "
        f"{'it' if len(ids) == 1 else 'them'}: {', '.join(ids[:5])}"
        f"{' and others' if len(ids) > 5 else ''}. The table says why."
        for state, ids in lost.items()
    ]


def _remarks(run: RunView) -> list[tuple[str, str]]:
    """Return when each of the last events was that a person should know of, and what it means."""
    told = [happened for happened in run.events if not isinstance(happened.event, _SHOWN_ELSEWHERE)]
    return [(one.at[:19].replace("T", " "), remark(one.event)) for one in told[-MOST_REMARKS:]]


def _table(run: RunView) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """Return the columns in which there is anything, and the cells of every rollout.

    Each detail, signal and label has a column of its own, before the reason.
    """
    measured = {
        row.id: {
            **run.details[row.id],
            **{name: x for name, x in run.signals[row.id].items() if name not in measures.TIMES},
            **{f"label {name}": value for name, value in run.labels[row.id].items()},
        }
        for row in run.rollout_rows
    }
    names = list(dict.fromkeys(name for found in measured.values() for name in found))
    columns = [*COLUMNS[:-1], *((name, "text") for name in names), COLUMNS[-1]]
    rows = []
    for row in run.rollout_rows:
        *cells, reason = _cells(row)
        further = [measures.cell(measured[row.id].get(name)) for name in names]
        rows.append([*cells, *further, reason])
    used = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    return [columns[i] for i in used], [[row[i] for i in used] for row in rows]


def _cells(row: RolloutRow) -> list[str]:
    return [
        row.id,
        row.state,
        row.strategy,
        _cell(row.rank),
        _cell(row.score),
        _cell(row.gain),
        _cell(row.predicted_seconds),
        _cell(row.predicted_risk),
        _cell(row.predicted_information),
        _cell(row.realised_information),
        _cell(row.steps),
        _cell(row.total_reward),
        _cell(row.robot_seconds),
        (row.model_hash or "")[:8],
        row.reason or "",
    ]


def _versions(run: RunView) -> str:
    parts = {
        f"{row.oracle} oracle, {row.policy} policy, {row.model} model; {row.versions}"
        for row in run.rollout_rows
    }
    return " | ".join(sorted(parts)) or f"python {sys.version.split()[0]}"


def _cell(value: float | None) -> str:
    return "" if value is None else number(value)


def _unbroken(value: Any) -> Any:
    """Keep numbers and their units together in what is text; a picture is no text."""
    return unbroken(value) if type(value) is str else value


# ---------------------------------------------------------------- pictures


def _pictures(run: RunView) -> dict[str, Any]:
    """Return each picture, or None where there is nothing to draw yet, and what to say of it."""
    both = [
        (row.predicted_information, row.realised_information)
        for row in run.recorded
        if row.predicted_information is not None and row.realised_information is not None
    ]
    errors = pictures.compared(run.fit_rows)
    threshold = run.config["threshold"]
    failed = run.evaluation_rows and "Every evaluation failed."
    return {
        "learning_curves": pictures.learning_curves(_points(run), threshold),
        "no_curve": failed or not_evaluated(run.config["evaluation"]["every"]),
        "threshold_note": "" if threshold is not None else "The task has no threshold.",
        "time_shares": pictures.time_shares(run.seconds) if run.records else None,
        "information": pictures.information(both),
        "information_note": pictures.ratio(both),
        "training_returns": pictures.training_returns(run.rollout_rows),
        "held_out": pictures.held_out(errors),
        "held_out_note": pictures.worse(errors),
    }


def _points(run: RunView) -> list[EvaluationPoint]:
    """Return the evaluations of which every rollout gave a return."""
    spent = {record["round"]: record["robot_seconds"] for record in run.records}
    return [
        EvaluationPoint(
            rollouts=row.rollouts,
            robot_seconds=spent.get(row.round),
            returns=tuple(value for value in json.loads(row.returns) if value is not None),
            mean_return=row.mean_return,
        )
        for row in run.evaluation_rows
        if row.mean_return is not None
    ]
