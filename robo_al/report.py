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
from markupsafe import Markup

from robo_al import charts, plain_yaml
from robo_al.clock import ACTIVITIES
from robo_al.dataset.dataset import CONFIG, LEDGER
from robo_al.dataset.files import write_atomically
from robo_al.dataset.ledger import EvaluationRow, FitRow, Ledger, RolloutRow, RoundRow, solved_at
from robo_al.errors import RoboALError, RunFolderError
from robo_al.footage import first_and_best
from robo_al.video import VideoError

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
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    source = files("robo_al").joinpath("report.html").read_text(encoding="utf-8")
    page = template.from_string(source).render(**_page(run))
    path = folder / "report.html"
    write_atomically(path, page.encode())
    return path


def _read(folder: Path) -> Run:
    """Read a run folder."""
    if not (folder / CONFIG).is_file():
        raise RunFolderError(f"{folder}: no run here (there is no {CONFIG})")
    text = (folder / CONFIG).read_text(encoding="utf-8")
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
        no_video = f"No video: {error}."
    columns, rows = _table(run)
    strategy = run.config["strategy"]
    chosen_by = strategy["acquisition"] or strategy["selector"]
    names = [run.config["env"]["name"], chosen_by["name"]]
    return {
        "title": " · ".join([*names, f"seed {run.config['seed']}"]),
        "headline": _headline(run),
        "tiles": _tiles(run),
        "warnings": _failures(run),
        "videos": videos,
        "no_video": no_video,
        "columns": columns,
        "rows": rows,
        "config": run.config_text,
        "versions": _versions(run),
        **_charts(run),
    }


def _headline(run: Run) -> str:
    """Return in one sentence what was learned."""
    count, threshold = len(run.recorded), _threshold(run)
    solved = solved_at(run.evaluations, threshold)
    means = [row.mean_return for row in run.evaluations if row.mean_return is not None]
    if solved:
        return (
            f"Solved after {_count(solved.rollouts, 'rollout')} "
            f"({_count(solved.transitions, 'transition')})."
        )
    if not count:
        return "No rollout has been recorded yet."
    if not means:
        return f"{_count(count, 'rollout')} recorded, not evaluated yet."
    best = f"best evaluation {max(means):.4g}"
    if threshold is None:
        return f"{_count(count, 'rollout')} recorded; {best} (the task has no threshold)."
    return f"Not solved within {_count(count, 'rollout')}: {best}, of {threshold:g} needed."


def _tiles(run: Run) -> list[tuple[str, str]]:
    means = [row.mean_return for row in run.evaluations if row.mean_return is not None]
    tiles = [
        ("rollouts", f"{len(run.recorded)}"),
        ("transitions", f"{sum(row.steps or 0 for row in run.recorded)}"),
        ("robot time", f"{math.fsum(row.robot_seconds or 0 for row in run.rollouts):.1f} s"),
        ("wall-clock time", f"{math.fsum(run.seconds.values()):.0f} s"),
    ]
    if means:
        tiles += [("best evaluation", f"{max(means):.4g}"), ("last evaluation", f"{means[-1]:.4g}")]
    return tiles


def _failures(run: Run) -> list[str]:
    """Return a sentence for each state of rollouts that gave no data."""
    lost: dict[str, list[str]] = {}
    for row in run.rollouts:
        if row.state not in ("recorded", "selected", "dispatched"):
            lost.setdefault(row.state, []).append(row.id)
    return [
        f"{_count(len(ids), 'rollout')} {state}, and not learned from: "
        + ", ".join(ids[:5])
        + (" and others" if len(ids) > 5 else "")
        + ". The table says why."
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
        _number(row.rank),
        _number(row.score),
        _number(row.gain),
        _number(row.predicted_seconds),
        _number(row.predicted_risk),
        _number(row.predicted_information),
        _number(row.realised_information),
        _number(row.steps),
        _number(row.total_reward),
        _number(row.robot_seconds),
        (row.model_hash or "")[:8],
        row.reason or "",
    ]


def _versions(run: Run) -> str:
    parts = {
        f"{row.oracle} oracle, {row.policy} policy, {row.model} model; {row.versions}"
        for row in run.rollouts
    }
    return " | ".join(sorted(parts)) or f"python {sys.version.split()[0]}"


# ---------------------------------------------------------------- charts


def _charts(run: Run) -> dict[str, Any]:
    """Return each chart, or None where there is nothing to draw yet, and what to say of it."""
    both = [
        (row.predicted_information, row.realised_information)
        for row in run.recorded
        if row.predicted_information is not None and row.realised_information is not None
    ]
    ratios = sorted(realised / predicted for predicted, realised in both if predicted > 0)
    middle = f"{ratios[len(ratios) // 2]:.2f}" if ratios else ""
    errors = _held_out(run)
    worse = sum(error.worse for error in errors)
    drawn = {
        "learning_curve": _learning_curve(run),
        "time_shares": charts.time_shares(run.seconds) if run.rounds else None,
        "information": charts.information(*zip(*both, strict=True)) if both else None,
        "training_returns": _training_returns(run),
        "held_out": charts.held_out(errors) if errors else None,
    }
    return {name: Markup(svg) if svg else None for name, svg in drawn.items()} | {
        "information_note": f"Realised over predicted: {middle} in the median." if middle else "",
        "threshold_note": "" if _threshold(run) is not None else "The task has no threshold.",
        "held_out_note": f"{_count(worse, 'retraining')} made it worse." if errors else "",
    }


def _learning_curve(run: Run) -> str | None:
    spent = {record["round"]: record["robot_seconds"] for record in run.rounds}
    points = [
        charts.EvaluationPoint(
            rollouts=row.rollouts,
            robot_seconds=spent.get(row.round),
            returns=tuple(value for value in json.loads(row.returns) if value is not None),
            mean_return=row.mean_return,
        )
        for row in run.evaluations
        if row.mean_return is not None
    ]
    return charts.learning_curve(points, _threshold(run)) if points else None


def _training_returns(run: Run) -> str | None:
    over = [row for row in run.rollouts if row.state not in ("selected", "dispatched")]
    returns = [row.total_reward if row.state == "recorded" else None for row in over]
    return charts.training_returns(returns) if returns else None


def _held_out(run: Run) -> list[charts.HeldOut]:
    """Return the model's error before and after each retraining that was compared."""
    compared = [(row.number, json.loads(row.held_out)) for row in run.fits if row.held_out]
    return [
        charts.HeldOut(number, errors["old"]["density"], errors["new"]["density"], errors["worse"])
        for number, errors in compared
    ]


# ---------------------------------------------------------------- words


def _threshold(run: Run) -> float | None:
    threshold: float | None = run.config.get("threshold")
    return threshold


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
