"""What a running campaign shows: a live panel in a terminal, plain lines anywhere else."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from robo_al.dataset.events import (
    Activity,
    Advanced,
    Evaluated,
    Event,
    RolloutDone,
    RoundDone,
)
from robo_al.report.remarks import remark
from robo_al.report.summary import amount, became, time_shares
from robo_al.report.terminal import Prose, say
from robo_al.report.words import duration, number
from robo_al_agent.operator.terminal import tolerate

DOING = {
    "feedback": "waiting for rollouts",
    "propose": "proposing rollouts",
    "imagine": "imagining rollouts in the model",
    "select": "selecting the most informative rollouts",
    "train": "retraining on what was recorded",
    "evaluate": "evaluating the policy",
    "other": "keeping the record",
}
RECENT = 5
"""Rounds by whose time the end of a run is foreseen: rounds take longer as the model grows."""
QUIET = 10.0
"""Seconds without a word after which, without a terminal, what goes on is said."""


class Progress:
    """Shows the events of one campaign; a context manager, called with each event.

    Args:
        title: of the run: task, strategy, seed.
        rounds: the budget.
        done: rounds, rollouts and transitions that are recorded already.
        threshold: mean evaluation return from which the task counts as solved.
        console: where to show it; standard output by default.
        quiet: seconds without a word after which, without a terminal, what goes on is said.
    """

    def __init__(
        self,
        title: str,
        rounds: int,
        done: tuple[int, int, int] = (0, 0, 0),
        threshold: float | None = None,
        console: Console | None = None,
        quiet: float = QUIET,
    ) -> None:
        self._title, self._budget, self._threshold = title, rounds, threshold
        self._round, self._rollouts, self._transitions = done
        if console is None:
            tolerate()
        self._console = console or Console()
        self._doing = "starting"
        self._quiet = quiet
        self._said_at = time.monotonic()
        self._last_return = self._last_evaluation = ""
        self._record: Mapping[str, Any] = {}
        self._since = time.monotonic()
        self._rounds_done_at = [self._since]
        self._live = Live(
            console=self._console, get_renderable=self._panel, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> "Progress":
        say(self._title, "bold", self._console)
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case Activity(name):
                self._doing = DOING[name]
                self._say_what_goes_on()
            case Advanced(step, steps):
                self._doing = f"{self._doing.partition(':')[0]}: step {step:,} of {steps:,}"
                self._say_what_goes_on()
            case RolloutDone(rollout):
                if rollout.state == "recorded":
                    self._rollouts += 1
                    self._transitions += rollout.steps or 0
                    self._last_return = _return(rollout.total_reward)
                else:
                    self._say(f"rollout {rollout.id} {became(rollout.state)}: {rollout.reason}")
            case Evaluated(evaluation):
                self._last_evaluation = _return(evaluation.mean_return)
            case RoundDone(record):
                self._record, self._round = record, record["round"]
                self._doing = DOING["other"]
                self._rounds_done_at.append(time.monotonic())
                left = [f"about {self._left()} left"] if self._left() else []
                self._print(" · ".join([round_line(record, self._budget), *left]), "")
            case _:
                self._say(remark(event))

    def _say(self, text: str) -> None:
        self._print(text, "yellow")

    def _say_what_goes_on(self) -> None:
        """Without a panel that shows it, say what goes on where nothing was said for a while."""
        silent = time.monotonic() - self._said_at
        if not self._console.is_terminal and silent >= self._quiet:
            self._print(self._now(), "")

    def _print(self, text: str, style: str) -> None:
        say(text, style, self._console)
        self._said_at = time.monotonic()

    def _now(self) -> str:
        going = min(self._round + 1, self._budget)
        return f"round {going} of {self._budget}: {self._doing}"

    def _left(self) -> str:
        """Return the time that the rest of the budget takes at most; empty if that is unknown."""
        recent = self._rounds_done_at[-RECENT - 1 :]
        if len(recent) < 2 or self._round >= self._budget:
            return ""
        of_a_round = (recent[-1] - recent[0]) / (len(recent) - 1)
        seconds = (self._budget - self._round) * of_a_round
        return duration(seconds) if seconds >= 60 else ""

    def _panel(self) -> RenderableType:
        """Return what is shown now."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bright_black", no_wrap=True)
        table.add_column()
        for name, value in self._facts().items():
            table.add_row(name, Prose(value))
        return Group(table)

    def _facts(self) -> dict[str, str]:
        elapsed = duration(time.monotonic() - self._since)
        facts = {
            "now": self._now(),
            "so far": f"{amount(self._rollouts, self._transitions)} in {elapsed}",
        }
        if self._left():
            earlier = "" if self._threshold is None else ", or less if the task is solved before"
            facts["left"] = f"about {self._left()}{earlier}"
        returns = []
        if self._last_return:
            returns.append(f"last rollout {self._last_return}")
        if self._last_evaluation:
            returns.append(f"evaluation {self._last_evaluation}")
        if returns and self._threshold is not None:
            returns.append(f"threshold {self._threshold:g}")
        if returns:
            facts["return"] = ", ".join(returns)
        information = informed(self._record)
        if information:
            facts["gained"] = information
        if self._record:
            facts["time"] = time_shares(self._record["seconds"])
        return facts


def round_line(record: Mapping[str, Any], rounds: int) -> str:
    """Return a completed round in one line."""
    parts = [f"round {record['round']}/{rounds}"]
    parts.append(f"{amount(record['rollouts'], record['transitions'])} recorded")
    returns = [value for value in record["returns"] if value is not None]
    if returns:
        parts.append(f"return {number(sum(returns) / len(returns))}")
    if informed(record):
        parts.append(informed(record))
    if record.get("evaluation"):
        parts.append(f"evaluation {_return(record['evaluation']['mean_return'])}")
    return " · ".join(parts)


def informed(record: Mapping[str, Any]) -> str:
    """Return the information that a round gained, predicted and realised; empty if unknown."""
    sums = []
    for which in ("predicted", "realised"):
        values = [value for value in record.get(f"{which}_information") or () if value is not None]
        if values:
            sums.append(f"{number(sum(values))} nat {which}")
    return ", ".join(sums)


def _return(value: float | None) -> str:
    """Return a return in words: there is none where a rollout failed."""
    return "failed" if value is None else number(value)
