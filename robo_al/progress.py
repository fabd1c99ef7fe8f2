"""What a running campaign shows: a live panel in a terminal, plain lines anywhere else."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from robo_al.events import (
    Activity,
    Diverged,
    Evaluated,
    Event,
    Explored,
    Indeterminate,
    ModelFailed,
    Noted,
    Quarantined,
    RolloutDone,
    RoundDone,
    Withheld,
    WorseModel,
)

DOING = {
    "feedback": "waiting for rollouts",
    "propose": "proposing rollouts",
    "imagine": "imagining rollouts in the model",
    "select": "selecting the most informative rollouts",
    "train": "retraining on what was recorded",
    "evaluate": "evaluating the policy",
    "other": "keeping the record",
}
COLOURS = ("blue", "cyan", "green", "yellow", "magenta", "red", "bright_black")
"""Of the activities, in the bar of time."""
BAR_WIDTH = 40


class Progress:
    """Shows the events of one campaign; a context manager, called with each event.

    Args:
        title: of the run: task, strategy, seed.
        rounds: the budget.
        done: rounds, rollouts and transitions that are recorded already.
        threshold: mean evaluation return from which the task counts as solved.
        console: where to show it; standard output by default.
    """

    def __init__(
        self,
        title: str,
        rounds: int,
        done: tuple[int, int, int] = (0, 0, 0),
        threshold: float | None = None,
        console: Console | None = None,
    ) -> None:
        self._title, self._budget, self._threshold = title, rounds, threshold
        self._round, self._rollouts, self._transitions = done
        self._console = console or Console()
        self._doing = "starting"
        self._last_return = self._last_evaluation = ""
        self._record: Mapping[str, Any] = {}
        self._since = time.monotonic()
        self._live = Live(
            console=self._console, get_renderable=self._panel, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> "Progress":
        self._console.print(Text(self._title, style="bold"), soft_wrap=True)
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
            case RolloutDone(rollout):
                if rollout.state == "recorded":
                    self._rollouts += 1
                    self._transitions += rollout.steps or 0
                    self._last_return = number(rollout.total_reward)
                else:
                    self._say(f"rollout {rollout.id} {rollout.state}: {rollout.reason}")
            case Evaluated(evaluation):
                self._last_evaluation = number(evaluation.mean_return)
            case RoundDone(record):
                self._record, self._round = record, record["round"]
                self._doing = DOING["other"]
                self._console.print(Text(round_line(record, self._budget)), soft_wrap=True)
            case _:
                self._say(remark(event))

    def _say(self, text: str) -> None:
        self._console.print(Text(text, style="yellow"), soft_wrap=True)

    def _panel(self) -> RenderableType:
        """Return what is shown now."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bright_black", no_wrap=True)
        table.add_column()
        for name, value in self._facts().items():
            table.add_row(name, value)
        return Group(table)

    def _facts(self) -> dict[str, RenderableType]:
        elapsed = time.monotonic() - self._since
        going = min(self._round + 1, self._budget)
        facts: dict[str, RenderableType] = {
            "now": Text(f"round {going} of {self._budget}: {self._doing}"),
            "so far": f"{count(self._rollouts, self._transitions)}, {elapsed:.0f} s",
        }
        returns = []
        if self._last_return:
            returns.append(f"last rollout {self._last_return}")
        if self._last_evaluation:
            returns.append(f"evaluation {self._last_evaluation}")
        if returns and self._threshold is not None:
            returns.append(f"threshold {number(self._threshold)}")
        if returns:
            facts["return"] = ", ".join(returns)
        information = informed(self._record)
        if information:
            facts["gained"] = information
        if self._record:
            facts["time"] = time_bar(self._record["seconds"])
        return facts


def remark(event: Event) -> str:
    """Return what an event that a person should know of means, in a sentence."""
    match event:
        case Noted(text):
            pass
        case Quarantined(what, reason):
            text = f"{what} is quarantined and not learned from: {reason}"
        case Indeterminate(rollouts):
            text = f"nobody knows whether {', '.join(rollouts)} ran; they are not run again"
        case Diverged(rollout):
            text = f"rollout {rollout}, repeated, came out otherwise; the first record is kept"
        case Explored(in_round, rollouts, reason):
            text = f"round {in_round}: the explorer proposed {rollouts} rollouts: {reason}"
        case Withheld(in_round, rollouts):
            text = f"round {in_round}: cost or constraint left {rollouts} rollouts unselected"
        case ModelFailed(in_round, reason):
            text = f"round {in_round}: the model could not be retrained, the last stays: {reason}"
        case WorseModel(in_round, _):
            text = f"round {in_round}: the new model is worse than the last on held-out rollouts"
        case _:
            text = str(event)
    return text


def round_line(record: Mapping[str, Any], rounds: int) -> str:
    """Return a completed round in one line."""
    parts = [f"round {record['round']}/{rounds}"]
    parts.append(count(record["rollouts"], record["transitions"]))
    returns = [value for value in record["returns"] if value is not None]
    if returns:
        parts.append(f"return {number(sum(returns) / len(returns))}")
    if informed(record):
        parts.append(informed(record))
    if record.get("evaluation"):
        parts.append(f"evaluation {number(record['evaluation']['mean_return'])}")
    return " · ".join(parts)


def informed(record: Mapping[str, Any]) -> str:
    """Return the information that a round gained, predicted and realised; empty if unknown."""
    sums = []
    for which in ("predicted", "realised"):
        values = [value for value in record.get(f"{which}_information") or () if value is not None]
        if values:
            sums.append(f"{number(sum(values))} nat {which}")
    return ", ".join(sums)


def time_bar(seconds: Mapping[str, float]) -> Text:
    """Return a bar of the share of time for each activity, and the names of the five largest."""
    total = sum(seconds.values()) or 1.0
    named = sorted(seconds, key=lambda name: -seconds[name])[:5]  # what fits in 80 columns
    bar, legend = Text(), Text("\n")
    for (name, value), colour in zip(seconds.items(), COLOURS, strict=True):
        bar.append("█" * round(BAR_WIDTH * value / total), style=colour)
        if name in named and value > 0:
            legend.append(f"{name} ", style=colour).append(f"{value / total:.0%}  ")
    return bar.append(legend)


def number(value: float | None) -> str:
    """Return a number as people read it: four digits; `failed` for none."""
    return "failed" if value is None else f"{value:.4g}"


def count(rollouts: int, transitions: int) -> str:
    """Return how much was recorded."""
    return f"{rollouts} rollout{'s' * (rollouts != 1)}, {transitions} transitions"
