"""What is told of a rollout: whether it can be recorded at all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np

from robo_al.dataset.measured import checked_details, checked_label, checked_signals
from robo_al.errors import UserError
from robo_al.types import Failure, FailureKind, Film, Outcome, Scalar, Trajectory

_LONGEST = 1e9
"""Seconds that no rollout takes."""


def checked(outcome: Outcome) -> Outcome:
    """Return an outcome as it can be recorded: plain numbers, and a text that UTF-8 can say.

    Whether the arrays can be trusted is another question: see `robo_al.dataset.episodes.examine`.

    Raises:
        UserError: it is no outcome, or a field has a value that no rollout can have.
    """
    if not isinstance(outcome, Outcome):
        raise UserError(f"tell: {outcome!r:.80} is no Outcome, but a {type(outcome).__name__}")
    name, result, seconds = outcome.candidate_id, outcome.result, outcome.robot_seconds
    if not isinstance(name, str):
        raise UserError(f"tell: candidate_id is {name!r:.80}; it must be the id of a candidate")
    numeric = isinstance(seconds, int | float | np.integer | np.floating)
    if not numeric or isinstance(seconds, bool) or not 0 <= seconds <= _LONGEST:
        raise UserError(
            f"tell: robot_seconds of rollout {name} is {seconds!r:.80}; it must be a number of "
            f"seconds from 0 to {_LONGEST:g}"
        )
    if isinstance(result, Failure):
        result = _checked_failure(name, result)
    elif not isinstance(result, Trajectory):
        raise UserError(
            f"tell: the result of rollout {name} is a {type(result).__name__}; it must be a "
            "Trajectory or a Failure"
        )
    trajectory = result.partial if isinstance(result, Failure) else result
    details = checked_details(name, outcome.details)
    if trajectory is not None:
        trajectory = _checked_trajectory(name, trajectory, details)
        if isinstance(result, Failure):
            result = replace(result, partial=trajectory)
        else:
            result = trajectory
    if isinstance(outcome.labels, str) or not isinstance(outcome.labels, Sequence):
        raise UserError(f"tell: labels of rollout {name} must be a list of Label")
    labels = tuple(checked_label(name, label) for label in outcome.labels)
    return Outcome(name, result, float(seconds), details, labels)


def _checked_trajectory(
    name: str, trajectory: Trajectory, details: Mapping[str, Scalar]
) -> Trajectory:
    if not isinstance(trajectory.terminated, bool | np.bool_):
        raise UserError(
            f"tell: terminated of rollout {name} is {trajectory.terminated!r:.80}; it must be true "
            "or false"
        )
    if not isinstance(trajectory.film, Film | None):
        raise UserError(
            f"tell: film of rollout {name} is {trajectory.film!r:.80}; it must be a Film, or None"
        )
    signals = checked_signals(name, trajectory)
    both = details.keys() & signals.keys()
    if both:
        raise UserError(
            f"tell: rollout {name} has a detail and a signal of the name {min(both)}; give one of "
            "them another name"
        )
    return replace(trajectory, signals=signals)


def _checked_failure(name: str, failure: Failure) -> Failure:
    kinds = get_args(FailureKind)
    if not isinstance(failure.kind, str) or failure.kind not in kinds:
        raise UserError(
            f"tell: the failure of rollout {name} is of the kind {failure.kind!r:.80}; it must be "
            f"one of {', '.join(kinds)}"
        )
    if not isinstance(failure.reason, str):
        raise UserError(
            f"tell: the reason of the failure of rollout {name} is {failure.reason!r:.80}; it must "
            "be a text"
        )
    if not isinstance(failure.partial, Trajectory | None):
        raise UserError(
            f"tell: what rollout {name} had recorded before it failed is a "
            f"{type(failure.partial).__name__}; it must be a Trajectory, or None"
        )
    return replace(failure, reason=failure.reason.encode("utf-8", "backslashreplace").decode())
