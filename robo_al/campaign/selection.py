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
from robo_al.campaign.settings import Parts, Settings
from robo_al.dataset.clock import Clock
from robo_al.errors import ModelError, PluginError, UserError
from robo_al.models.imagination import imagine
from robo_al.protocols import Policy
from robo_al.seeds import Purpose, generator
from robo_al.types import Candidate, Context, ImaginedRollouts, OpenLoop, Refusal

Refuses = Callable[[Candidate, Float[np.ndarray, "E T A"]], Refusal | None]
"""Says why an oracle would not execute a candidate that sends these actions."""
EXPLORED = 64
"""Proposals of the explorer that are looked at before it is given up."""
CANNOT = (ModelError, torch.linalg.LinAlgError)  # type: ignore[attr-defined]
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
        imagined = imagine(
            candidates, model, parts.task, members, device=parts.device, advanced=clock.advanced
        )
        reason = "the model's imagination left the finite numbers"
        if refuses is not None:
            imagined, refusals = _admitted(candidates, imagined, refuses)
            if refusals:
                reason = f"of the policy's {len(candidates)} proposals {_summary(refusals)}"
        waiting = (
            imagine(pending, model, parts.task, members, device=parts.device) if pending else None
        )
    with clock.activity("select"):
        if not bool(imagined.finite.any()):
            return [], [], reason
        choice = parts.strategy.select(
            imagined,
            model,
            parts.task,
            waiting,
            k,
            generator(seed, Purpose.SELECT, round_index),
            partial(imagine, candidates, model, parts.task, device=parts.device),
        )
        selection = choice.selection
        order = np.argsort([-score for score in selection.scores], kind="stable").tolist()
        chosen = [
            Chosen(
                candidates[i],
                selection.scores[i],
                order.index(i) + 1,
                gain,
                _information(parts, imagined, i),
                None if choice.seconds is None else choice.seconds[i],
                None if choice.risks is None else choice.risks[i],
            )
            for i, gain in zip(selection.indices, selection.gains, strict=True)
            if bool(imagined.finite[i]) and math.isfinite(gain)
        ]
    return chosen, list(selection.scores), reason


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


def _admitted(
    candidates: Sequence[Candidate], imagined: ImaginedRollouts, refuses: Refuses
) -> tuple[ImaginedRollouts, list[Refusal]]:
    """Return the rollouts, those that the oracle would refuse as not to be selected, and why."""
    actions = imagined.actions.detach().cpu().numpy().astype(np.float64)
    allowed, refusals = imagined.finite.tolist(), []
    for i, candidate in enumerate(candidates):
        if not allowed[i]:
            continue
        refusal = refuses(candidate, actions[:, i, : candidate.horizon])
        if refusal is not None:
            allowed[i] = False
            refusals.append(refusal)
    finite = torch.tensor(allowed, device=imagined.finite.device)
    return replace(imagined, finite=finite), refusals


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
    """
    steps = settings.steps(parts.task)
    candidates = [
        _own(candidate) for candidate in policy.propose(n, contexts, steps, parts.model, rng)
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
        if isinstance(candidate.controller, OpenLoop):
            actions = np.asarray(candidate.controller.actions)
            shape = (candidate.horizon, len(parts.task.action_low))
            if actions.shape != shape or not np.isfinite(actions).all():
                raise PluginError(
                    f"{who}: candidate {i} has actions of shape {actions.shape}, or some that "
                    f"are not finite; finite ones of shape {shape} were asked for"
                )
    return candidates


def _own(candidate: Candidate) -> Candidate:
    """Return a candidate whose actions a policy cannot change any more."""
    if not isinstance(candidate.controller, OpenLoop):
        return candidate
    return replace(candidate, controller=OpenLoop(np.array(candidate.controller.actions)))


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
    except CANNOT:  # it is told, and nothing is chosen by it
        return None
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
