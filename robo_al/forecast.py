"""How long a round will take: told before the first, so that nobody waits without knowing.

A few steps of what a round consists of are really done and timed: retraining, imagining (with the
planning in it), executing and evaluating. Nothing is decided by it.
"""

import time
from collections.abc import Mapping

import numpy as np

from robo_al.choosing import CANNOT
from robo_al.config import Config
from robo_al.models.imagination import imagine
from robo_al.one_thread import one_thread
from robo_al.parts import Parts, Settings
from robo_al.protocols import Oracle, SupportsAct, SupportsLook, SupportsRepeat, SupportsUpdate
from robo_al.run import make_oracle, parts_of
from robo_al.tasks.shelf import borrowed
from robo_al.testing import random_transitions
from robo_al.types import MEAN, Candidate, Streamed, Trajectory

STEPS = 10
"""Timed of a rollout, after a first one in which more is done: a plan that is held for several
steps is made once among them."""
TRANSITIONS = 60
"""Learned from, at most."""


@one_thread
def foresee(config: Config) -> str:
    """Return in a sentence how long one of the first rounds takes, and what to write for less.

    Args:
        config: as it was recorded when the campaign was created.
    """
    parts, settings = parts_of(config)
    try:
        return sentence(config, parts, settings, measure(config, parts, settings))
    except CANNOT as error:
        return f"How long a round takes cannot be foreseen: {error}."


def measure(config: Config, parts: Parts, settings: Settings) -> dict[str, float]:
    """Return seconds of `evaluating`, `imagining`, `executing` and `retraining`."""
    steps, task = settings.steps(parts.task), parts.task
    seconds = {"retraining": _retraining(parts, settings), "executing": 0.0, "evaluating": 0.0}
    seconds["imagining"] = _imagined_step(parts, settings, min(steps, STEPS + 1)) * steps
    if task.held_out or not isinstance(parts.policy, SupportsAct):
        return seconds
    starts = settings.evaluation_starts if settings.evaluate_every else 0
    batch = settings.rollouts_per_round
    with make_oracle(config) as oracle:
        if isinstance(oracle, SupportsRepeat) and oracle.repeatable:
            seconds["executing"] = _executed_step(parts, oracle, batch, steps) * steps
            if starts:
                step = _executed_step(parts, oracle, starts, task.horizon)
                seconds["evaluating"] = step * task.horizon
        else:  # a robot does one rollout after another, in its own time
            seconds["executing"] = task.control_period * batch * steps
            seconds["evaluating"] = task.control_period * starts * task.horizon
    return seconds


def sentence(config: Config, parts: Parts, settings: Settings, seconds: Mapping[str, float]) -> str:
    """Return what `measure` found in a sentence, the longest part first."""
    steps, horizon = settings.steps(parts.task), parts.task.horizon
    starts, n, k = settings.evaluation_starts, settings.candidates, settings.rollouts_per_round
    every = settings.evaluate_every
    what = {
        "evaluating": f"evaluating {starts} starts x {horizon:,} steps"
        + (f" (in one round of {every})" if every > 1 else ""),
        "imagining": f"imagining {n} candidates x {steps:,} steps",
        "executing": f"executing {k} x {steps:,} steps",
        "retraining": "retraining",
    }
    less = {
        "evaluating": f"--evaluation.starts {max(1, starts // 2)} or --evaluation.every 5",
        "imagining": f"--candidates {max(k, n // 2)}",
        "executing": f"--rollout_steps {max(1, steps // 2)}",
        "retraining": f"smaller parameters of the model {config.model.name}",
    }
    ordered = sorted(what, key=lambda name: -seconds[name])
    named = [f"{said(seconds[name])} for {what[name]}" for name in ordered if seconds[name] >= 0.05]
    of_it = f" ({', '.join(named)})" if named else ""
    return (
        f"A round takes about {said(sum(seconds.values()))} at first{of_it}, and longer as the "
        f"model grows; for less: {less[ordered[0]]}."
    )


def said(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 9.5:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:,.0f} min"


def _retraining(parts: Parts, settings: Settings) -> float:
    """Return the seconds of the first retraining, in proportion where a part of it is tried."""
    steps, rng = settings.steps(parts.task), np.random.default_rng(0)
    total = settings.initial_rollouts * steps
    tried = min(steps, TRANSITIONS)
    with borrowed(parts.task.env) as env:
        rollouts = max(1, min(total, TRANSITIONS) // tried)
        transitions = random_transitions(rng, rollouts, max(tried, 2), env)
    began = time.monotonic()
    parts.model.fit(transitions, rng)
    if isinstance(parts.policy, SupportsUpdate):
        parts.policy.update(transitions, parts.model, rng)
    return (time.monotonic() - began) * max(1.0, total / (rollouts * tried))


def _imagined_step(parts: Parts, settings: Settings, steps: int) -> float:
    """Return the seconds in which all candidates of a round are imagined for one step."""
    starts = settings.contexts if parts.task.starts is None else settings.candidates
    candidates = parts.policy.propose(
        settings.candidates,
        parts.contexts_from(range(starts)),
        steps,
        parts.model,
        np.random.default_rng(0),
    )
    members = range(min(settings.imagination_members, parts.model.members))
    ticks: list[float] = []
    imagine(
        candidates,
        parts.model,
        parts.task,
        members if len(members) > 1 else None,
        device=parts.device,
        advanced=lambda step, of: ticks.append(time.monotonic()),
    )
    return (ticks[-1] - ticks[0]) / max(1, len(ticks) - 1)


def _executed_step(parts: Parts, oracle: Oracle, rollouts: int, horizon: int) -> float:
    """Return the seconds in which so many simulated rollouts of the policy advance by one step."""
    assert isinstance(parts.policy, SupportsAct)
    controller = Streamed(parts.policy, parts.model, MEAN)
    times, lengths, played = [], [], rollouts
    for steps in (1, min(horizon, STEPS + 1)):
        wanted = range(rollouts)
        if parts.task.finds_starts and isinstance(oracle, SupportsLook):
            contexts = oracle.look(wanted)
        else:
            contexts = parts.contexts_from(wanted)
        began, played, longest = time.monotonic(), len(contexts), 1
        for i, context in enumerate(contexts):
            oracle.submit(Candidate(context, controller, steps, i, f"forecast-{i}"))
        left = played
        while left:
            outcomes = oracle.poll()
            left -= len(outcomes)
            results = [outcome.result for outcome in outcomes]
            longest = max([longest, *(r.steps for r in results if isinstance(r, Trajectory))])
        times.append(time.monotonic() - began)
        lengths.append(longest)
    step = max(0.0, times[1] - times[0]) / max(1, lengths[1] - lengths[0])
    return step * rollouts / played
