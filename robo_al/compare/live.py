"""What a running comparison shows: one live table in a terminal, plain lines anywhere else."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console, Group, RenderableType
from rich.live import Live

from robo_al.compare.plan import Plan, Run
from robo_al.compare.runner import DryRunning, TaskNote, Update
from robo_al.report.terminal import GAP, Listing, Prose, say
from robo_al.report.words import count, duration, noun, number
from robo_al_agent.operator.terminal import tolerate

_AROUND = 6
"""Lines of a terminal that are not rows of the table."""
_COLUMNS = ("task, strategy", "done", "running", "failed", "rollouts", "return", "solved")
_LEFT_OUT = ("running", "failed", "rollouts", "solved", "return")
"""Columns that a narrow terminal has no room for, the first to go first."""
_NAME = 24
"""Characters that a task's and a strategy's name get at least, as long as columns can go."""


@dataclass(frozen=True)
class _Work:
    """What a run has taken in this process."""

    since: float
    """When it was first heard of."""
    rollouts: int
    """It had then."""


class Progress:
    """Shows the updates of a comparison; a context manager, called with each event.

    Args:
        plan: the comparison.
        jobs: processes at a time.
        console: where to show it; standard output by default.
        clock: seconds, from any moment on.
    """

    def __init__(
        self,
        plan: Plan,
        jobs: int,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan, self._jobs, self._clock = plan, jobs, clock
        if console is None:
            tolerate()
        self._console = console or Console()
        self._updates: dict[Run, Update] = {}
        self._work: dict[Run, _Work] = {}
        self._seconds = dict.fromkeys((task.name for task in plan.tasks), 0.0)
        self._rollouts = dict.fromkeys(self._seconds, 0)
        self._thresholds = {task.name: task.threshold for task in plan.tasks}
        self._began = clock()
        self._doing = ""
        self._live = Live(
            console=self._console, get_renderable=self._panel, refresh_per_second=2, transient=True
        )

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def __call__(self, event: DryRunning | TaskNote | Update) -> None:
        """Take in one event."""
        if isinstance(event, DryRunning):
            self._doing = f"trying whether {event.strategy} can be run on {event.task}"
            return
        self._doing = ""
        if isinstance(event, TaskNote):
            say(f"{event.task}: {event.text}", console=self._console)
            return
        self._account(event)
        self._updates[event.run] = event
        if event.state in ("done", "failed"):
            done = sum(u.state != "running" for u in self._updates.values())
            ended = outcome(event, self._thresholds[event.run.task])
            line = f"{done}/{len(self._plan.runs)} {event.run}: {ended}"
            say(line, "yellow" if event.state == "failed" else "", self._console)

    def _account(self, event: Update) -> None:
        """Count the time and the rollouts since the last update of this run."""
        now = self._clock()
        before = self._work.get(event.run)
        if before is not None:
            self._seconds[event.run.task] += now - before.since
            self._rollouts[event.run.task] += event.rollouts - before.rollouts
        if event.state == "running":
            self._work[event.run] = _Work(now, event.rollouts)

    def seconds_left(self) -> float | None:
        """Return an estimate of the time left, at most: no run is solved before its budget.

        The mean duration of a rollout of each task (of all tasks, where none of it was seen yet)
        times the rollouts that are left, shared among the processes; None before the first.
        """
        rollouts = sum(self._rollouts.values())
        if not rollouts:
            return None
        mean = sum(self._seconds.values()) / rollouts
        total, runs = 0.0, 0
        for run in self._plan.runs:
            update = self._updates.get(run)
            if update is not None and update.state != "running":
                continue
            task = run.task
            pace = self._seconds[task] / self._rollouts[task] if self._rollouts[task] else mean
            total += pace * max(0, self._budget(run) - (update.rollouts if update else 0))
            runs += 1
        return total / max(1, min(self._jobs, runs))

    def _budget(self, run: Run) -> int:
        config = self._plan.config(run)
        later = (config.rounds - 1) * config.rollouts_per_round
        return config.initial_rollouts + later

    # ------------------------------------------------------------ the panel

    def _panel(self) -> RenderableType:
        """Return what is shown now; `return` is the median of the runs' last evaluations."""
        rows = [(task.name, s) for task in self._plan.tasks for s in self._plan.strategies]
        shown = self._visible(rows)
        cells = [self._cells(task, strategy) for task, strategy in shown]
        hidden = len(rows) - len(shown)
        more = [Prose(f"and {hidden} more {noun('row', hidden)}", "bright_black")] * (hidden > 0)
        return Group(_fitting(cells, self._console.width), *more, Prose(self._status(), "bold"))

    def _visible(self, rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the rows that the terminal has room for: those with running runs first."""
        room = max(1, self._console.height - _AROUND)
        if len(rows) <= room:
            return rows
        running = {(u.run.task, u.run.strategy) for u in self._of("running")}
        ranked = sorted(rows, key=lambda row: row not in running)[:room]
        return [row for row in rows if row in ranked]

    def _cells(self, task: str, strategy: str) -> list[str]:
        updates = [
            u for u in self._updates.values() if (u.run.task, u.run.strategy) == (task, strategy)
        ]
        states = Counter("done" if u.state == "kept" else u.state for u in updates)
        returns = [u.mean_return for u in updates if u.mean_return is not None]
        solved = sum(u.solved_at is not None for u in updates)
        return [
            f"{task}, {strategy}",
            f"{states['done']}/{len(self._plan.seeds)}",
            str(states["running"] or ""),
            str(states["failed"] or ""),
            str(sum(u.rollouts for u in updates)),
            number(median(returns)) if returns else "",
            str(solved or ""),
        ]

    def _status(self) -> str:
        if self._doing:
            return self._doing
        done, failed = (len(self._of(state)) for state in ("done", "failed"))
        done += len(self._of("kept"))
        left = self.seconds_left()
        parts = [
            f"{done} of {len(self._plan.runs)} runs done",
            f"{duration(self._clock() - self._began)} so far",
            "the time left is not known yet" if left is None else f"{duration(left)} left at most",
        ]
        return " · ".join(parts[:1] + [f"{failed} failed"] * (failed > 0) + parts[1:])

    def _of(self, state: str) -> list[Update]:
        return [update for update in self._updates.values() if update.state == state]


def outcome(update: Update, threshold: float | None) -> str:
    """Return how a run ended, in words.

    Args:
        update: the last of the run.
        threshold: mean return from which its task counts as solved, if it has one.
    """
    if update.state == "failed":
        return f"failed: {update.reason}"
    rollouts = count(update.rollouts, "rollout")
    if update.solved_at is not None:
        return f"solved after {count(update.solved_at, 'rollout')}"
    ended = "failed" if update.mean_return is None else f"was {number(update.mean_return)}"
    unsolved = "ended after" if threshold is None else "not solved within"
    return f"{unsolved} {rollouts}; the last evaluation {ended}"


def _fitting(rows: Sequence[Sequence[str]], width: int) -> Listing:
    """Return the table of a panel, columns left out and names shortened until it fits."""
    shown = list(range(len(_COLUMNS)))
    waiting = [_COLUMNS.index(name) for name in _LEFT_OUT]
    while (room := _room(rows, shown, width)) < _NAME and waiting:
        shown.remove(waiting.pop(0))
    cells = [[_shortened(row[0], max(room, 1)), *(row[i] for i in shown[1:])] for row in rows]
    columns = [_shortened(_COLUMNS[0], max(room, 1)), *(_COLUMNS[i] for i in shown[1:])]
    return Listing(columns, cells, columns[1:])


def _room(rows: Sequence[Sequence[str]], shown: Sequence[int], width: int) -> int:
    """Return how wide the first column may be beside the other columns shown."""
    longest = (max(len(_COLUMNS[i]), *(len(row[i]) for row in rows)) for i in shown[1:])
    return width - sum(GAP + length for length in longest)


def _shortened(name: str, room: int) -> str:
    """Return a name without its middle, where there is no room for all of it."""
    if len(name) <= room:
        return name
    end = room // 2
    return f"{name[: room - end - 1]}…{name[len(name) - end :]}"
