"""What a run has come to, from its folder alone; a running campaign can be looked at too."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from robo_al.dataset.rows import LOST, EvaluationRow, Executed
from robo_al.dataset.view import RunView
from robo_al.report import measures
from robo_al.report.words import count, duration, listed, number, percent

if TYPE_CHECKING:
    from rich.console import RenderableType


def summarise(run: RunView) -> dict[str, Any]:
    """Return what a run has come to, as JSON can say it.

    `solved` is null where nobody can know: the task has no threshold, or the policy was not
    evaluated.
    """
    config, solved = run.config, run.solved_at
    judged = run.evaluation_rows and config["threshold"] is not None
    return {
        "task": _name(config["env"]),
        "strategy": _strategy(config["strategy"]),
        "seed": config["seed"],
        "rounds": len(run.records),
        "budget": config["rounds"],
        **run.totals._asdict(),
        "threshold": config["threshold"],
        "evaluated_every": config["evaluation"]["every"],
        "evaluation_kind": config["evaluation"].get("kind") or "full",
        "not_evaluated": {
            row.round: row.not_evaluated for row in run.round_rows if row.not_evaluated
        },
        "evaluations": [_evaluation(row) for row in run.evaluation_rows],
        "solved": (solved is not None) if judged else None,
        "solved_at": None
        if solved is None
        else {
            "rollouts": solved.rollouts,
            "transitions": solved.transitions,
            "executed": _executed(run.executed(solved.round)),
            **_test(solved),
        },
        "executed": _executed(run.executed()),
        "states": dict(run.states),
        "seconds": run.seconds,
        "details": measures.of_scalars(run.details.values()),
        "signals": measures.of_signals(run.signals.values()),
        "labels": measures.of_scalars(run.labels.values()),
    }


def verdict(summary: Mapping[str, Any]) -> str:
    """Return in a few sentences what was learned."""
    solved, threshold = summary["solved_at"], summary["threshold"]
    frugal = summary["evaluation_kind"] == "frugal"
    if solved:
        learned = amount(solved["rollouts"], solved["transitions"])
        known = _tested(solved) if frugal else ""
        return f"Solved after {learned}{known}.{_in_all(solved['executed'], ' until then', frugal)}"
    if not summary["rollouts"]:
        gone = {state: summary["states"][state] for state in LOST if summary["states"][state]}
        lost = [f"{count(n, 'rollout')} {became(state, n)}" for state, n in gone.items()]
        return f"No rollout has been recorded{': ' + listed(lost) if lost else ' yet'}."
    said = amount(summary["rollouts"], summary["transitions"])
    rows = summary["evaluations"]
    put_off = _put_off(summary["not_evaluated"])
    if not rows:
        return f"Recorded {said}. {not_evaluated(summary['evaluated_every'])}{put_off}"
    paid = _in_all(summary["executed"], "", frugal)
    means = [row["mean_return"] for row in rows if row["mean_return"] is not None]
    best = f"The best evaluation was {number(max(means))}" if means else "Every evaluation failed"
    if threshold is None:
        return (
            f"Recorded {said}. {best}; the task has no threshold from which it counts as "
            f"solved.{paid}"
        )
    if frugal:
        return (
            f"Not known to be solved within {said}. {best}, {_tested(rows[-1])}; the task counts "
            f"as solved when a test shows that the mean reaches {threshold:g}.{put_off}{paid}"
        )
    return (
        f"Not solved within {said}. {best}; the task counts as solved when two evaluations in a "
        f"row reach {threshold:g}.{paid}"
    )


def _tested(evaluation: Mapping[str, Any]) -> str:
    """Return what a test said of a frugal evaluation, as the continuation of a sentence."""
    found = {
        "reached": ", and known to be",
        "below": "the last one below the threshold",
        "undecided": "the last one undecided",
    }[evaluation["verdict"]]
    run = count(evaluation["evaluation_rollouts"], "rollout")
    return f"{found} after {run} of its evaluation (p = {evaluation['p_value']:.2g})"


def _put_off(reasons: Mapping[int, str]) -> str:
    """Return why the policy was last not evaluated, in a further sentence; empty if it was."""
    if not reasons:
        return ""
    last = max(reasons)
    times = count(len(reasons), "round")
    return f" It was not evaluated after {times}, the last of them round {last}: {reasons[last]}."


def not_evaluated(every: int) -> str:
    """Return why there is no evaluation, in a sentence.

    Args:
        every: how many rounds lie between two evaluations; 0 for no evaluation at all.
    """
    if every == 0:
        return "The policy was not evaluated: the configuration says evaluation.every: 0."
    return "The policy has not been evaluated yet."


def amount(rollouts: int, transitions: int) -> str:
    """Return how much was recorded, in words."""
    return f"{count(rollouts, 'rollout')} and {count(transitions, 'transition')}"


def executed_in_words(executed: Mapping[str, Any] | None) -> str:
    """Return what the oracle executed in all, evaluations included."""
    if executed is None:
        return "not known: an earlier robo-al made the evaluations and did not note what they took"
    said = f"{count(executed['rollouts'], 'rollout')} in {duration(executed['robot_seconds'])}"
    if not executed["evaluating"]:
        return said
    learning, evaluating = (
        f"{executed[kind]} in {duration(executed[f'{kind}_seconds'])}"
        for kind in ("training", "evaluating")
    )
    return f"{said}: {learning} to learn from, {evaluating} for evaluations"


def became(state: str, rollouts: int = 1) -> str:
    """Return what became of rollouts that gave no data, as the predicate of a sentence."""
    if state == "failed":
        return "failed"
    if state == "indeterminate":
        return "may or may not have run"
    return f"{'was' if rollouts == 1 else 'were'} {state}"


def time_shares(seconds: Mapping[str, float]) -> str:
    """Return how a time was shared among activities: `train 68 %, feedback 20 %`, longest first."""
    total = sum(seconds.values())
    ranked = sorted(seconds.items(), key=lambda item: -item[1])
    return ", ".join(
        f"{name} {percent(value / total)}" for name, value in ranked if value > 0.005 * total
    )


def render(summary: Mapping[str, Any]) -> "RenderableType":
    """Return a summary as tables for a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from robo_al.report.terminal import Listing, Prose

    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bright_black", no_wrap=True)
    facts.add_column()
    states = [f"{found} {state}" for state, found in summary["states"].items() if found]
    shares = time_shares(summary["seconds"])
    computer_time = duration(sum(summary["seconds"].values()))
    for name, value in (
        ("task", summary["task"]),
        ("strategy", summary["strategy"]),
        ("seed", str(summary["seed"])),
        ("rounds", f"{summary['rounds']} of {summary['budget']}"),
        ("recorded", amount(summary["rollouts"], summary["transitions"])),
        ("states", ", ".join(states) or "no rollouts yet"),
        ("executed", executed_in_words(summary["executed"])),
        ("computer time", f"{computer_time}: {shares}" if shares else computer_time),
        *(
            (kind, measures.in_words(summary[kind]))
            for kind in ("details", "signals", "labels")
            if summary[kind]
        ),
    ):
        facts.add_row(name, Prose(value))
    columns = ("rollouts", "transitions", "mean return")
    cells = [_cells(row) for row in summary["evaluations"]]
    named: tuple[str, ...] = columns
    if summary["evaluation_kind"] == "frugal":
        named = (*columns, "of rollouts", "verdict", "p value")
        cells = [
            [*own, str(row["evaluation_rollouts"]), row["verdict"], f"{row['p_value']:.2g}"]
            for own, row in zip(cells, summary["evaluations"], strict=True)
        ]
    evaluations = Listing(named, cells, [name for name in named if name != "verdict"])
    shown: list[RenderableType] = [evaluations, Text()] if summary["evaluations"] else []
    return Group(facts, Text(), *shown, Prose(verdict(summary), "bold"))


def _executed(executed: Executed | None) -> dict[str, Any] | None:
    if executed is None:
        return None
    return {
        "rollouts": executed.rollouts,
        "robot_seconds": executed.robot_seconds,
        **executed._asdict(),
    }


def _in_all(executed: Mapping[str, Any] | None, when: str, frugal: bool) -> str:
    """Return as a further sentence what evaluations cost; nothing where there were none."""
    if not executed or not (executed["evaluating"] or frugal):
        return ""
    return (
        f" Evaluations included, {count(executed['rollouts'], 'rollout')} in "
        f"{duration(executed['robot_seconds'])} were executed{when}."
    )


def _cells(evaluation: Mapping[str, Any]) -> list[str]:
    mean = evaluation["mean_return"]
    return [
        str(evaluation["rollouts"]),
        str(evaluation["transitions"]),
        "failed" if mean is None else number(mean),
    ]


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
        **_test(row),
    }


def _test(row: EvaluationRow) -> dict[str, Any]:
    """Return what a test said of an evaluation; nulls where it was a full one."""
    return {
        "evaluation_rollouts": len(json.loads(row.returns)),
        "verdict": row.verdict,
        "p_value": row.p_value,
    }
