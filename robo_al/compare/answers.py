"""A comparison's answers in sentences, for a reader who knows no statistics."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from robo_al.compare.records import UNFINISHED
from robo_al.report.words import count, listed, noun, number

JSON: TypeAlias = dict[str, Any]

REFERENCE = "random"
"""The strategy that the others are compared with."""
TRUE_DYNAMICS = "true_dynamics"
"""The bound that plans with a perfect model: only the return that it ends with says anything."""


STARTS_FOUND = (
    "The starts of this task are found, not asked for: runs of one seed share no starts, so they "
    "are not paired by them, and a difference needs more seeds to be found."
)
"""What a comparison loses on a task whose starts cannot be asked for."""
HOW_DECIDED = (
    f"Strategies are compared with {REFERENCE} by the rollouts that they need for an equal return. "
    "Rollouts are counted until a task is solved, which takes two evaluations in a row at or above "
    "its threshold. Where no run solved the task, they are counted until the first evaluation that "
    f"reaches the return that {REFERENCE} ended with.",
    "Runs of one seed share their first rollouts, the starts of their evaluations and the "
    "randomness of their candidates, so differences are taken seed by seed. For a run that did not "
    "get there, the whole budget is counted. Of a task whose starts cannot be asked for (its runs' "
    "configuration says starts: found), runs of one seed share no starts, and a difference needs "
    "more seeds to be found.",
    "A difference is claimed only where the 95 % interval of the mean rollouts saved excludes 0 "
    "(bootstrap over seeds) and Wilcoxon's signed-rank test agrees at 5 %, after Holm's correction "
    "for the number of strategies on the task (bounds are no strategies). That no difference was "
    "found does not mean that there is none.",
    "The rollouts until a task is solved are Kaplan and Meier's median. Runs that did not solve it "
    "count as censored. The log-rank test compares the same runs without pairing them.",
    f'The column "better than {REFERENCE}" holds the probability that a run of the strategy has a '
    f"larger area under its learning curve than a run of {REFERENCE}; a tie counts as one half, so "
    "50 % is no difference.",
    "A run ends once its task is solved, and keeps its last evaluation up to the budget. The area "
    "under the curve is the mean of its evaluations over the rollouts of the budget.",
    "Learning curves show the mean of the middle half of the runs (the interquartile mean, IQM). "
    "Their bands are 95 % intervals of the bootstrap over runs, for each point alone.",
    "CPU time is that of everything that a run computes, except its evaluations.",
    "Runs that failed or are not finished are in no figure. They are listed with the reason.",
)
"""What a reader who wants to know has to know."""


def rollouts(value: float) -> str:
    """Return a mean number of rollouts to two digits, of larger ones to three."""
    return f"{value:.2g}" if abs(value) < 10 else number(value)


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
    waits = "is" if waiting == 1 else "are"
    kinds = {"failed": len(reasons) - waiting, f"{waits} {UNFINISHED}": waiting}
    said = " and ".join(f"{amount} {kind}" for kind, amount in kinds.items() if amount)
    if not said:
        return ""
    are = "is" if len(reasons) == 1 else "are"
    return f"{len(reasons)} of {count(len(runs), 'run')} {are} left out of all figures: {said}."


# ---------------------------------------------------------------- a strategy


def of_strategy(name: str, own: JSON, task: JSON) -> str:
    """Return what is found of a strategy: the rest of a sentence that begins with its name.

    Args:
        name: of the strategy.
        own: its figures.
        task: the task's, of which `goal` and `measure` are used.
    """
    if not complete(own):
        return "has no complete run yet"
    if name == REFERENCE:
        return "is the strategy that the others are compared with"
    if name == TRUE_DYNAMICS:
        return f"plans with a perfect model, and ends with a return of {_final(own)}"
    return _compared(own, task)


def _final(own: JSON) -> str:
    """Return what a strategy's runs ended with, the interval and what it is of."""
    final, seeds = own["final_return_iqm"], count(len(complete(own)), "seed")
    if final["low"] is None:
        return f"{number(final['value'])} ({seeds})"
    between = f"{number(final['low'])} to {number(final['high'])}"
    return f"{number(final['value'])} (95 % interval {between}, {seeds})"


def _compared(own: JSON, task: JSON) -> str:
    """Return how a strategy compares with `random`."""
    seeds = own["seeds_compared"]
    if task["goal"] is None:
        return f"cannot be compared, because there is no complete run of {REFERENCE}"
    if own["difference"] is None:
        return (
            f"cannot be compared with {REFERENCE}, because that takes complete runs of both for at "
            f"least two seeds, and {'there is one' if seeds == 1 else 'there are none'}"
        )
    if own["difference"] == "not found":
        said = f"was not found to differ from {REFERENCE} with {count(seeds, 'seed')}"
        few = _too_few([own])
        return f"{said}. {few}" if few else said
    return _difference(own, task)


def _difference(own: JSON, task: JSON) -> str:
    """Return a difference that is claimed, as so many rollouts."""
    saved = own["rollouts_saved"]
    value, limits = abs(saved["value"]), sorted(abs(saved[end]) for end in ("low", "high"))
    what = "" if task["goal"]["threshold"] else f" to reach {_level(task)}"
    return (
        f"needed {rollouts(value)} {noun('rollout', value)} {own['difference']} than "
        f"{REFERENCE}{what} (95 % interval {' to '.join(map(rollouts, limits))}, "
        f"{count(own['seeds_compared'], 'seed')})"
    )


def _level(task: JSON) -> str:
    """Return what strategies are compared at where no run solved a task."""
    return f"a {task['measure']} of {number(task['goal']['level'])}"


def _too_few(compared: Sequence[JSON]) -> str:
    """Return how many seeds it takes to find a difference, where there were fewer; no full stop."""
    needed = max(own["seeds_needed"] for own in compared)
    if max(own["seeds_compared"] for own in compared) >= needed:
        return ""
    return f"So few seeds cannot show a difference, however large it is; {needed} seeds could"


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
    return (
        f"No complete run solved {name} within {count(task['budget'], 'rollout')}: none had two "
        f"evaluations in a row at or above {task['threshold']:g}."
    )


def _differences(task: JSON) -> str:
    """Return which strategies differ from `random`, the best first."""
    others = {name: own for name, own in task["strategies"].items() if name != REFERENCE}
    if REFERENCE not in task["strategies"]:
        return (
            f"Whether choosing rollouts helps cannot be told, because {REFERENCE} is not among the "
            "strategies."
        )
    if task["goal"] is None:
        return f"Nothing can be compared yet: there is no complete run of {REFERENCE}."
    compared = {name: own for name, own in others.items() if own["difference"] is not None}
    if not compared:
        return (
            f"No strategy can be compared with {REFERENCE} yet, because that takes complete runs "
            "of both for at least two seeds."
        )
    claimed = sorted(
        (name for name, own in compared.items() if own["difference"] != "not found"),
        key=lambda name: -float(compared[name]["rollouts_saved"]["value"]),
    )
    if claimed:
        return " ".join(f"{name} {compared[name]['sentence']}." for name in claimed)
    seeds = sorted({own["seeds_compared"] for own in compared.values()})
    span = " to ".join(f"{n}" for n in (seeds[0], seeds[-1])[: len(seeds)])
    what = "" if task["goal"]["threshold"] else f" in the rollouts to {_level(task)}"
    few = _too_few(list(compared.values()))
    said = f"No difference from {REFERENCE}{what} was found with {span} seeds."
    return f"{said} {few}." if few else said


def _fastest(task: JSON) -> str:
    """Return which strategy has the smallest median, whether or not that means anything."""
    medians = {
        name: own["rollouts_to_solved"]["median"]
        for name, own in task["strategies"].items()
        if own["rollouts_to_solved"] and own["rollouts_to_solved"]["median"] is not None
    }
    if not medians:
        return ""
    fewest = min(medians.values())
    names = [name for name, median in medians.items() if median == fewest]
    best = count(fewest, "rollout")
    if len(names) == 1:
        who = f"In the median of its runs, {names[0]}"
    elif len(names) < len(task["strategies"]):
        who, best = f"In the median of their runs, {listed(names)}", f"{best} each"
    else:
        return f"In the median of its runs, every strategy needed {best} to solve the task."
    against = ""
    if REFERENCE in medians and REFERENCE not in names:
        against = f"; {REFERENCE} needed {number(medians[REFERENCE])}"
    elif REFERENCE not in names and complete(task["strategies"].get(REFERENCE, {"runs": []})):
        against = f"; half of the runs of {REFERENCE} or more did not solve it"
    return f"{who} needed the fewest rollouts to solve the task: {best}{against}."


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
    all_tasks = count(len(tasks), "task")
    if not found:
        return f"No strategy was found to differ from {REFERENCE} on any of the {all_tasks}."
    best_first = sorted(
        found.items(), key=lambda item: len(item[1]["more"]) - len(item[1]["fewer"])
    )
    return " ".join(f"{name} {_tally(tally, all_tasks)}." for name, tally in best_first)


def _tally(tally: Mapping[str, Sequence[str]], all_tasks: str) -> str:
    """Return on which tasks a strategy needed fewer rollouts than `random`, and on which more."""
    parts = [
        f"{word} rollouts than {REFERENCE} on {len(names)} of {all_tasks} ({', '.join(names)})"
        for word, names in tally.items()
        if names
    ]
    return "needed " + ", and ".join(parts)
