"""A comparison's tables, as text: one source for the page, the terminal and Markdown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from robo_al.compare.answers import JSON, REFERENCE, complete, number, rollouts, solved

NOTHING = "–"
"""In a cell: there is nothing to say."""
CLAIMS = {"fewer": "fewer", "more": "more", "not found": "none", None: NOTHING}
"""How a difference from `random` that is claimed, or is not, stands in a cell."""


@dataclass(frozen=True)
class Table:
    """Rows of cells under named columns."""

    title: str
    caption: str
    """What the numbers are: their unit, and of how many runs."""
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: Sequence[str] = ("strategy",)
    """The columns that hold words."""

    @property
    def numbers(self) -> list[str]:
        """The columns that hold numbers."""
        return [column for column in self.columns if column not in self.text]


def families(result: JSON) -> dict[str, JSON]:
    """Return the figures of a task's strategies and bounds."""
    return {**result["strategies"], **result["bounds"]}


def every_strategy(comparison: JSON) -> list[JSON]:
    """Return the figures of every strategy and bound on every task."""
    return [own for result in comparison["tasks"].values() for own in families(result).values()]


def tiles(comparison: JSON) -> list[tuple[str, str]]:
    """Return the size of a comparison: what is counted, and how many."""
    runs = [run for own in every_strategy(comparison) for run in own["runs"]]
    done = sum(run["failed"] is None for run in runs)
    seconds = sum(run["cpu_seconds"] for run in runs)
    return [
        ("tasks", f"{len(comparison['tasks'])}"),
        ("strategies", f"{len(comparison['strategies'])}"),
        ("seeds", f"{len(comparison['seeds'])}"),
        ("complete runs", f"{done} of {len(runs)}"),
        ("computing", f"{number(seconds / 3600)} CPU-hours"),
    ]


# ---------------------------------------------------------------- a task


def of_task(name: str, result: JSON) -> list[Table]:
    """Return all tables of a task."""
    found = [comparing(name, result), alone(name, result)]
    return [*found, bounds(name, result)] if result["bounds"] else found


def comparing(name: str, result: JSON) -> Table:
    """Return how the strategies compare with `random`."""
    goal, budget = result["goal"], result["budget"]
    if goal is None:
        saved = ""
    elif goal["threshold"]:
        saved = f" Rollouts saved: until solved, against {REFERENCE}, mean over seeds."
    else:
        level = f"{number(goal['level'])}, what {REFERENCE} ended with"
        saved = f" Rollouts saved: until an evaluation reached {level}, mean over seeds."
    threshold = result["threshold"]
    solving = "" if threshold is None else f"solved at {number(threshold)}, "
    return Table(
        f"{name}: rollouts",
        f"{name}: {solving}budget {budget} rollouts; in brackets 95 % intervals.{saved}",
        (
            "strategy", "solved", "rollouts to solved, median", "rollouts saved",
            "claimed", "paired p (Holm)", "log-rank p", f"better than {REFERENCE}",
        ),
        [
            [
                strategy,
                NOTHING if threshold is None else f"{solved(own)} of {len(complete(own))}",
                _median(own["rollouts_to_solved"], budget),
                _interval(own["rollouts_saved"], rollouts),
                CLAIMS[own["difference"]],
                _p_value(own["paired_p_holm"]),
                _p_value(own["log_rank_p"]),
                _share(own["p_better_than_random"]),
            ]
            for strategy, own in result["strategies"].items()
        ],
        ("strategy", "claimed"),
    )  # fmt: skip


def alone(name: str, result: JSON) -> Table:
    """Return what each strategy reached and what it cost."""
    return Table(
        f"{name}: returns and cost",
        f"{name}: means of the middle half of the runs (IQM), in brackets 95 % intervals. "
        "Realised over predicted information: median over n rollouts; and their rank correlation.",
        _alone_columns(result),
        [_alone_cells(strategy, own) for strategy, own in result["strategies"].items()],
    )


def bounds(name: str, result: JSON) -> Table:
    """Return the bounds: what there is to gain, no competitors."""
    return Table(
        f"{name}: bounds",
        f"{name}: what there is to gain. These know what no strategy can, and do not compete.",
        ("bound", "rollouts to solved, median", "rollouts saved", *_alone_columns(result)[1:-2]),
        [
            [
                bound,
                _median(own["rollouts_to_solved"], result["budget"]),
                _interval(own["rollouts_saved"], rollouts),
                *_alone_cells(bound, own)[1:-2],
            ]
            for bound, own in result["bounds"].items()
        ],
        ("bound",),
    )


def _alone_columns(result: JSON) -> tuple[str, ...]:
    measure = result["measure"]
    return (
        "strategy", "runs", f"final {measure}", "area under the curve", "CPU s a run",
        "realised / predicted", "rank correlation",
    )  # fmt: skip


def _alone_cells(strategy: str, own: JSON) -> list[str]:
    return [
        strategy,
        f"{len(complete(own))} of {len(own['runs'])}",
        _interval(own["final_return_iqm"]),
        _interval(own["area_under_curve_iqm"]),
        _interval(own["cpu_seconds"]),
        *_calibration(own["calibration"]),
    ]


# ---------------------------------------------------------------- all tasks


def overall(comparison: JSON) -> Table:
    """Return how the strategies do over all tasks."""
    ranges = comparison["overall"]["ranges"]
    return Table(
        "Over all tasks",
        "Final returns of all tasks together, each task's scaled from 0, the worst that any run "
        f"ended with, to 1, the best: {', '.join(ranges)}. IQM with 95 % interval, "
        "runs drawn anew within each task.",
        ("strategy", "score", "tasks", "runs"),
        [
            [strategy, _interval(own["normalised_iqm"]), f"{own['tasks']}", f"{own['runs']}"]
            for strategy, own in comparison["overall"]["strategies"].items()
        ],
    )


def failures(comparison: JSON) -> Table:
    """Return the runs that the figures leave out, and why: failed ones before unfinished ones."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for task, result in comparison["tasks"].items():
        for strategy, own in families(result).items():
            for run in own["runs"]:
                if run["failed"] is not None:
                    key = (task, strategy, run["failed"])
                    grouped.setdefault(key, []).append(f"{run['seed']}")
    columns = ("task", "strategy", "seeds", "why")
    return Table(
        "Runs left out",
        "Runs that are in none of the figures, and why.",
        columns,
        [
            [task, strategy, ", ".join(seeds), reason]
            for (task, strategy, reason), seeds in grouped.items()
        ],
        columns,
    )


# ---------------------------------------------------------------- cells


def _interval(interval: JSON | None, write: Callable[[float], str] = number) -> str:
    if interval is None or interval["value"] is None:
        return NOTHING
    if interval["low"] is None:
        return write(interval["value"])
    return f"{write(interval['value'])} ({write(interval['low'])} to {write(interval['high'])})"


def _median(median: JSON | None, budget: int) -> str:
    """Return a median and its interval, of which ends may lie beyond what was seen."""
    if median is None:
        return NOTHING
    value = f"> {budget}" if median["median"] is None else number(median["median"])
    if median["low"] is None:
        return value
    if median["high"] is None:
        return f"{value} ({number(median['low'])} or more)"
    return f"{value} ({number(median['low'])} to {number(median['high'])})"


def _p_value(p_value: float | None) -> str:
    if p_value is None:
        return NOTHING
    return "< 0.001" if p_value < 0.001 else f"{p_value:.2g}"


def _share(share: JSON | None) -> str:
    if share is None or share["value"] is None:
        return NOTHING
    value = f"{100 * share['value']:.0f} %"
    if share["low"] is None:
        return value
    return f"{value} ({100 * share['low']:.0f} to {100 * share['high']:.0f})"


def _calibration(calibration: JSON | None) -> tuple[str, str]:
    """Return how much of the predicted information was realised, and its rank correlation."""
    if calibration is None:
        return NOTHING, NOTHING
    ratio, correlation = calibration["realised_over_predicted"], calibration["correlation"]
    return (
        f"{number(ratio)} (n = {calibration['rollouts']})",
        NOTHING if correlation is None else f"{correlation:.2f}",
    )
