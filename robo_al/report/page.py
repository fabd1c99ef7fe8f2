"""The report of a run: one HTML file that needs nothing else, made from the run folder alone."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import escape

from robo_al.config import plain_yaml
from robo_al.dataset.clock import ACTIVITIES
from robo_al.dataset.files import write_atomically
from robo_al.dataset.folders import LEDGER, read_config_text
from robo_al.dataset.ledger import LOST, EvaluationRow, FitRow, Ledger, RolloutRow, RoundRow
from robo_al.errors import RoboALError
from robo_al.report import pictures
from robo_al.report.charts import EvaluationPoint
from robo_al.report.footage import first_and_best
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


@dataclass(frozen=True)
class Run:
    """What a run folder says."""

    folder: Path
    config_text: str
    config: dict[str, Any]
    rollouts: Sequence[RolloutRow]
    rounds: Sequence[dict[str, Any]]
    """The record of each completed round."""
    fits: Sequence[FitRow]
    evaluations: Sequence[EvaluationRow]

    @property
    def recorded(self) -> list[RolloutRow]:
        """The rollouts that were learned from."""
        return [row for row in self.rollouts if row.state == "recorded"]

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock time for each activity, until the last completed round."""
        spent = self.rounds[-1]["seconds"] if self.rounds else {}
        return {name: spent.get(name, 0.0) for name in ACTIVITIES}


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run folder, whatever the run has come to.

    Args:
        folder: of a run; a running one too.

    Returns:
        The path of the report.

    Raises:
        RunFolderError: it is no run, or another version's.
        StorageError: the report cannot be written.
    """
    run = _read(folder)
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_unbroken
    )
    source = files("robo_al.report").joinpath("page.html").read_text(encoding="utf-8")
    page = template.from_string(source).render(**_page(run))
    path = folder / "report.html"
    write_atomically(path, page.encode())
    return path


def _read(folder: Path) -> Run:
    """Read a run folder."""
    text = read_config_text(folder)
    with Ledger.open(folder / LEDGER, read_only=True) as ledger:
        return Run(
            folder=folder,
            config_text=text,
            config=plain_yaml.parse(text),
            rollouts=ledger.rows(RolloutRow),
            rounds=[json.loads(row.record) for row in ledger.rows(RoundRow) if row.record],
            fits=ledger.rows(FitRow),
            evaluations=ledger.rows(EvaluationRow),
        )


# ---------------------------------------------------------------- the page


def _page(run: Run) -> dict[str, Any]:
    """Return what the template is filled with."""
    videos, no_video = [], ""
    try:
        videos = first_and_best(run.folder, run.config, run.evaluations)
    except (RoboALError, VideoError) as error:
        no_video = f"There is no video: {error}."
    columns, rows = _table(run)
    strategy = run.config["strategy"]
    chosen_by = strategy["acquisition"] or strategy["selector"]
    names = [run.config["env"]["name"], chosen_by["name"]]
    return {
        "title": " · ".join([*names, f"seed {run.config['seed']}"]),
        "headline": verdict(summarise(run.folder)),
        "tiles": _tiles(run),
        "warnings": _failures(run),
        "videos": videos,
        "no_video": no_video,
        "columns": columns,
        "rows": rows,
        "config": escape(run.config_text),  # to be copied: no space is replaced
        "versions": _versions(run),
        **_pictures(run),
    }


def _tiles(run: Run) -> list[tuple[str, str]]:
    means = [row.mean_return for row in run.evaluations if row.mean_return is not None]
    rollouts, steps = len(run.recorded), sum(row.steps or 0 for row in run.recorded)
    tiles = [
        (noun("rollout", rollouts), f"{rollouts}"),
        (noun("transition", steps), f"{steps}"),
        ("robot time", duration(math.fsum(row.robot_seconds or 0 for row in run.rollouts))),
        ("wall-clock time", duration(math.fsum(run.seconds.values()))),
    ]
    if means:
        tiles += [("best evaluation", number(max(means))), ("last evaluation", number(means[-1]))]
    return tiles


def _failures(run: Run) -> list[str]:
    """Return a sentence for each state of rollouts that gave no data."""
    lost: dict[str, list[str]] = {}
    for row in run.rollouts:
        if row.state in LOST:
            lost.setdefault(row.state, []).append(row.id)
    return [
        f"{count(len(ids), 'rollout')} {became(state, len(ids))}, and nothing is learned from "
        f"{'it' if len(ids) == 1 else 'them'}: {', '.join(ids[:5])}"
        f"{' and others' if len(ids) > 5 else ''}. The table says why."
        for state, ids in lost.items()
    ]


def _table(run: Run) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """Return the columns in which there is anything, and the cells of every rollout."""
    rows = [_cells(row) for row in run.rollouts]
    used = [i for i in range(len(COLUMNS)) if any(row[i] for row in rows)]
    return [COLUMNS[i] for i in used], [[row[i] for i in used] for row in rows]


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


def _versions(run: Run) -> str:
    parts = {
        f"{row.oracle} oracle, {row.policy} policy, {row.model} model; {row.versions}"
        for row in run.rollouts
    }
    return " | ".join(sorted(parts)) or f"python {sys.version.split()[0]}"


def _cell(value: float | None) -> str:
    return "" if value is None else number(value)


def _unbroken(value: Any) -> Any:
    """Keep numbers and their units together in what is text; a picture is no text."""
    return unbroken(value) if type(value) is str else value


# ---------------------------------------------------------------- pictures


def _pictures(run: Run) -> dict[str, Any]:
    """Return each picture, or None where there is nothing to draw yet, and what to say of it."""
    both = [
        (row.predicted_information, row.realised_information)
        for row in run.recorded
        if row.predicted_information is not None and row.realised_information is not None
    ]
    errors = pictures.compared(run.fits)
    threshold = run.config["threshold"]
    failed = run.evaluations and "Every evaluation failed."
    return {
        "learning_curves": pictures.learning_curves(_points(run), threshold),
        "no_curve": failed or not_evaluated(run.config["evaluation"]["every"]),
        "threshold_note": "" if threshold is not None else "The task has no threshold.",
        "time_shares": pictures.time_shares(run.seconds) if run.rounds else None,
        "information": pictures.information(both),
        "information_note": pictures.ratio(both),
        "training_returns": pictures.training_returns(run.rollouts),
        "held_out": pictures.held_out(errors),
        "held_out_note": pictures.worse(errors),
    }


def _points(run: Run) -> list[EvaluationPoint]:
    """Return the evaluations of which every rollout gave a return."""
    spent = {record["round"]: record["robot_seconds"] for record in run.rounds}
    return [
        EvaluationPoint(
            rollouts=row.rollouts,
            robot_seconds=spent.get(row.round),
            returns=tuple(value for value in json.loads(row.returns) if value is not None),
            mean_return=row.mean_return,
        )
        for row in run.evaluations
        if row.mean_return is not None
    ]
