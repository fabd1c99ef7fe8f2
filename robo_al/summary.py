"""What a run has come to, from its folder alone; a running campaign can be looked at too."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_al import plain_yaml
from robo_al.clock import ACTIVITIES
from robo_al.dataset.dataset import CONFIG, LEDGER
from robo_al.dataset.ledger import EvaluationRow, Ledger, RoundRow, solved_at
from robo_al.errors import RunFolderError

if TYPE_CHECKING:
    from rich.console import RenderableType


def summarise(folder: str | Path) -> dict[str, Any]:
    """Return what a run has come to, as JSON can say it.

    Raises:
        RunFolderError: no run, or another version's.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise RunFolderError(f"{folder}: no run here (there is no {CONFIG})")
    with Ledger.open(folder / LEDGER, read_only=True) as ledger:
        rollouts, transitions, robot_seconds = ledger.totals()
        evaluations = ledger.rows(EvaluationRow)
        records = [row.record for row in ledger.rows(RoundRow) if row.record]
        states = ledger.states()
    config = plain_yaml.parse((folder / CONFIG).read_text(encoding="utf-8"))
    solved = solved_at(evaluations, config["threshold"])
    last = json.loads(records[-1]) if records else {}
    return {
        "task": _name(config["env"]),
        "strategy": _strategy(config["strategy"]),
        "seed": config["seed"],
        "rounds": len(records),
        "budget": config["rounds"],
        "rollouts": rollouts,
        "transitions": transitions,
        "robot_seconds": robot_seconds,
        "threshold": config["threshold"],
        "evaluations": [_evaluation(row) for row in evaluations],
        "solved_at": None
        if solved is None
        else {"rollouts": solved.rollouts, "transitions": solved.transitions},
        "states": states,
        "seconds": dict.fromkeys(ACTIVITIES, 0.0) | last.get("seconds", {}),
    }


def verdict(summary: Mapping[str, Any]) -> str:
    """Return in one sentence what was learned."""
    solved, threshold = summary["solved_at"], summary["threshold"]
    if solved:
        return f"Solved after {amount(**solved)}."
    means = [row["mean_return"] for row in summary["evaluations"]]
    means = [mean for mean in means if mean is not None]
    best = f"best evaluation {max(means):.4g}" if means else "not evaluated yet"
    said = amount(summary["rollouts"], summary["transitions"])
    if threshold is None:
        return f"Recorded {said}; {best} (the task has no threshold)."
    return f"Not solved within {said}; {best}, the threshold is {threshold:g} twice in a row."


def amount(rollouts: int, transitions: int) -> str:
    """Return how much was recorded, in words."""
    return " and ".join(
        f"{count} {word}{'s' * (count != 1)}"
        for count, word in ((rollouts, "rollout"), (transitions, "transition"))
    )


def render(summary: Mapping[str, Any]) -> "RenderableType":
    """Return a summary as tables for a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bright_black")
    facts.add_column(overflow="fold")
    states = [f"{count} {state}" for state, count in summary["states"].items() if count]
    total = sum(summary["seconds"].values())
    shares = [f"{k} {v / total:.0%}" for k, v in summary["seconds"].items() if v > 0.005 * total]
    for name, value in (
        ("task", summary["task"]),
        ("strategy", summary["strategy"]),
        ("seed", str(summary["seed"])),
        ("rounds", f"{summary['rounds']} of {summary['budget']}"),
        ("recorded", amount(summary["rollouts"], summary["transitions"])),
        ("states", ", ".join(states) or "no rollouts yet"),
        ("robot time", f"{summary['robot_seconds']:.1f} s"),
        ("computer time", f"{total:.0f} s" + (f": {', '.join(shares)}" if shares else "")),
    ):
        facts.add_row(name, Text(value))
    evaluations = Table("rollouts", "transitions", "mean return", box=None, padding=(0, 2))
    for column in evaluations.columns:
        column.justify = "right"
    for row in summary["evaluations"]:
        mean = "failed" if row["mean_return"] is None else f"{row['mean_return']:.4g}"
        evaluations.add_row(str(row["rollouts"]), str(row["transitions"]), mean)
    shown: list[RenderableType] = [evaluations, Text()] if summary["evaluations"] else []
    return Group(facts, Text(), *shown, Text(verdict(summary), style="bold"))


def _name(component: Mapping[str, Any]) -> str:
    """Return a component in one word: `variance(aggregation=mean)`."""
    values = [f"{key}={value}" for key, value in component.items() if key != "name"]
    return str(component["name"]) + (f"({', '.join(values)})" if values else "")


def _strategy(entries: Mapping[str, Any]) -> str:
    """Return all of a strategy in one line: `variance+top_k, cost seconds(budget=5.0)`."""
    parts = [_name(entries[key]) for key in ("acquisition", "selector") if entries[key]]
    said = ["+".join(parts)]
    said += [f"cost {_name(entries['cost'])}"] if entries["cost"] else []
    if entries["constraint"]:
        limits = {key: value for key, value in entries["constraint"].items() if value is not None}
        said.append("constraint " + ", ".join(f"{key}={value}" for key, value in limits.items()))
    return ", ".join(said)


def _evaluation(row: EvaluationRow) -> dict[str, Any]:
    return {
        "rollouts": row.rollouts,
        "transitions": row.transitions,
        "mean_return": row.mean_return,
    }
