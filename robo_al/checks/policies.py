"""Does a policy keep its contract?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from robo_al.checks.subject import CheckReport, Subject, kind_of
from robo_al.protocols import SupportsAct, SupportsUpdate
from robo_al.types import (
    MEAN,
    Candidate,
    ClosedLoop,
    Context,
    Demonstration,
    OpenLoop,
    Task,
    Transitions,
)


def check_policy(
    policy: Any,
    task: Task,
    model: Any,
    contexts: Sequence[Context],
    transitions: Transitions | None = None,
) -> CheckReport:
    """Check a policy by letting it propose, act and, given transitions, update.

    Returns:
        What was tried, and what was not.

    Raises:
        PluginError: naming the method and what was wrong with it.
    """
    subject = Subject(policy)
    n, horizon = 3, min(4, task.horizon)
    with subject.trying("propose", contexts=contexts):
        proposals = [
            policy.propose(n, contexts, horizon, model, np.random.default_rng(0)) for _ in range(2)
        ]
        for candidate in proposals[0]:
            _check_candidate(subject, candidate, task, model, contexts, horizon)
        subject.need(len(proposals[0]) == n, f"{len(proposals[0])} candidates, not n = {n}")
        for one, other in zip(*proposals, strict=True):
            plain = isinstance(one.controller, OpenLoop) and isinstance(other.controller, OpenLoop)
            same = one.seed == other.seed and (
                np.array_equal(one.controller.actions, other.controller.actions) if plain else True
            )
            subject.need(same, "two calls with equal generators propose different candidates")
    if isinstance(policy, SupportsAct):
        observations = np.stack([contexts[0].observation, contexts[-1].observation])
        with subject.trying("start", observations=observations):
            acted = []
            for _ in range(2):
                actor = policy.start(model, [MEAN, 0], [1, 2])
                subject.need(hasattr(actor, "act"), f"returned {kind_of(actor)} without `act`")
                acted.append(actor.act(observations))
                subject.array("act's answer", acted[-1], (2, len(task.action_low)))
            same = np.array_equal(acted[0], acted[1])
            subject.need(same, "two actors with equal seeds answer differently")
    if isinstance(policy, SupportsUpdate) and transitions is not None:
        with subject.trying("update", transitions=transitions):
            policy.update(transitions, model, np.random.default_rng(0))
    return subject.report("update", "parameters", "context_features", "state_dict", "robot_graph")


def _check_candidate(
    subject: Subject,
    candidate: Any,
    task: Task,
    model: Any,
    contexts: Sequence[Context],
    horizon: int,
) -> None:
    need = subject.need
    need(isinstance(candidate, Candidate), f"proposed {kind_of(candidate)}; a Candidate")
    need(any(candidate.context is c for c in contexts), "a context that was not among those given")
    inside = isinstance(candidate.horizon, int) and 1 <= candidate.horizon <= horizon
    need(inside, f"horizon {candidate.horizon}; 1 to {horizon} were asked for")
    need(isinstance(candidate.seed, int), f"a seed that is {kind_of(candidate.seed)}; an int")
    controller = candidate.controller
    if isinstance(controller, OpenLoop):
        subject.array("actions", controller.actions, (candidate.horizon, len(task.action_low)))
        return
    if isinstance(controller, Demonstration):
        return
    need(isinstance(controller, ClosedLoop), f"a controller that is {kind_of(controller)}")
    own = controller.policy == ""
    need(not own or isinstance(subject.thing, SupportsAct), "a ClosedLoop, and it has no `start`")
    inside = MEAN <= controller.member < model.members
    need(inside, f"member {controller.member} of a model with {model.members}")
