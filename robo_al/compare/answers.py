"""A comparison's answers in sentences, for a reader who knows no statistics."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from robo_al.compare.records import UNFINISHED

JSON: TypeAlias = dict[str, Any]

REFERENCE = "random"
"""The strategy that the others are compared with."""
TRUE_DYNAMICS = "true_dynamics"
"""The bound that plans with a perfect model: only the return that it ends with says anything."""


HOW_DECIDED = (
    f"Strategies are compared with {REFERENCE} by the rollouts that they need for an equal return: "
    "until a task is solved (two evaluations in a row at or above its threshold), or, where no run "
    f"solved it, until a first evaluation at the return that {REFERENCE} ended with.",
    "Runs of one seed share their first rollouts, the starts of their evaluations and the "
    "randomness of their candidates, so differences are taken seed by seed. A run that did not "
    "get there counts as the budget.",
    "A difference is claimed only where the 95 % interval of the mean rollouts saved excludes 0 "
    "(bootstrap over seeds) and Wilcoxon's signed-rank test agrees at 5 %, after Holm's correction "
    "for the number of strategies on the task (bounds are no strategies). Not found does not mean "
    "that there is none.",
    "Rollouts to solved are Kaplan and Meier's median, with runs that did not solve the task as "
    "censored; the log-rank test compares the same runs without pairing them.",
    f"Better than {REFERENCE}: the probability that a run of the strategy has the larger area "
    f"under its learning curve than one of {REFERENCE}, ties counted half; 50 % is no difference.",
    "A run ends once its task is solved, and keeps its last evaluation up to the budget. The area "
    "under the curve is the mean of its evaluations over the rollouts of the budget.",
    "Learning curves show the mean of the middle half of the runs (IQM); bands are pointwise 95 % "
    "intervals of the bootstrap over runs.",
    "CPU-seconds are of everything that a run computes except its evaluations.",
    "Runs that failed or are not finished are in no figure; they are listed with the reason.",
)
"""What a reader who wants to know has to know."""


def number(value: float) -> str:
    """Return a number to three digits."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def rollouts(value: float) -> str:
    """Return a mean number of rollouts to two digits, of larger ones to three."""
    return f"{value:.2g}" if abs(value) < 10 else number(value)


def count(amount: float, noun: str) -> str:
    """Return a number of things."""
    return f"{number(amount)} {noun}" if amount == 1 else f"{number(amount)} {noun}s"


def complete(own: JSON) -> list[JSON]:
    """Return those of a strategy's runs that count."""
    return [run for run in own["runs"] if run["failed"] is None]


def solved(own: JSON) -> int:
    """Return how many of a strategy's runs that count solved the task."""
    return sum(run["solved_at"] is not None for run in complete(own))


def left_out(strategies: Iterable[JSON]) -> str:
    """Return how many runs the figures leave out, or nothing where they have them all."""
    runs = [run for own in strategies for run in own["runs"]]
    reasons = [run["failed"] for run in runs if run["failed"] is not None]
    waiting = reasons.count(UNFINISHED)
    kinds = {"failed": len(reasons) - waiting, UNFINISHED: waiting}
    said = " and ".join(f"{number} {kind}" for kind, number in kinds.items() if number)
    if not said:
        return ""
    return f"{len(reasons)} of {count(len(runs), 'run')} left out of all figures: {said}."


# ---------------------------------------------------------------- a strategy


def of_strategy(name: str, own: JSON, task: JSON) -> str:
    """Return what is found of a strategy, to be read after its name and a colon.

    Args:
        name: of the strategy.
        own: its figures.
        task: the task's, of which `goal` is used.
    """
    if not complete(own):
        return "has no complete run yet"
    if name == REFERENCE:
        return "is what the others are compared with"
    if name == TRUE_DYNAMICS:
        return f"reaches {_final(own)} by planning with a perfect model"
    return _compared(own, task["goal"])


def _final(own: JSON) -> str:
    """Return what a strategy's runs ended with, the interval and what it is of."""
    final, seeds = own["final_return_iqm"], count(len(complete(own)), "seed")
    if final["low"] is None:
        return f"{number(final['value'])} ({seeds})"
    between = f"{number(final['low'])} to {number(final['high'])}"
    return f"{number(final['value'])} (95 % interval {between}, {seeds})"


def _compared(own: JSON, goal: JSON | None) -> str:
    """Return how a strategy compares with `random`."""
    seeds = count(own["seeds_compared"], "seed")
    if goal is None:
        return f"cannot be compared: there is no complete run of {REFERENCE}"
    if own["difference"] is None:
        return f"cannot be told from {REFERENCE} with {seeds} in common"
    if own["difference"] == "not found":
        return f"no difference was found with {seeds}{_too_few([own])}"
    return _difference(own, goal)


def _difference(own: JSON, goal: JSON) -> str:
    """Return a difference that is claimed, as so many rollouts."""
    saved = own["rollouts_saved"]
    value, limits = abs(saved["value"]), sorted(abs(saved[end]) for end in ("low", "high"))
    noun = "rollout" if value == 1 else "rollouts"
    what = "" if goal["threshold"] else f" to reach {number(goal['level'])}"
    return (
        f"needed {rollouts(value)} {noun} {own['difference']} than {REFERENCE}{what} "
        f"(95 % interval {' to '.join(map(rollouts, limits))}, "
        f"{count(own['seeds_compared'], 'seed')})"
    )


def _too_few(compared: Sequence[JSON]) -> str:
    """Return how many seeds it takes to find a difference, where there were fewer."""
    needed = max(own["seeds_needed"] for own in compared)
    if max(own["seeds_compared"] for own in compared) >= needed:
        return ""
    return f"; with {needed} or more one could be"


# ---------------------------------------------------------------- a task


def of_task(name: str, task: JSON) -> str:
    """Return which strategy solves a task in the fewest rollouts, as far as can be told."""
    strategies = task["strategies"]
    if not any(complete(own) for own in strategies.values()):
        return f"No run of {name} is complete yet."
    return " ".join(
        part for part in (_unsolved(name, task), _differences(task), _fastest(task)) if part
    )


def _unsolved(name: str, task: JSON) -> str:
    if task["threshold"] is None or any(solved(own) for own in task["strategies"].values()):
        return ""
    limit = f"{count(task['budget'], 'rollout')} (threshold {number(task['threshold'])})"
    return f"No complete run solved {name} within {limit}."


def _differences(task: JSON) -> str:
    """Return which strategies differ from `random`, the best first."""
    others = {name: own for name, own in task["strategies"].items() if name != REFERENCE}
    if REFERENCE not in task["strategies"]:
        return f"Whether choosing helps cannot be told: {REFERENCE} is not among the strategies."
    if task["goal"] is None:
        return f"Nothing can be compared yet: there is no complete run of {REFERENCE}."
    compared = {name: own for name, own in others.items() if own["difference"] is not None}
    if not compared:
        return (
            f"No difference can be told: it takes at least two seeds that {REFERENCE} and another "
            f"strategy both have complete runs of."
        )
    claimed = sorted(
        (name for name, own in compared.items() if own["difference"] != "not found"),
        key=lambda name: -float(compared[name]["rollouts_saved"]["value"]),
    )
    if claimed:
        return " ".join(f"{name} {compared[name]['sentence']}." for name in claimed)
    seeds = sorted({own["seeds_compared"] for own in compared.values()})
    span = " to ".join(f"{n}" for n in (seeds[0], seeds[-1])[: len(seeds)])
    what = "" if task["goal"]["threshold"] else f" in reaching {number(task['goal']['level'])}"
    too_few = _too_few(list(compared.values()))
    return f"No difference from {REFERENCE}{what} was found with {span} seeds{too_few}."


def _fastest(task: JSON) -> str:
    """Return which strategy has the smallest median, whether or not that means anything."""
    medians = {
        name: own["rollouts_to_solved"]["median"]
        for name, own in task["strategies"].items()
        if own["rollouts_to_solved"] and own["rollouts_to_solved"]["median"] is not None
    }
    if not medians:
        return ""
    best = min(medians.values())
    names = [name for name, median in medians.items() if median == best]
    against = ""
    if REFERENCE not in names and complete(task["strategies"].get(REFERENCE, {"runs": []})):
        median = medians.get(REFERENCE)
        against = f" ({REFERENCE}: {number(median) if median else 'more than half unsolved'})"
    return f"Fewest in the median: {', '.join(names)}, {count(best, 'rollout')}{against}."


# ---------------------------------------------------------------- all tasks


def of_comparison(tasks: Mapping[str, JSON]) -> str:
    """Return what the whole comparison found; of one task, what that task's answer is."""
    if len(tasks) == 1:
        return str(next(iter(tasks.values()))["answer"])
    found: dict[str, dict[str, list[str]]] = {}
    compared = False
    for task, result in tasks.items():
        for name, own in result["strategies"].items():
            compared |= own["difference"] is not None
            if own["difference"] in ("fewer", "more"):
                found.setdefault(name, {"fewer": [], "more": []})[own["difference"]].append(task)
    if not compared:
        return f"No strategy can be compared with {REFERENCE} yet."
    of_all = f"of {count(len(tasks), 'task')}"
    if not found:
        return f"No strategy was told apart from {REFERENCE} on any {of_all}."
    best_first = sorted(
        found.items(), key=lambda item: len(item[1]["more"]) - len(item[1]["fewer"])
    )
    return " ".join(f"{name} {_tally(tally, of_all)}." for name, tally in best_first)


def _tally(tally: Mapping[str, Sequence[str]], of_all: str) -> str:
    """Return on which tasks a strategy needed fewer rollouts than `random`, and on which more."""
    parts = [
        f"{word} rollouts than {REFERENCE} on {len(names)} {of_all} ({', '.join(names)})"
        for word, names in tally.items()
        if names
    ]
    return "needed " + ", and ".join(parts)
