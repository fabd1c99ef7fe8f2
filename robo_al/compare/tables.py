"""A comparison's tables, as text: one source for the page, the terminal and Markdown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from robo_al.compare.answers import JSON, claims, complete, rollouts, solved
from robo_al.report.words import computing, computing_unit, noun, number, percent

NOTHING = "–"
"""In a cell: there is nothing to say."""
SOLVED_AFTER = "rollouts until solved (median)"
"""A column's heading."""
GOAL = "compared at"
"""A column's heading."""
PAID = ("rollouts learned from", "rollouts executed", "robot-seconds")
"""Columns' headings: what a lab pays."""
P_VALUE = "p value (Holm)"
"""A column's heading: the smaller one, where both rollouts and returns were tested."""


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
    sizes = [
        (noun(word, len(comparison[key])), f"{len(comparison[key])}")
        for word, key in (("task", "tasks"), ("strategy", "strategies"), ("seed", "seeds"))
    ]
    return [
        *sizes,
        ("complete runs", f"{done} of {len(runs)}"),
        ("computing", computing(seconds)),
    ]


# ---------------------------------------------------------------- a task


def of_task(name: str, result: JSON) -> list[Table]:
    """Return all tables of a task."""
    found = [comparing(name, result), alone(name, result)]
    return [*found, bounds(name, result)] if result["bounds"] else found


def comparing(name: str, result: JSON) -> Table:
    """Return how the strategies compare with the reference."""
    budget, threshold, reference = result["budget"], result["threshold"], result["reference"]
    caption = [f"Each run of {name} has a budget of {budget} rollouts."]
    if threshold is not None:
        caption.append(
            f"It is solved by two evaluations in a row at or above {threshold:g}, or by a frugal "
            "one that a test decides."
        )
    caption.append(
        f"Rollouts saved against {reference} are counted until that which the column {GOAL} names: "
        "the mean over seeds. Intervals in brackets are 95 % intervals."
    )
    return Table(
        f"{name}: rollouts",
        " ".join(caption),
        (
            "strategy", "solved", SOLVED_AFTER, GOAL, "rollouts saved", "difference claimed",
            P_VALUE, "p value, log-rank", f"better than {reference}",
        ),
        [
            [
                strategy,
                _solved(own, threshold),
                _median(own["rollouts_to_solved"], budget),
                _goal(own["goal"]),
                _interval(own["rollouts_saved"], rollouts),
                _claim(own),
                _p_value(min((test["p_holm"] for test in own["tests"].values()), default=None)),
                _p_value(own["log_rank_p"]),
                _share(own["p_better"]),
            ]
            for strategy, own in result["strategies"].items()
        ],
        ("strategy", "difference claimed"),
    )  # fmt: skip


def alone(name: str, result: JSON) -> Table:
    """Return what each strategy reached and what it cost."""
    return Table(
        f"{name}: returns and cost",
        f"Returns and cost on {name} are means of the middle half of the runs (interquartile "
        "means), with 95 % intervals in brackets. How much of the predicted information was "
        "realised is the median over n rollouts. The rank correlation is that of predicted and "
        "realised information. What was learned from until the last evaluation, what was executed "
        "in all and how long the robot took for it, evaluations included, are medians.",
        _alone_columns(result),
        [_alone_cells(strategy, own, result) for strategy, own in result["strategies"].items()],
    )


def bounds(name: str, result: JSON) -> Table:
    """Return the bounds: what there is to gain, no competitors."""
    return Table(
        f"{name}: bounds",
        f"Bounds on {name} show what there is to gain. They know what no strategy can know, and do "
        "not compete.",
        ("bound", SOLVED_AFTER, "rollouts saved", *_alone_columns(result)[1:-2]),
        [
            [
                bound,
                _median(own["rollouts_to_solved"], result["budget"]),
                _interval(own["rollouts_saved"], rollouts),
                *_alone_cells(bound, own, result)[1:-2],
            ]
            for bound, own in result["bounds"].items()
        ],
        ("bound",),
    )


def _alone_columns(result: JSON) -> tuple[str, ...]:
    unit, _ = _cost_unit(result)
    return (
        "strategy", "runs", f"final {result['measure']}", "area under the curve",
        f"{unit}s per run", *PAID, "realised / predicted information", "rank correlation",
    )  # fmt: skip


def _alone_cells(strategy: str, own: JSON, result: JSON) -> list[str]:
    _, seconds = _cost_unit(result)
    return [
        strategy,
        f"{len(complete(own))} of {len(own['runs'])}",
        _interval(own["final_return_iqm"]),
        _interval(own["area_under_curve_iqm"]),
        _interval(own["cpu_seconds"], lambda value: number(value / seconds)),
        *_paid(own["paid"]),
        *_calibration(own["calibration"]),
    ]


def _paid(paid: JSON | None) -> list[str]:
    if paid is None:
        return [NOTHING] * len(PAID)
    return [number(paid[key]) for key in ("learned_from", "executed", "robot_seconds")]


def _cost_unit(result: JSON) -> tuple[str, float]:
    """Return the unit for the cost of all runs of a task, and its seconds."""
    costs = [own["cpu_seconds"]["value"] or 0.0 for own in families(result).values()]
    return computing_unit(max(costs, default=0.0))


# ---------------------------------------------------------------- all tasks


def overall(comparison: JSON) -> Table:
    """Return how the strategies do over all tasks."""
    ends = [
        f"{task} {number(scale['zero'])} to {number(scale['one'])}"
        for task, scale in comparison["overall"]["ends"].items()
    ]
    return Table(
        "Over all tasks",
        "A score is a final return on a scale with fixed ends: 0 is where the runs of "
        f"{comparison['reference']} begin, 1 the threshold (without one, what a perfect model "
        "reaches); of a model's error, 0 is that of always predicting the mean change, and 1 none. "
        f"The ends are {'; '.join(ends) or 'none'}. Scores are means of the middle half of the "
        "runs, with 95 % intervals in brackets, for which runs are drawn anew within each task.",
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
        "These runs are in none of the figures, for the reason that is given.",
        columns,
        [
            [task, strategy, ", ".join(seeds), reason]
            for (task, strategy, reason), seeds in grouped.items()
        ],
        columns,
    )


# ---------------------------------------------------------------- cells


def _solved(own: JSON, threshold: float | None) -> str:
    runs = len(complete(own))
    return f"{solved(own)} of {runs}" if runs and threshold is not None else NOTHING


def _goal(goal: JSON | None) -> str:
    """Return where a strategy and the reference are compared."""
    if goal is None:
        return NOTHING
    return "solved" if goal["threshold"] else number(goal["level"])


def _claim(own: JSON) -> str:
    """Return which differences from the reference are claimed."""
    ends = {"higher": "ends higher", "lower": "ends lower"}
    found = [ends.get(claim, claim) for claim in claims(own)]
    return ", ".join(found) or ("none" if own["tests"] else NOTHING)


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
    value = percent(share["value"])
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
