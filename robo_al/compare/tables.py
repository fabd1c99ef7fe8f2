"""A comparison's tables, as text: one source for the page, the terminal and Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from robo_al.compare import cells
from robo_al.compare.answers import JSON, complete, rollouts
from robo_al.compare.cells import NOTHING
from robo_al.report.words import computing, computing_unit, noun, number

SOLVED_AFTER = "rollouts until solved (median)"
"""A column's heading."""
AGAINST = "against"
"""A column's heading."""
GOAL = "compared at"
"""A column's heading."""
PAID = ("rollouts learned from", "rollouts executed", "robot-seconds")
"""Columns' headings: what a lab pays."""
TAILS = ("its 10 % quantile", "its lowest")
"""Columns' headings: of the last evaluation, over its starts or held-out rollouts."""
REGRET = "regret to {}"
"""A column's heading, for each bound."""
REGRET_IS = (
    "Regret is by how much a final return is below the bound's of the same seed, the mean over "
    "seeds. The bound is no supremum: it is measured on as few evaluations as the strategies, and "
    "plans or selects no further ahead than they do, so that a regret may be negative."
)
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


def every_run(comparison: JSON) -> list[JSON]:
    """Return every run of every strategy and bound on every task."""
    return [run for own in every_strategy(comparison) for run in own["runs"]]


def tiles(comparison: JSON) -> list[tuple[str, str]]:
    """Return the size of a comparison: what is counted, and how many."""
    runs = every_run(comparison)
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
    found = [comparing(name, result), *pairs(name, result), alone(name, result)]
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
                cells.solved_of(own, threshold),
                cells.median(own["rollouts_to_solved"], budget),
                cells.goal(own["goal"]),
                cells.interval(own["rollouts_saved"], rollouts),
                cells.claim(own),
                cells.least_p_value(own),
                cells.p_value(own["log_rank_p"]),
                cells.share(own["p_better"]),
            ]
            for strategy, own in result["strategies"].items()
        ],
        ("strategy", "difference claimed"),
    )  # fmt: skip


def pairs(name: str, result: JSON) -> list[Table]:
    """Return how each strategy compares with each other one, if there are more than two."""
    if len(result["pairs"]) < 2:
        return []
    table = Table(
        f"{name}: all pairs",
        f"Every two strategies on {name}. What was saved and gained is the mean over seeds of the "
        "first one's, with 95 % intervals in brackets. The p values are corrected for all pairs on "
        "all tasks, whichever strategy is the reference.",
        (
            "strategy", AGAINST, GOAL, "rollouts saved", f"{result['measure']} gained",
            "difference claimed", P_VALUE, "better than the other",
        ),
        [
            [
                pair["strategy"],
                pair["reference"],
                cells.goal(pair["goal"]),
                cells.interval(pair["rollouts_saved"], rollouts),
                cells.interval(pair["return_gained"]),
                cells.claim(pair),
                cells.least_p_value(pair),
                cells.share(pair["p_better"]),
            ]
            for pair in result["pairs"]
        ],
        ("strategy", AGAINST, "difference claimed"),
    )  # fmt: skip
    return [table]


def alone(name: str, result: JSON) -> Table:
    """Return what each strategy reached and what it cost."""
    caption = (
        f"Returns and cost on {name} are means of the middle half of the runs (interquartile "
        "means), with 95 % intervals in brackets. The 10 % quantile and the lowest are over the "
        "starts, or held-out rollouts, of a run's last evaluation. How much of the predicted "
        "information was realised is the median over n rollouts. The rank correlation is that of "
        "predicted and realised information. What was learned from until the last evaluation, what "
        "was executed in all and how long the robot took for it, evaluations included, are medians."
    )
    if result["bounds"]:
        caption += f" {REGRET_IS}"
    return Table(
        f"{name}: returns and cost",
        caption,
        (*_alone_columns(result), *(REGRET.format(bound) for bound in result["bounds"])),
        [
            [
                *_alone_cells(strategy, own, result),
                *(cells.interval(own["regret"][bound]) for bound in result["bounds"]),
            ]
            for strategy, own in result["strategies"].items()
        ],
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
                cells.median(own["rollouts_to_solved"], result["budget"]),
                cells.interval(own["rollouts_saved"], rollouts),
                *_alone_cells(bound, own, result)[1:-2],
            ]
            for bound, own in result["bounds"].items()
        ],
        ("bound",),
    )


def _alone_columns(result: JSON) -> tuple[str, ...]:
    unit, _ = _cost_unit(result)
    return (
        "strategy", "runs", f"final {result['measure']}", *TAILS, "area under the curve",
        f"{unit}s per run", *PAID, "realised / predicted information", "rank correlation",
    )  # fmt: skip


def _alone_cells(strategy: str, own: JSON, result: JSON) -> list[str]:
    _, seconds = _cost_unit(result)
    return [
        strategy,
        f"{len(complete(own))} of {len(own['runs'])}",
        cells.interval(own["final_return_iqm"]),
        *(cells.interval(own["final_tails"][end]) for end in ("tenth", "lowest")),
        cells.interval(own["area_under_curve_iqm"]),
        cells.interval(own["cpu_seconds"], lambda value: number(value / seconds)),
        *_paid(own["paid"]),
        *cells.calibration(own["calibration"]),
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
            [strategy, cells.interval(own["normalised_iqm"]), f"{own['tasks']}", f"{own['runs']}"]
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
