"""How a batch is chosen: propose -> imagine -> score and select. Functions, no state."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float

from robo_al.acquisition.information import rollout_information
from robo_al.campaign.settings import Parts
from robo_al.config.settings import Settings
from robo_al.dataset.clock import Clock
from robo_al.errors import ModelError, PluginError, UserError
from robo_al.models.imagination import imagine
from robo_al.protocols import CandidatePool, Policy
from robo_al.seeds import Purpose, generator
from robo_al.types import (
    Candidate,
    ClosedLoop,
    Context,
    Demonstration,
    Exclusion,
    ImaginedRollouts,
    OpenLoop,
    Refusal,
    Selection,
)

Refuses = Callable[[Candidate, Float[np.ndarray, "E T A"]], Refusal | None]
"""Says why an oracle would not execute a candidate that sends these actions."""
EXPLORED = 64
"""Proposals of the explorer that are looked at before it is given up."""
NUMERICAL_ERRORS = (ModelError, torch.linalg.LinAlgError)  # type: ignore[attr-defined]
"""What a model raises where its numbers went wrong: the campaign goes on without it."""


@dataclass(frozen=True)
class Chosen:
    """A candidate, and why; all None where the explorer proposed it."""

    candidate: Candidate
    score: float | None = None
    rank: int | None = None
    gain: float | None = None
    information: float | None = None
    seconds: float | None = None
    risk: float | None = None


@torch.no_grad()
def choose(
    parts: Parts,
    settings: Settings,
    clock: Clock,
    contexts: Sequence[Context],
    pending: Sequence[Candidate],
    round_index: int,
    k: int,
    refuses: Refuses | None = None,
) -> tuple[list[Chosen], list[float], str]:
    """Return at most k candidates chosen by the model, best first, all N scores, and why not k.

    Fewer than k where the model's imagination of the others is not finite, where the oracle would
    not execute them, or where the strategy's cost or constraint allows no more.

    Raises:
        ModelError, torch.linalg.LinAlgError: the model's numbers went wrong.
        PluginError: the policy proposed something that cannot be run.
    """
    seed, model = settings.seed, parts.model
    with clock.activity("propose"):
        rng = generator(seed, Purpose.PROPOSE, round_index)
        candidates = propose(parts, settings, parts.policy, contexts, settings.candidates, rng)
    with clock.activity("imagine"):
        members = _members(parts, settings, round_index)
        play = partial(imagine, resolve=parts.resolve, device=parts.device)
        imagined = play(candidates, model, parts.task, members, advanced=clock.advanced)
        waiting = play(pending, model, parts.task, members) if pending else None
        pool = CandidatePool(
            tuple(candidates), imagined, model, parts.task, waiting, policy=parts.policy
        )
        if refuses is not None:
            pool = pool.without(_refused(pool, refuses))
    with clock.activity("select"):
        selection = Selection((), (), (), exclusions=pool.exclusions)
        if bool(pool.eligible.any()):
            selection = parts.strategy.select(
                pool,
                k,
                generator(seed, Purpose.SELECT, round_index),
                partial(play, candidates, model, parts.task),
            )
        order = np.argsort([-score for score in selection.scores], kind="stable").tolist()
        chosen = [
            Chosen(
                candidates[i],
                selection.scores[i],
                order.index(i) + 1,
                gain,
                _information(parts, imagined, i),
                None if selection.seconds is None else selection.seconds[i],
                None if selection.risks is None else selection.risks[i],
            )
            for i, gain in zip(selection.indices, selection.gains, strict=True)
            if bool(pool.eligible[i]) and math.isfinite(gain)
        ]
    return chosen, list(selection.scores), _why_not_all(selection, len(pool))


def explore(
    parts: Parts,
    settings: Settings,
    clock: Clock,
    contexts: Sequence[Context],
    round_index: int,
    k: int,
    refuses: Refuses | None = None,
) -> list[Chosen]:
    """Return k candidates of the explorer that the oracle would execute.

    Raises:
        UserError: among `EXPLORED` there are not so many.
    """
    with clock.activity("propose"):
        rng = generator(settings.seed, Purpose.PROPOSE, round_index, 1)
        found: list[Chosen] = []
        refusals: list[Refusal] = []
        for _ in range(max(1, EXPLORED // k)):
            proposed = propose(parts, settings, parts.explorer, contexts, k - len(found), rng)
            for candidate in proposed:
                controller = candidate.controller
                refusal = None
                if refuses is not None and isinstance(controller, OpenLoop):
                    refusal = refuses(candidate, controller.actions[None])
                if refusal is None:
                    found.append(Chosen(candidate))
                else:
                    refusals.append(refusal)
            if len(found) == k:
                return found
    raise UserError(
        f"the oracle would execute {len(found)} of the explorer's {len(found) + len(refusals)} "
        f"proposals, and {k} are needed: {_summary(refusals)}"
    )


def _summary(refusals: Sequence[Refusal]) -> str:
    """Return which limit refuses most, how far beyond it the worst is, and what can be changed."""
    limit, times = Counter(refusal.limit for refusal in refusals).most_common(1)[0]
    worst = max(
        (refusal for refusal in refusals if refusal.limit == limit), key=lambda one: one.excess
    )
    return (
        f"{len(refusals)} are refused, {times} of them first by the limit of the {limit}; the "
        f"worst of these: {worst.message}; {worst.remedy}"
    )


def _refused(pool: CandidatePool, refuses: Refuses) -> dict[int, Exclusion]:
    """Return which of the finite candidates the oracle would refuse, and why."""
    actions = pool.imagined.actions.detach().cpu().numpy().astype(np.float64)
    finite, found = pool.imagined.finite.tolist(), {}
    for i, candidate in enumerate(pool.candidates):
        if not finite[i]:
            continue
        refusal = refuses(candidate, actions[:, i, : candidate.horizon])
        if refusal is not None:
            found[i] = Exclusion("envelope", refusal.message, refusal)
    return found


def _why_not_all(selection: Selection, n: int) -> str:
    """Return what kept out most of a policy's n proposals."""
    if not selection.exclusions:
        return "no proposal was left"
    refusals = [one.refusal for one in selection.exclusions.values() if one.refusal is not None]
    if refusals:
        return f"of the policy's {n} proposals {_summary(refusals)}"
    kinds = Counter(one.kind for one in selection.exclusions.values())
    kind, times = kinds.most_common(1)[0]
    example = next(one for one in selection.exclusions.values() if one.kind == kind)
    return example.reason if kind == "not_finite" else f"{times} of {n} proposals: {example.reason}"


def propose(
    parts: Parts,
    settings: Settings,
    policy: Policy,
    contexts: Sequence[Context],
    n: int,
    rng: np.random.Generator,
) -> list[Candidate]:
    """Return a policy's n candidates.

    Raises:
        PluginError: they are not n, or actions are of a wrong shape or not finite.
        UserError: a candidate names a policy that there is not.
    """
    steps = settings.steps(parts.task)
    role = next(role for role, one in parts.policies.items() if one is policy)
    candidates = [
        owned(candidate, role) for candidate in policy.propose(n, contexts, steps, parts.model, rng)
    ]
    who = f"{type(policy).__name__}.propose"
    if len(candidates) != n:
        raise PluginError(f"{who} returned {len(candidates)} candidates; {n} were asked for")
    for i, candidate in enumerate(candidates):
        if not (isinstance(candidate.horizon, int) and 1 <= candidate.horizon <= steps):
            raise PluginError(
                f"{who}: candidate {i} has horizon {candidate.horizon!r}; {steps} was asked for"
            )
        if not isinstance(candidate.seed, int):
            raise PluginError(f"{who}: candidate {i} has the seed {candidate.seed!r}; not an int")
        if isinstance(candidate.controller, ClosedLoop):
            parts.resolve(candidate.controller)
        elif isinstance(candidate.controller, OpenLoop):
            actions = np.asarray(candidate.controller.actions)
            shape = (candidate.horizon, len(parts.task.action_low))
            if actions.shape != shape or not np.isfinite(actions).all():
                raise PluginError(
                    f"{who}: candidate {i} has actions of shape {actions.shape}, or some that "
                    f"are not finite; finite ones of shape {shape} were asked for"
                )
    return candidates


def owned(candidate: Candidate, role: str) -> Candidate:
    """Return a candidate that names its policy, and whose actions nobody can change any more.

    Args:
        candidate: as a policy proposed it.
        role: of that policy.
    """
    controller = candidate.controller
    if isinstance(controller, OpenLoop):
        return replace(candidate, controller=OpenLoop(np.array(controller.actions)))
    if isinstance(controller, Demonstration):
        return candidate
    return replace(candidate, controller=replace(controller, policy=controller.policy or role))


def _members(parts: Parts, settings: Settings, round_index: int) -> list[int] | None:
    if settings.imagination_members == 1:
        return None
    rng = generator(settings.seed, Purpose.IMAGINE, round_index)
    count = min(settings.imagination_members, parts.model.members)
    return sorted(rng.choice(parts.model.members, count, replace=False).tolist())


def _information(parts: Parts, imagined: ImaginedRollouts, index: int) -> float | None:
    """Return what rollout `index` is expected to tell, the mean over members, in nats."""
    lengths = imagined.mask[:, index].sum(-1).long().tolist()
    try:
        values = [
            rollout_information(
                parts.model,
                imagined.observations[member, index, :steps].cpu().numpy().astype(np.float64),
                imagined.actions[member, index, :steps].cpu().numpy().astype(np.float64),
            )
            for member, steps in enumerate(lengths)
        ]
    except NUMERICAL_ERRORS:  # it is told, and nothing is chosen by it
        return None
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
