"""What a campaign tells whoever watches; kept with the run (`robo_al.dataset.event_log`)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from robo_al.dataset.rows import DecisionRow, EvaluationRow, RolloutRow


@dataclass(frozen=True)
class Activity:
    """Something begins: one of `robo_al.dataset.clock.ACTIVITIES`."""

    name: str


@dataclass(frozen=True)
class Noted:
    """A campaign begins, and something was found out, or left out, of its env."""

    text: str


@dataclass(frozen=True)
class Advanced:
    """The activity that goes on has come so far."""

    step: int
    """Of its rollouts, all of which advance together."""
    steps: int
    """Of the longest, at most."""


@dataclass(frozen=True)
class RolloutDone:
    """An outcome is durable, whatever its state."""

    rollout: RolloutRow


@dataclass(frozen=True)
class Quarantined:
    """Recorded data cannot be trusted any more and will not be used."""

    what: str
    reason: str


@dataclass(frozen=True)
class TakenBack:
    """A quarantined rollout's file is what was written again: it is recorded, and learned from."""

    rollout: str


@dataclass(frozen=True)
class Decided:
    """The campaign has taken note of what a person decided about a rollout."""

    decision: DecisionRow


@dataclass(frozen=True)
class Waiting:
    """The oracle waits for somebody or something, or no longer."""

    what: str


@dataclass(frozen=True)
class EvaluationFailed:
    """Rollouts of an evaluation failed, so that it has no mean return."""

    round: int
    reasons: Mapping[str, str]
    """By the rollout's id."""


@dataclass(frozen=True)
class Indeterminate:
    """Nobody knows whether these rollouts ran; they are not run again."""

    rollouts: tuple[str, ...]


@dataclass(frozen=True)
class Diverged:
    """A rollout that was repeated after an interruption came out otherwise; the first is kept."""

    rollout: str


@dataclass(frozen=True)
class Explored:
    """The explorer proposed some of a batch, because the model could not."""

    round: int
    rollouts: int
    reason: str


@dataclass(frozen=True)
class Withheld:
    """The strategy's cost or constraint left fewer rollouts than were asked for."""

    round: int
    rollouts: int
    """That were not selected."""


@dataclass(frozen=True)
class Lengthened:
    """Rollouts that lasted to their end told little: from a round on they are longer."""

    round: int
    steps: int
    """Of a training rollout."""
    candidates: int
    """That are imagined in a round, so that it takes no longer."""


@dataclass(frozen=True)
class ModelFailed:
    """A retraining went wrong; the model is the one before."""

    round: int
    reason: str


@dataclass(frozen=True)
class WorseModel:
    """More data made the model worse on held-out rollouts."""

    round: int
    held_out: Mapping[str, Any]
    """As in metrics.jsonl."""


@dataclass(frozen=True)
class Evaluated:
    """The current policy was evaluated."""

    evaluation: EvaluationRow


@dataclass(frozen=True)
class NotEvaluated:
    """A frugal evaluation was due and was not run."""

    round: int
    reason: str


@dataclass(frozen=True)
class RoundDone:
    """A round is complete."""

    record: Mapping[str, Any]
    """The round's line in metrics.jsonl."""


Event: TypeAlias = (
    Activity
    | Noted
    | Advanced
    | RolloutDone
    | Quarantined
    | TakenBack
    | Decided
    | Waiting
    | EvaluationFailed
    | Indeterminate
    | Diverged
    | Explored
    | Withheld
    | Lengthened
    | ModelFailed
    | WorseModel
    | Evaluated
    | NotEvaluated
    | RoundDone
)
Observer: TypeAlias = Callable[[Event], None]
