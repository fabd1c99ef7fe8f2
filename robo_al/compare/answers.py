"""A comparison's answers in sentences, for a reader who knows no statistics."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from robo_al.compare.plan import HELD_OUT_ERROR
from robo_al.compare.records import UNFINISHED
from robo_al.report.words import count, listed, noun, number

JSON: TypeAlias = dict[str, Any]

TRUE_DYNAMICS = "true_dynamics"
"""The bound that plans with a perfect model: only the return that it ends with says anything."""


STARTS_FOUND = (
    "The starts of this task are found, not asked for: runs of one seed share no starts, so they "
    "are not paired by them, and a difference needs more seeds to be found."
)
"""What a comparison loses on a task whose starts cannot be asked for."""


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
    out = [run for run in runs if run["failed"] is not None]
    waiting = sum(run["failed"] == UNFINISHED for run in out)
    repeated = sum(run["repeats"] is not None for run in out)
    waits, repeats = "is" if waiting == 1 else "are", "repeats" if repeated == 1 else "repeat"
    kinds = {
        "failed": len(out) - waiting - repeated,
        f"{waits} {UNFINISHED}": waiting,
        f"{repeats} another seed": repeated,
    }
    said = [f"{amount} {kind}" for kind, amount in kinds.items() if amount]
    if not said:
        return ""
    are = "is" if len(out) == 1 else "are"
    return f"{len(out)} of {count(len(runs), 'run')} {are} left out of all figures: {listed(said)}."


# ---------------------------------------------------------------- a strategy


def of_strategy(name: str, own: JSON, task: JSON) -> str:
    """Return what is found of a strategy: the rest of a sentence that begins with its name.

    Args:
        name: of the strategy.
        own: its figures.
        task: the task's, of which `reference` and `measure` are used.
    """
    if not complete(own):
        return "has no complete run yet"
    if name == task["reference"]:
        return "is the strategy that the others are compared with"
    if name == TRUE_DYNAMICS:
        return f"plans with a perfect model, and ends with a {task['measure']} of {_final(own)}"
    return _compared(own, task)


def of_pair(pair: JSON, task: JSON) -> str:
    """Return what is found of two strategies: the rest of a sentence that begins with the first."""
    if not complete(task["strategies"][pair["strategy"]]):
        return "has no complete run yet"
    return _compared(pair, task | {"reference": pair["reference"]})


def of_pairs(task: JSON) -> list[str]:
    """Return what is claimed of pairs of strategies, of each a sentence."""
    return [
        f"{pair['strategy']} {pair['sentence']}." for pair in task["pairs"] if claims(pair)
    ] or ["No two strategies were found to differ, after the correction for all pairs."]


def _final(own: JSON) -> str:
    """Return what a strategy's runs ended with, the interval and what it is of."""
    final, seeds = own["final_return_iqm"], count(len(complete(own)), "seed")
    if final["low"] is None:
        return f"{number(final['value'])} ({seeds})"
    between = f"{number(final['low'])} to {number(final['high'])}"
    return f"{number(final['value'])} (95 % interval {between}, {seeds})"


def _compared(own: JSON, task: JSON) -> str:
    """Return how a strategy compares with the reference."""
    seeds, reference = own["seeds_compared"], task["reference"]
    if not complete(task["strategies"].get(reference, {"runs": []})):
        return f"cannot be compared, because there is no complete run of {reference}"
    if not own["tests"]:
        return (
            f"cannot be compared with {reference}, because that takes complete runs of both for at "
            f"least two seeds, and {'there is one' if seeds == 1 else 'there are none'}"
        )
    if not claims(own):
        said = f"was not found to differ from {reference} with {count(seeds, 'seed')}"
        few = _too_few([own])
        return f"{said}. {few}" if few else said
    return ", and ".join(claim(own, task) for claim in (_needed, _ended) if claim(own, task))


def claims(own: JSON) -> list[str]:
    """Return the differences from the reference that are claimed of a strategy."""
    return [own[key] for key in ("difference", "ended") if own[key] not in (None, "not found")]


def _needed(own: JSON, task: JSON) -> str:
    """Return a difference in rollouts, if it is claimed."""
    if own["difference"] not in ("fewer", "more"):
        return ""
    value, between = _sizes(own["rollouts_saved"], rollouts)
    goal = own["goal"]
    what = "" if goal["threshold"] else f" to reach a {task['measure']} of {number(goal['level'])}"
    seeds = count(own["seeds_compared"], "seed")
    return (
        f"needed {_at_least(own)}{rollouts(value)} {noun('rollout', value)} {own['difference']} "
        f"than {task['reference']}{what} (95 % interval {between}, {seeds}{_censored(own, task)})"
    )


def _ended(own: JSON, task: JSON) -> str:
    """Return a difference in what runs end with, if it is claimed."""
    if own["ended"] not in ("higher", "lower"):
        return ""
    value, between = _sizes(own["return_gained"], number)
    seeds = count(own["seeds_compared"], "seed")
    what, side = task["measure"], own["ended"]
    if what == HELD_OUT_ERROR:  # the less, the better: told as people think of it
        what, side = "held-out error", "lower" if side == "higher" else "higher"
    return (
        f"ended with a {what} that is {side} than that of {task['reference']} "
        f"by {number(value)} (95 % interval {between}, {seeds})"
    )


def _sizes(interval: JSON, write: Callable[[float], str]) -> tuple[float, str]:
    """Return how large a difference is whose interval excludes 0, and that interval in words."""
    limits = sorted(abs(interval[end]) for end in ("low", "high"))
    return abs(interval["value"]), " to ".join(map(write, limits))


def _at_least(own: JSON) -> str:
    """Return that a difference may be larger: where only runs of the slower one missed the goal."""
    slower, faster = ("own", "reference") if own["difference"] == "more" else ("reference", "own")
    missed = own["not_reached"]
    return "at least " if missed[slower] and not missed[faster] else ""


def _censored(own: JSON, task: JSON) -> str:
    """Return how many of the runs compared did not get there, if any."""
    missed = own["not_reached"]
    names = {"its": missed["own"], f"{task['reference']}'s": missed["reference"]}
    said = [f"{amount} of {whose} runs" for whose, amount in names.items() if amount]
    return f"; {listed(said)} did not get there" if said else ""


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
    """Return which strategies differ from the reference, the best first."""
    reference = task["reference"]
    others = {name: own for name, own in task["strategies"].items() if name != reference}
    if reference not in task["strategies"]:
        return (
            f"Whether choosing rollouts helps cannot be told, because {reference} is not among the "
            "strategies."
        )
    if not complete(task["strategies"][reference]):
        return f"Nothing can be compared yet: there is no complete run of {reference}."
    compared = {name: own for name, own in others.items() if own["tests"]}
    if not compared:
        return (
            f"No strategy can be compared with {reference} yet, because that takes complete runs "
            "of both for at least two seeds."
        )
    claimed = sorted((name for name in compared if claims(compared[name])), key=_rank(compared))
    if claimed:
        return " ".join(f"{name} {compared[name]['sentence']}." for name in claimed)
    seeds = sorted({own["seeds_compared"] for own in compared.values()})
    span = " to ".join(f"{n}" for n in (seeds[0], seeds[-1])[: len(seeds)])
    few = _too_few(list(compared.values()))
    said = f"No difference from {reference} was found with {span} seeds."
    return f"{said} {few}." if few else said


def _rank(compared: Mapping[str, JSON]) -> Callable[[str], tuple[float, float]]:
    """Return what sorts strategies: rollouts saved, most first, then the return gained."""

    def worth(name: str) -> tuple[float, float]:
        found = (compared[name][key] for key in ("rollouts_saved", "return_gained"))
        saved, gained = (-float(each["value"]) if each else 0.0 for each in found)
        return saved, gained

    return worth


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
    reference = task["reference"]
    if reference in medians and reference not in names:
        against = f"; {reference} needed {number(medians[reference])}"
    elif reference not in names and complete(task["strategies"].get(reference, {"runs": []})):
        against = f"; half of the runs of {reference} or more did not solve it"
    return f"{who} needed the fewest rollouts to solve the task: {best}{against}."


# ---------------------------------------------------------------- all tasks


_CLAIMED = {
    "fewer": "needed fewer rollouts than {reference}",
    "more": "needed more rollouts than {reference}",
    "higher": "ended higher than {reference}",
    "lower": "ended lower than {reference}",
}
"""What is claimed of a strategy, in words, the good before the bad of each figure."""


def of_comparison(tasks: Mapping[str, JSON]) -> str:
    """Return what the whole comparison found; of one task, what that task's answer is."""
    if len(tasks) == 1:
        return str(next(iter(tasks.values()))["answer"])
    found: dict[str, dict[str, list[str]]] = {}
    compared, reference = False, next(iter(tasks.values()))["reference"]
    for task, result in tasks.items():
        for name, own in result["strategies"].items():
            compared |= bool(own["tests"])
            for claim in claims(own):
                found.setdefault(name, {key: [] for key in _CLAIMED})[claim].append(task)
    if not compared:
        return f"No strategy can be compared with {reference} yet."
    all_tasks = count(len(tasks), "task")
    if not found:
        return f"No strategy was found to differ from {reference} on any of the {all_tasks}."
    best_first = sorted(found.items(), key=lambda item: _balance(item[1]))
    return " ".join(f"{name} {_tally(tally, all_tasks, reference)}." for name, tally in best_first)


def _balance(tally: Mapping[str, Sequence[str]]) -> int:
    """Return on how many more tasks a strategy was worse than better."""
    worse, better = len({*tally["more"], *tally["lower"]}), {*tally["fewer"], *tally["higher"]}
    return worse - len(better)


def _tally(tally: Mapping[str, Sequence[str]], all_tasks: str, reference: str) -> str:
    """Return what is claimed of a strategy, and on which tasks."""
    parts = [
        f"{_CLAIMED[claim].format(reference=reference)} on {len(names)} of {all_tasks} "
        f"({', '.join(names)})"
        for claim, names in tally.items()
        if names
    ]
    return ", and ".join(parts)
