"""The page of A against B: one HTML file that needs nothing else, made of `ab.json` alone."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from robo_al.compare.ab import sentences
from robo_al.dataset.files import is_there, storage, write_atomically
from robo_al.dataset.folders import need_new
from robo_al.report.charts import BLUE, INK, ORANGE, Picture, chart, new_axes, whole
from robo_al.report.words import count, listed, number, percent, unbroken

JSON = dict[str, Any]

ANSWER, PAGE = "ab.json", "ab.html"
"""What is written into a folder."""


def need_place(folder: Path) -> None:
    """Refuse a folder that has something else than an earlier answer.

    Raises:
        RunFolderError: it has, or cannot be written; nothing was changed.
    """
    if is_there(folder) and folder.is_dir():
        names = {path.name for path in folder.iterdir()}
        if ANSWER in names and names <= {ANSWER, PAGE}:
            return
    need_new(folder)


def write_answer(folder: Path, result: JSON) -> Path:
    """Write `ab.json` and `ab.html` into a folder, which is made if it is not there.

    Args:
        folder: for both files.
        result: of `robo_al.compare.ab.verdict.judge`.

    Returns:
        The path of the page.

    Raises:
        StorageError: a file cannot be written.
    """
    text = page(result)
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(result, allow_nan=False, separators=(",", ":"))
    write_atomically(folder / ANSWER, f"{content}\n".encode())
    write_atomically(folder / PAGE, text.encode())
    return folder / PAGE


def page(result: JSON) -> str:
    """Return `ab.html`, which needs nothing but itself."""
    template = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: unbroken(value) if type(value) is str else value,
    )
    source = files("robo_al.compare.ab").joinpath(PAGE).read_text(encoding="utf-8")
    columns, rows = _table(result)
    return template.from_string(source).render(
        title=_title(result),
        answer=result["answer"],
        tiles=_tiles(result),
        left_out=sentences.left_out(result),
        pictures=_pictures(result),
        columns=columns,
        rows=rows,
        decided=sentences.how_decided(result),
    )


def _title(result: JSON) -> str:
    if result["difference"] is None:
        return f"Does {next(iter(result['policies']))} reach {number(result['against'])}?"
    return f"Which is better, {result['difference']['before']} or {result['difference']['after']}?"


def _tiles(result: JSON) -> list[tuple[str, str]]:
    """Return the counts that the answer is made of."""
    found = result["difference"]
    if found is None:
        (own,) = result["policies"].values()
        return [("rollouts", f"{own['rollouts']}"), *_decided(own, "rollout")]
    names = (found["after"], found["before"])
    return [
        ("pairs", f"{found['pairs']}"),
        (f"better: {names[0]}", f"{found['wins']}"),
        (f"better: {names[1]}", f"{found['losses']}"),
        ("equal", f"{found['ties']}"),
        *_decided(found, "pair"),
    ]


def _decided(found: JSON, word: str) -> list[tuple[str, str]]:
    after = found["decided_after"]
    return [
        ("decided after", "not yet" if after is None else count(after, word)),
        ("p value at any time", f"{found['p']:.2g}"),
    ]


def _table(result: JSON) -> tuple[list[str], list[list[str]]]:
    """Return headings, and what is known of each policy by itself."""
    name = result["judged_by"]["name"]
    shown = percent if name == "success" else number
    rows = [
        [
            policy,
            f"{own['rollouts']}",
            "–" if own["mean"] is None else shown(own["mean"]),
            "–" if own["low"] is None else f"{shown(own['low'])} to {shown(own['high'])}",
            "–" if own["p"] is None else f"{own['p']:.2g}",
        ]
        for policy, own in result["policies"].items()
    ]
    columns = ["policy", "rollouts", f"mean {name}", "95 % confidence sequence"]
    if result["against"] is None:
        return columns, [row[:-1] for row in rows]
    return [*columns, f"p value against {number(result['against'])}"], rows


# ---------------------------------------------------------------- pictures


def _pictures(result: JSON) -> list[Picture]:
    """Return each confidence sequence that there is, over its outcomes."""
    name, found = result["judged_by"]["name"], result["difference"]
    drawn: list[Picture] = []
    if found is not None and found["pairs"]:
        label = f"difference in {name}:\n{_short(found['after'])} minus {_short(found['before'])}"
        svg = limits({found["after"]: found}, "pairs of rollouts", label, 0.0)
        drawn.append(Picture(svg, f"The difference after each pair. {result['answer']}"))
    policies = {policy: own for policy, own in result["policies"].items() if own["so_far"]["mean"]}
    if policies:
        svg = limits(policies, "rollouts of the policy", f"mean {name}", result["against"])
        words = f"The mean {name} after each rollout of {listed(list(policies))}, with its limits."
        drawn.append(Picture(svg, words))
    return drawn


@chart
def limits(found: dict[str, JSON], over: str, of: str, none: float | None) -> Figure:
    """Draw means and their confidence sequences over the outcomes that they are of.

    Args:
        found: one or two of them, by the policy's name.
        over: what the outcomes are.
        of: what the means are of.
        none: where no difference would lie, or the threshold; None for no line.
    """
    figure, axes = new_axes(4.6, 3.4)
    for (name, one), colour, line in zip(found.items(), (BLUE, ORANGE), "-:", strict=False):
        curve = one["so_far"]
        at = range(1, len(curve["mean"]) + 1)
        low, high = np.array(curve["low"], float), np.array(curve["high"], float)  # NaN for None
        axes.fill_between(at, low, high, color=colour, alpha=0.2, lw=0)
        label = f"{_short(name)} (n = {len(at)})" if len(found) > 1 else f"mean (n = {len(at)})"
        axes.plot(at, curve["mean"], line, color=colour, lw=1.6, label=label)
        if (decided := one["decided_after"]) is not None:
            axes.plot([decided], [curve["mean"][decided - 1]], "D", color=colour, ms=7)
    if none is not None:
        axes.axhline(none, color=INK, ls="--", lw=1)
    axes.set_xlabel(over)
    axes.set_ylabel(of)
    title = "mean and 95 % confidence sequence; a diamond: decided"
    axes.set_title(title, fontsize=8, loc="right")
    whole(axes.xaxis)
    axes.legend(loc="best", fontsize=7.5)
    return figure


def _short(name: str) -> str:
    """Return as much of a name as a chart has room for, which a legend shows."""
    visible = f" {name}" if name.startswith("_") else name
    return visible if len(visible) <= 24 else f"…{visible[-23:]}"
