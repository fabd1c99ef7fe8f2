"""How long a run will take: told before its first round, so that nobody waits without knowing.

A few steps of what a round consists of are really done and timed: resetting, retraining, imagining
(with the planning in it), executing and evaluating. Nothing is decided by it.
"""

import itertools
import time
from collections.abc import Mapping
from itertools import pairwise
from statistics import median

import numpy as np

from robo_al.build import DryRun, parts_of
from robo_al.campaign.selection import NUMERICAL_ERRORS, owned
from robo_al.campaign.settings import Parts
from robo_al.config.settings import Settings
from robo_al.models.imagination import imagine
from robo_al.oracles.steppers import is_batched
from robo_al.protocols import Oracle, SupportsAct, SupportsLook, SupportsRepeat, SupportsUpdate
from robo_al.report.words import count, duration
from robo_al.tasks.shelf import borrowed
from robo_al.testing import random_transitions
from robo_al.torch_defaults import one_thread
from robo_al.types import MEAN, Candidate, OpenLoop, Trajectory, Transitions

STEPS = 10
"""Timed of a rollout, after a first one in which more is done."""
TRANSITIONS = 60
"""Learned from, at most."""
_ids = itertools.count()
"""Of rollouts: an oracle may take each only once."""


@one_thread
def foresee(tried: DryRun, device: str) -> str:
    """Return in a sentence how long a round takes, how long all do, and what to write for less.

    Args:
        tried: of the campaign, whose parts and oracle are timed.
        device: where the campaign computes.
    """
    parts, settings = tried.parts, tried.config
    if device != parts.device:
        parts = parts_of(tried.config)
    try:
        return sentence(parts, settings, measure(parts, settings, tried.oracle))
    except NUMERICAL_ERRORS as error:
        return f"How long a round takes cannot be foreseen: {error}."


def measure(parts: Parts, settings: Settings, oracle: Oracle) -> dict[str, float]:
    """Return seconds of `evaluating`, `imagining`, `executing`, `retraining` and `resetting`."""
    steps, task, batch = settings.steps(parts.task), parts.task, settings.rollouts_per_round
    transitions = _random_steps(parts, settings)
    ending = float(transitions.terminated.mean())
    seconds = {"executing": 0.0, "evaluating": 0.0}
    seconds["retraining"] = _retraining(parts, settings, transitions)
    imagined = expected_steps(ending, steps, settings.candidates * settings.imagination_members)
    seconds["imagining"] = _imagined_step(parts, settings, min(steps, STEPS + 1)) * imagined
    resets = 0 if task.finds_starts or task.starts is not None else settings.contexts
    reset = 0.0 if task.starts is not None else _reset(parts)
    seconds["resetting"] = reset * resets
    if task.held_out or not isinstance(parts.policy, SupportsAct):
        return seconds
    starts = settings.evaluation.starts_for(task.horizon) if settings.evaluation.every else 0
    # A robot does one rollout after another, in its own time.
    seconds["executing"] = task.control_period * batch * expected_steps(ending, steps)
    seconds["evaluating"] = task.control_period * starts * expected_steps(ending, task.horizon)
    if isinstance(oracle, SupportsRepeat) and oracle.repeatable:
        seconds["resetting"] = reset * (resets + batch + starts)
        seconds["executing"] = _executed(parts, oracle, batch, steps, ending)
        seconds["evaluating"] = _executed(parts, oracle, starts, task.horizon, ending)
    return seconds


def expected_steps(ending: float, most: int, rollouts: int = 1) -> float:
    """Return how many steps the longest of some rollouts is expected to have.

    Args:
        ending: probability that a step ends its rollout, the same for each.
        most: steps after which a rollout is cut off.
        rollouts: how many there are, each independent of the others.
    """
    going_on = (1 - ending) ** np.arange(most)  # [T] that a rollout has not ended before a step
    return float((1 - (1 - going_on) ** rollouts).sum())


def sentence(parts: Parts, settings: Settings, seconds: Mapping[str, float]) -> str:
    """Return what `measure` found in a sentence, the longest part first."""
    steps, horizon = settings.steps(parts.task), parts.task.horizon
    n, k = settings.candidates, settings.rollouts_per_round
    starts, every = settings.evaluation.starts_for(horizon), settings.evaluation.every
    what = {
        "evaluating": f"evaluating {starts} starts x {horizon:,} steps"
        + (f" (in one round of {every})" if every > 1 else ""),
        "imagining": f"imagining {n} candidates x {steps:,} steps",
        "executing": f"executing {k} x {steps:,} steps",
        "retraining": "retraining",
        "resetting": "resetting the env",
    }
    evaluate_less = f"--evaluation.starts {max(1, starts // 2)} or --evaluation.every 5"
    less = {
        "evaluating": evaluate_less,
        "resetting": evaluate_less
        if every and starts > settings.contexts
        else f"--contexts {max(1, settings.contexts // 2)}",
        "imagining": f"--candidates {max(k, n // 2)}",
        "executing": f"--rollout_steps {max(1, steps // 2)}",
        "retraining": f"smaller parameters of the model {parts.provenance['model']}",
    }
    total = sum(seconds.values())
    in_all = _in_all(parts, settings, seconds)
    if total < 1.0:
        return (
            f"A round takes less than a second at first, and longer as the model grows: {in_all}."
        )
    ordered = sorted(what, key=lambda name: -seconds[name])
    named = [f"{said(seconds[name])} for {what[name]}" for name in ordered if seconds[name] >= 0.05]
    of_it = f" ({', '.join(named)})" if named else ""
    return (
        f"A round takes about {said(total)} at first{of_it}, and longer as the "
        f"model grows: {in_all}; for less: {less[ordered[0]]}."
    )


def _in_all(parts: Parts, settings: Settings, seconds: Mapping[str, float]) -> str:
    """Return how long all rounds take, of which not each may be followed by an evaluation.

    In the first one there is no model: nothing is imagined, and the policy executes nothing.
    """
    seldom = seconds["evaluating"] * (1 - 1 / max(1, settings.evaluation.every))
    of_all = settings.rounds * (sum(seconds.values()) - seldom)
    took = duration(of_all - seconds["imagining"] - seconds["executing"])
    ends = settings.stop_when_solved and parts.task.threshold is not None
    earlier = ", unless the task is solved before" if ends else ""
    return f"{count(settings.rounds, 'round')} in {took} or more{earlier}"


def said(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 9.5:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:,.0f} min"


def _random_steps(parts: Parts, settings: Settings) -> Transitions:
    """Return steps of random actions: as many as the first rollouts have, or `TRANSITIONS`."""
    steps = settings.steps(parts.task)
    total = min(settings.initial_rollouts * steps, TRANSITIONS)
    rollouts = max(2, total // steps)  # one may end after its first step
    each = max(2, -(-total // rollouts))
    with borrowed(parts.task.env) as env:
        return random_transitions(np.random.default_rng(0), rollouts, each, env)


def _retraining(parts: Parts, settings: Settings, transitions: Transitions) -> float:
    """Return the seconds of the first retraining, in proportion where a part of it is tried."""
    rng, ending = np.random.default_rng(0), float(transitions.terminated.mean())
    total = settings.initial_rollouts * expected_steps(ending, settings.steps(parts.task))
    began = time.monotonic()
    parts.model.fit(transitions, rng)
    if isinstance(parts.policy, SupportsUpdate):
        parts.policy.update(transitions, parts.model, rng)
    return (time.monotonic() - began) * max(1.0, total / len(transitions))


def _reset(parts: Parts) -> float:
    """Return the seconds of one reset of the env, to another start than the one where it is."""
    parts.contexts_from([0])
    began = time.monotonic()
    parts.contexts_from([1])
    return time.monotonic() - began


def _imagined_step(parts: Parts, settings: Settings, steps: int) -> float:
    """Return the seconds in which all candidates of a round are imagined for one step."""
    # From one start, since a reset may take long; of recorded rollouts, each is a start.
    starts = 1 if parts.task.starts is None else settings.candidates
    contexts, rng = parts.contexts_from(range(starts)), np.random.default_rng(0)
    proposed = parts.policy.propose(settings.candidates, contexts, steps, parts.model, rng)
    candidates = [owned(candidate, "policy") for candidate in proposed]
    members = range(min(settings.imagination_members, parts.model.members))
    ticks: list[float] = []
    imagine(
        candidates,
        parts.model,
        parts.task,
        members if len(members) > 1 else None,
        resolve=parts.resolve,
        device=parts.device,
        advanced=lambda step, of: ticks.append(time.monotonic()),
    )
    return median(later - sooner for sooner, later in pairwise(ticks)) if ticks[1:] else 0.0


def _executed(parts: Parts, oracle: Oracle, rollouts: int, horizon: int, ending: float) -> float:
    """Return the seconds in which so many simulated rollouts of the policy are executed."""
    if not rollouts:
        return 0.0
    longest = expected_steps(ending, horizon, rollouts)
    each = expected_steps(ending, horizon)
    simulated = longest if is_batched(parts.task.env) else each * rollouts
    step = _simulated_step(parts, oracle, horizon)
    return _acted_step(parts, rollouts) * longest + step * simulated


def _acted_step(parts: Parts, rollouts: int) -> float:
    """Return the seconds in which the policy answers the observations of so many rollouts."""
    assert isinstance(parts.policy, SupportsAct)
    (context,) = parts.contexts_from([0])
    actor = parts.policy.start(parts.model, [MEAN] * rollouts, list(range(rollouts)))
    observations = np.tile(context.observation, (rollouts, 1))
    ticks = []
    for _ in range(STEPS + 2):  # the first time, more is done
        actor.act(observations)
        ticks.append(time.monotonic())
    return median(later - sooner for sooner, later in pairwise(ticks))


def _simulated_step(parts: Parts, oracle: Oracle, horizon: int) -> float:
    """Return the seconds of one step of one rollout, its reset left out."""
    middle = (parts.task.action_low + parts.task.action_high) / 2
    times, lengths = [], []
    for steps in (1, min(horizon, STEPS + 1)):
        if parts.task.finds_starts and isinstance(oracle, SupportsLook):
            (context,) = oracle.look([0])
        else:
            (context,) = parts.contexts_from([0])
        plan = OpenLoop(np.tile(middle, (steps, 1)))
        began = time.monotonic()
        oracle.submit(Candidate(context, plan, steps, 0, f"forecast-{next(_ids)}"))
        result = oracle.poll()[0].result
        times.append(time.monotonic() - began)
        lengths.append(result.steps if isinstance(result, Trajectory) else 1)
    return max(0.0, times[1] - times[0]) / max(1, lengths[1] - lengths[0])
