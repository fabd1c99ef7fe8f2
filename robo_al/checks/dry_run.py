"""Do the parts of a campaign go together? Tried on a few steps, before anything is written."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from robo_al.campaign.selection import owned
from robo_al.campaign.settings import Parts
from robo_al.checks.models import check_model
from robo_al.checks.oracles import check_oracle
from robo_al.checks.policies import check_policy
from robo_al.checks.selection import check_acquisition, check_cost, check_selector
from robo_al.config.settings import Settings
from robo_al.errors import ConfigError, PluginError
from robo_al.models.imagination import imagine
from robo_al.protocols import (
    CandidatePool,
    Oracle,
    SupportsClosedLoop,
    SupportsData,
    SupportsLook,
    SupportsRepeat,
)
from robo_al.tasks import sample_contexts
from robo_al.tasks.shelf import borrowed
from robo_al.testing import random_transitions
from robo_al.types import Candidate, Demonstration


def try_parts(parts: Parts, settings: Settings) -> list[Candidate]:
    """Try everything but the env and the oracle, which learns from random steps by it.

    Returns:
        Rollouts that the explorer proposes, for the oracle, and a demonstration that the policy
        asks for, which not every oracle has somebody for.

    Raises:
        ConfigError: they do not go together; says which.
        PluginError: a part breaks its contract; says which.
    """
    task, rng = parts.task, np.random.default_rng(0)
    with borrowed(task.env) as env:
        contexts = sample_contexts(env, [rng, rng])
        transitions = random_transitions(rng, rollouts=3, steps=3, env=env)
    parts.strategy.require(parts.model, task, settings.imagination_members, settings.steps(task))
    check_model(parts.model, task, transitions)
    if settings.imagination_members > parts.model.members:
        raise ConfigError(
            f"imagination_members: expected {parts.model.members} at most, the members of model "
            f"{parts.provenance['model']}, given {settings.imagination_members}"
        )
    for policy in (parts.explorer, parts.policy):
        check_policy(policy, task, parts.model, contexts, transitions)
    proposed = [
        owned(candidate, "policy")
        for candidate in parts.policy.propose(3, contexts, 2, parts.model, rng)
    ]
    play = partial(imagine, proposed, parts.model, task, resolve=parts.resolve)
    members = range(settings.imagination_members)
    imagined = play(members if len(members) > 1 else None)
    strategy = parts.strategy
    if isinstance(strategy.acquisition, SupportsData):
        strategy.acquisition.observe(transitions, parts.policy)
    pool = CandidatePool(tuple(proposed), imagined, parts.model, task, policy=parts.policy)
    if strategy.acquisition is not None:
        check_acquisition(strategy.acquisition, pool)
    if strategy.cost is not None:
        check_cost(strategy.cost, imagined, task)
    check_selector(strategy.selector, strategy.acquisition, pool)
    strategy.select(pool, 2, rng, play)
    explored = parts.explorer.propose(2, contexts, 2, parts.model, rng)
    tried = [owned(candidate, "explorer") for candidate in explored]
    tried += [one for one in proposed[:1] if isinstance(one.controller, Demonstration)]
    return [replace(candidate, id=f"dry-run-{i}") for i, candidate in enumerate(tried)]


def try_oracle(oracle: Oracle, parts: Parts, candidates: Sequence[Candidate]) -> None:
    """Let an oracle whose rollouts have no lasting effect execute some.

    Raises:
        PluginError: it breaks its contract, or cannot do its work for this task.
    """
    repeatable = isinstance(oracle, SupportsRepeat) and oracle.repeatable
    if isinstance(oracle, SupportsClosedLoop):
        oracle.resolve = parts.resolve
    if parts.task.finds_starts:
        candidates = _where_found(oracle, candidates)
    check_oracle(oracle, candidates if repeatable else ())


def _where_found(oracle: Oracle, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return candidates that begin where the oracle's envs are, as many as there are starts.

    Raises:
        PluginError: the oracle cannot look where its envs are.
    """
    if not isinstance(oracle, SupportsLook):
        raise PluginError(
            f"oracle {type(oracle).__name__}: the starts of this task cannot be asked for, and the "
            "oracle cannot say which it finds; it needs a method `look` (robo_al.protocols)"
        )
    found = oracle.look(range(len(candidates)))
    return [replace(c, context=context) for c, context in zip(candidates, found, strict=False)]
