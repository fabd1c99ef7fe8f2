"""The rows of the ledger: its tables are these dataclasses, column for field.

Columns are added, never demanded: a new one may be null, and is so in the rows of an earlier
version's run folder.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, get_args

RolloutState: TypeAlias = Literal[
    "selected", "dispatched", "recorded", "failed", "aborted", "quarantined", "indeterminate"
]
"""Of a rollout. Only what is `recorded` is trained on."""
STATES: tuple[RolloutState, ...] = get_args(RolloutState)
EVALUATION = "evaluation"
"""In place of a strategy: a rollout of an evaluation that is learned from."""
LOST = STATES[3:]
"""States of rollouts that gave no data."""


@dataclass(frozen=True)
class RolloutRow:
    """One selected rollout: why it was chosen, how it went, and what it came from."""

    id: str
    """`r0003-02`: the third rollout of round 3."""
    round: int
    """From 1."""
    index: int
    """Place in its batch, best first, from 0."""
    state: RolloutState
    context: str
    """JSON: observation, seed and options of the start."""
    controller: str
    """JSON: `kind` open_loop with its actions, or streamed with its policy and member."""
    horizon: int
    """Steps."""
    seed: int
    content_hash: str
    """SHA-256 of context, controller, horizon and seed."""
    strategy: str
    """By its short name; `explorer` where no model chose, `evaluation` for a rollout of one."""
    acquisition: str
    """`none` where the selector does not look at scores."""
    selector: str
    policy: str
    model: str
    oracle: str
    config_hash: str
    versions: str
    model_hash: str | None
    """SHA-256 of the weights that chose it; null where no model chose or it cannot be saved."""
    score: float | None
    rank: int | None
    """Place of its score among all candidates of the round, from 1."""
    gain: float | None
    """What it added to those before it in the batch."""
    predicted_information: float | None
    """Nats, of the imagined rollout under the model that chose it."""
    predicted_seconds: float | None = None
    """To execute it, where the strategy has a cost."""
    predicted_risk: float | None = None
    """That it breaks the task's constraint, where the strategy has one."""
    realised_information: float | None = None
    """Nats, of what happened, under the model at that time, before it was retrained."""
    sha256: str | None = None
    """Of the episode file; null where there is none."""
    steps: int | None = None
    total_reward: float | None = None
    reason: str | None = None
    """Of a state other than recorded."""
    robot_seconds: float | None = None
    wall_seconds: float | None = None
    """From dispatch to recording."""
    opening: int | None = None
    """Which opening of the folder dispatched it last."""
    sequence: int | None = None
    """Order of recording, from 1."""
    damaged: int | None = None
    """1 where it was recorded, and its file was not what was written when it was read again: it is
    `quarantined` for as long as that is so."""
    details: str | None = None
    """JSON: what its oracle measured of it as a whole, by name; null for a number that is not
    finite."""
    signals: str | None = None
    """JSON: `min`, `mean` and `max` of each signal in its file, by name."""


@dataclass(frozen=True)
class RoundRow:
    """One selection."""

    round: int
    scores: str | None
    """JSON: [N] scores, null for one that is not finite; null where no model chose."""
    record: str | None = None
    """JSON: the round's line in metrics.jsonl, once the round is complete."""
    after: int | None = None
    """`sequence` of the last rollout that was recorded when it was selected; null: none was."""
    not_evaluated: str | None = None
    """Why the policy was not evaluated after it, where a frugal evaluation was due."""


@dataclass(frozen=True)
class FitRow:
    """One retraining."""

    number: int
    """From 1."""
    round: int
    rollouts: int
    transitions: int
    data_hash: str
    """SHA-256 of the hashes of the episodes trained on."""
    weights: str | None
    """Name of the file in `models/`, where the model can be saved."""
    model_hash: str | None
    """SHA-256 of that file."""
    loss: float | None
    details: str
    """JSON."""
    held_out: str | None
    """JSON: errors of the old and the new model on the last evaluation; null without one."""


@dataclass(frozen=True)
class EvaluationRow:
    """One evaluation of the current policy on the fixed starts."""

    round: int
    rollouts: int
    """Recorded when it began: what the policy could have learned from."""
    transitions: int
    mean_return: float | None
    """Null if any of its rollouts failed."""
    returns: str
    """JSON: one for each start, null for one that failed."""
    sha256: str
    """Of its file in `evaluations/`."""
    data_hash: str | None = None
    """SHA-256 of the hashes of the episodes that the policy had learned from."""
    details: str | None = None
    """JSON: for each start, what the oracle measured of its rollout as a whole, by name."""
    executed: int | None = None
    """Rollouts that the oracle executed for it; null where an earlier robo-al made it."""
    robot_seconds: float | None = None
    """What these took; null where an earlier robo-al made it."""
    verdict: str | None = None
    """Of a frugal one, whose rollouts are among those that are learned from: `reached`, `below` or
    `undecided`."""
    p_value: float | None = None
    """Of that verdict; see `robo_al.campaign.threshold`."""


@dataclass(frozen=True)
class ConfigurationRow:
    """The configuration of the campaign, as it was created and after every change of it."""

    number: int
    """From 1."""
    text: str
    """As YAML, with every default filled in."""
    sha256: str
    """Of the text."""
    opening: int | None = None
    """Which opening of the folder found it changed; null at the creation."""


@dataclass(frozen=True)
class LabelRow:
    """What somebody said of a rollout; it stays, also where they say otherwise later."""

    sequence: int
    """Order of saying, from 1."""
    rollout: str
    name: str
    value: str
    """JSON: a number, a truth value or a text; null for a number that is not finite."""
    by: str
    """Who said it, person or program."""
    takes_back: int | None = None
    """`sequence` of a label that counts no more, of which alone this row speaks."""


@dataclass(frozen=True)
class DecisionRow:
    """What a person decided about a rollout while a campaign used the folder."""

    number: int
    """From 1."""
    rollout: str
    choice: str
    """`accept`, `discard` or `again`."""
    taken: int | None = None
    """Which opening of the folder took note of it; null for none yet."""
    refused: str | None = None
    """Why it could not be done; null where it was."""


Row = TypeVar(
    "Row",
    RolloutRow,
    RoundRow,
    FitRow,
    EvaluationRow,
    ConfigurationRow,
    LabelRow,
    DecisionRow,
)
AnyRow: TypeAlias = (
    RolloutRow | RoundRow | FitRow | EvaluationRow | ConfigurationRow | LabelRow | DecisionRow
)
TABLES: dict[type, str] = {
    RolloutRow: "rollouts",
    RoundRow: "rounds",
    FitRow: "fits",
    EvaluationRow: "evaluations",
    ConfigurationRow: "configurations",
    LabelRow: "labels",
    DecisionRow: "decisions",
}
"""Names of the tables."""


class Totals(NamedTuple):
    """What a campaign has come to in all."""

    rollouts: int
    """Recorded."""
    transitions: int
    """Recorded."""
    robot_seconds: float
    """Of all rollouts, whatever their state."""


class Executed(NamedTuple):
    """All that an oracle executed for a campaign: what a lab pays for."""

    training: int
    """Rollouts to learn from, also those that failed once the robot had begun, and those of frugal
    evaluations."""
    training_seconds: float
    """Seconds of the robot."""
    evaluating: int
    """Rollouts of evaluations that were finished, and not learned from."""
    evaluating_seconds: float
    """Seconds of the robot."""

    @property
    def rollouts(self) -> int:
        """Rollouts in all."""
        return self.training + self.evaluating

    @property
    def robot_seconds(self) -> float:
        """Seconds of the robot in all."""
        return self.training_seconds + self.evaluating_seconds


def solved_at(
    evaluations: Sequence[EvaluationRow], threshold: float | None
) -> EvaluationRow | None:
    """Return the evaluation at which the task was solved.

    It is the first that a test decided, or the second of the first two in a row whose mean was at
    or above the threshold, where none is tested.
    """
    if threshold is None:
        return None
    tested = [row for row in evaluations if row.verdict is not None]
    if tested:
        return next((row for row in tested if row.verdict == "reached"), None)
    good = [row.mean_return is not None and row.mean_return >= threshold for row in evaluations]
    for i in range(1, len(good)):
        if good[i - 1] and good[i]:
            return evaluations[i]
    return None


def standing(labels: Sequence[LabelRow]) -> list[LabelRow]:
    """Return the labels that were not taken back, in their order."""
    gone = {row.takes_back for row in labels}
    return [row for row in labels if row.takes_back is None and row.sequence not in gone]


def to_json(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Return compact JSON in which numbers that are not finite are null."""
    return json.dumps(finite(value), allow_nan=False, sort_keys=True, separators=(",", ":"))


def finite(value: Any) -> Any:
    """Return a value in which numbers that are not finite are None."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
