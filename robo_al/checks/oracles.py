"""Does an oracle keep its contract?"""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from robo_al.checks.subject import CheckReport, Subject, kind_of
from robo_al.dataset.outcomes import checked
from robo_al.errors import OracleError, UserError
from robo_al.protocols import SupportsRepeat
from robo_al.types import (
    Candidate,
    ClosedLoop,
    Failure,
    FailureKind,
    OpenLoop,
    Outcome,
    Trajectory,
)

_CAPABILITIES = ("acknowledge", "refusal")
CHANCE = (
    "what no seed decides cannot be repeated: set `repeatable` to False, for an env by "
    "oracle: {name: gymnasium, repeatable: false}"
)
"""What to do where the same actions from the same start have other results."""


def check_oracle(
    oracle: Any, candidates: Sequence[Candidate] = (), timeout: float = 60.0
) -> CheckReport:
    """Check an oracle; given candidates, by executing them, as many at a time as it takes.

    Args:
        oracle: open and idle. Stays open.
        candidates: with distinct ids. Without any, nothing is executed: all that may be asked of a
            robot that nobody watches.
        timeout: seconds to wait for the outcomes of a batch.

    Returns:
        What was tried, and what was not.

    Raises:
        PluginError: naming the method and what was wrong with it.
    """
    subject = Subject(oracle)
    for subject.method in ("submit", "poll", "close"):
        subject.need(hasattr(oracle, subject.method), "there is no such method")
        subject.need(callable(getattr(oracle, subject.method)), "is no method")
    with subject.trying("capacity"):
        valid = isinstance(oracle.capacity, int) and oracle.capacity > 0
        subject.need(valid, f"is {oracle.capacity!r}; a positive integer")
    if not candidates:
        subject.leave("submit, poll: nothing was executed")
        return subject.report(*_CAPABILITIES)
    assert len({c.id for c in candidates}) == len(candidates)
    first = _execute(subject, candidates, timeout)
    found = any(candidate.context.found for candidate in candidates)  # not a second time
    if isinstance(oracle, SupportsRepeat) and oracle.repeatable and not found:
        again = [replace(c, id=f"{c.id} again") for c in candidates]
        second = _execute(subject, again, timeout)
        with subject.trying("submit"):
            for candidate, repeated in zip(candidates, again, strict=True):
                same = _same(first[candidate.id].result, second[repeated.id].result)
                subject.need(
                    same, f"executed {candidate.id!r} twice with different results; {CHANCE}"
                )
    if not any(isinstance(candidate.controller, ClosedLoop) for candidate in candidates):
        subject.leave("submit of a policy that answers observations (ClosedLoop)")
    return subject.report(*_CAPABILITIES)


def _execute(
    subject: Subject, candidates: Sequence[Candidate], timeout: float
) -> dict[str, Outcome]:
    """Execute all, in batches of the oracle's capacity."""
    answered, left = dict[str, Outcome](), list(candidates)
    while left:
        with subject.trying("capacity"):
            free = subject.thing.capacity
            subject.need(free > 0, f"is {free!r} though nothing is pending; a positive integer")
        batch, left = left[:free], left[free:]
        answered |= _execute_batch(subject, batch, timeout)
    return answered


def _execute_batch(
    subject: Subject, candidates: Sequence[Candidate], timeout: float
) -> dict[str, Outcome]:
    """Submit all, and one of them twice; poll until all are answered."""
    oracle = subject.thing
    with subject.trying("submit", candidates=candidates):
        for candidate in candidates:
            oracle.submit(candidate)
        try:
            oracle.submit(candidates[-1])
        except OracleError:
            pass
        else:
            subject.need(False, "took the same id twice; an OracleError is due")
    answered: dict[str, Outcome] = {}
    waiting = {candidate.id: candidate for candidate in candidates}
    deadline = time.monotonic() + timeout
    with subject.trying("poll", candidates=candidates):
        while waiting:
            left = deadline - time.monotonic()
            subject.need(left > 0, f"{list(waiting)} were not answered within {timeout:g} s")
            outcomes = oracle.poll(left)
            subject.need(isinstance(outcomes, list), f"returned {kind_of(outcomes)}; a list")
            # A copy: what an oracle has answered, it may fill again for its next rollout.
            for outcome in copy.deepcopy(outcomes):
                subject.need(isinstance(outcome, Outcome), f"answered with {kind_of(outcome)}")
                name = outcome.candidate_id
                subject.need(name not in answered, f"answered {name!r} twice")
                subject.need(name in waiting, f"answered {name!r}, which was not submitted")
                _check_outcome(subject, waiting.pop(name), outcome)
                _check_measures(subject, outcome)
                answered[name] = outcome
            _need_apart(subject, outcomes)
        subject.need(oracle.poll(0.0) == [], "answered more than was submitted")
    return answered


def _need_apart(subject: Subject, outcomes: Sequence[Outcome]) -> None:
    """Need outcomes that came together to have arrays of their own."""
    results = [outcome.result for outcome in outcomes]
    seen = [result.observations for result in results if isinstance(result, Trajectory)]
    for i, one in enumerate(seen):
        shared = any(np.shares_memory(one, other) for other in seen[i + 1 :])
        subject.need(not shared, "answered two rollouts with the same array; copy it")


def _check_outcome(subject: Subject, candidate: Candidate, outcome: Outcome) -> None:
    seconds, result = outcome.robot_seconds, outcome.result
    valid = isinstance(seconds, float) and math.isfinite(seconds) and seconds >= 0
    subject.need(valid, f"robot_seconds of {candidate.id!r} is {seconds!r}")
    if isinstance(result, Failure):
        kinds = get_args(FailureKind)
        subject.need(result.kind in kinds, f"a Failure of kind {result.kind!r}; one of {kinds}")
        subject.need(bool(result.reason), f"the Failure of {candidate.id!r} gives no reason")
        if result.partial is not None:
            _check_trajectory(subject, candidate, result.partial)
        return
    subject.need(isinstance(result, Trajectory), f"the result is {kind_of(result)}")
    _check_trajectory(subject, candidate, result)
    ended = (result.terminated or result.truncated) and result.steps > 0
    short = f"{result.steps} of {candidate.horizon} steps, neither terminated nor truncated"
    subject.need(result.steps == candidate.horizon or ended, f"{candidate.id!r} has {short}")


def _check_measures(subject: Subject, outcome: Outcome) -> None:
    """Need details, signals and labels that a campaign would record."""
    try:
        checked(outcome)
    except UserError as error:
        subject.need(False, str(error))


def _check_trajectory(subject: Subject, candidate: Candidate, trajectory: Trajectory) -> None:
    steps, size = len(trajectory.rewards), len(candidate.context.observation)
    subject.array("observations", trajectory.observations, (steps + 1, size))
    sizes = np.shape(trajectory.actions)[1:]
    if isinstance(candidate.controller, OpenLoop):
        sizes = candidate.controller.actions.shape[1:]
        asked = candidate.controller.actions[:steps]
        same = np.array_equal(trajectory.requested, asked)
        subject.need(same, "requested are not the actions that the candidate asked for")
    subject.array("actions", trajectory.actions, (steps, *sizes))
    subject.array("requested", trajectory.requested, (steps, *sizes))
    subject.array("rewards", trajectory.rewards, (steps,))
    subject.need(steps <= candidate.horizon, f"{candidate.id!r} went on after its horizon")


def _same(one: Trajectory | Failure, other: Trajectory | Failure) -> bool:
    """Whether two executions gave the same, bit for bit."""
    if isinstance(one, Failure) or isinstance(other, Failure):
        return type(one) is type(other)
    names = ("observations", "actions", "requested", "rewards")
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)
