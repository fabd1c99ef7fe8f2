"""What a running comparison shows: one live table in a terminal, plain lines anywhere else."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from robo_al.compare.plan import Plan, Run
from robo_al.compare.runner import Rehearsing, Update
from robo_al.progress import number

_AROUND = 6
"""Lines of a terminal that are not rows of the table."""


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
        self._console = console or Console()
        self._updates: dict[Run, Update] = {}
        self._work: dict[Run, _Work] = {}
        self._seconds = dict.fromkeys((task.name for task in plan.tasks), 0.0)
        self._rollouts = dict.fromkeys(self._seconds, 0)
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

    def __call__(self, event: Rehearsing | Update) -> None:
        """Take in one event."""
        if isinstance(event, Rehearsing):
            self._doing = f"trying {event.strategy} on {event.task}"
            return
        self._doing = ""
        self._account(event)
        self._updates[event.run] = event
        if event.state in ("done", "failed"):
            done = sum(u.state != "running" for u in self._updates.values())
            line = f"{done}/{len(self._plan.runs)} {event.run}: {outcome(event)}"
            style = "yellow" if event.state == "failed" else ""
            self._console.print(Text(line, style=style), soft_wrap=True)

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
        table = Table(box=None, header_style="bright_black", pad_edge=False, collapse_padding=True)
        for name in ("task", "strategy"):
            table.add_column(name, no_wrap=True)
        for name in ("done", "running", "failed", "rollouts", "return", "solved"):
            table.add_column(name, justify="right", no_wrap=True)
        rows = [(task.name, s) for task in self._plan.tasks for s in self._plan.strategies]
        shown = self._visible(rows)
        for task, strategy in shown:
            table.add_row(*self._cells(task, strategy))
        hidden = len(rows) - len(shown)
        more = [Text(f"and {hidden} rows more", style="bright_black")] * (hidden > 0)
        return Group(table, *more, Text(self._status(), style="bold"))

    def _visible(self, rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the rows that the terminal has room for: those with running runs first."""
        room = max(1, self._console.height - _AROUND)
        if len(rows) <= room:
            return rows
        running = {(u.run.task, u.run.strategy) for u in self._of("running")}
        ranked = sorted(rows, key=lambda row: row not in running)[:room]
        return [row for row in rows if row in ranked]

    def _cells(self, task: str, strategy: str) -> Iterable[str]:
        updates = [
            u for u in self._updates.values() if (u.run.task, u.run.strategy) == (task, strategy)
        ]
        states = Counter("done" if u.state == "kept" else u.state for u in updates)
        returns = [u.mean_return for u in updates if u.mean_return is not None]
        solved = sum(u.solved_at is not None for u in updates)
        return (
            task,
            strategy,
            f"{states['done']}/{len(self._plan.seeds)}",
            str(states["running"] or ""),
            str(states["failed"] or ""),
            str(sum(u.rollouts for u in updates)),
            number(median(returns)) if returns else "",
            str(solved or ""),
        )

    def _status(self) -> str:
        if self._doing:
            return self._doing
        done, failed = (len(self._of(state)) for state in ("done", "failed"))
        done += len(self._of("kept"))
        left = self.seconds_left()
        parts = [
            f"{done} of {len(self._plan.runs)} runs done",
            f"{duration(self._clock() - self._began)} so far",
            "time left not known yet" if left is None else f"{duration(left)} left at most",
        ]
        return " · ".join(parts[:1] + [f"{failed} failed"] * (failed > 0) + parts[1:])

    def _of(self, state: str) -> list[Update]:
        return [update for update in self._updates.values() if update.state == state]


def outcome(update: Update) -> str:
    """Return how a run ended, in words."""
    if update.state == "failed":
        return f"failed: {update.reason}"
    if update.solved_at is not None:
        return f"solved after {update.solved_at} rollouts"
    return f"not solved in {update.rollouts} rollouts, last evaluation {number(update.mean_return)}"


def duration(seconds: float) -> str:
    """Return a time as people say it: `40 s`, `12 min`, `3 h 05 min`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
