"""What acquisition functions share: walking over steps in chunks, and what becomes of scores."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robo_al.errors import ConfigError
from robo_al.protocols import CandidatePool, JointGain
from robo_al.types import ImaginedRollouts

STEPS = 4096
"""Imagined steps that a model is asked about at once: bounds the memory, changes no result."""

SAME = 1e-6
"""Absolute and relative difference below which two inputs are one: imagination is float32."""


def only_eligible(scores: Float[Tensor, "N"], pool: CandidatePool) -> Float[Tensor, "N"]:
    """Return the scores in float64, minus infinity for what must not be selected."""
    return torch.where(pool.eligible, scores.to(torch.float64), -torch.inf)


def first_gains(gain: JointGain, pool: CandidatePool) -> Float[Tensor, "N"]:
    """Return what each candidate would add now, minus infinity where it must not (float64)."""
    eligible = pool.eligible
    scores = torch.full((len(pool),), -torch.inf, dtype=torch.float64, device=eligible.device)
    if bool(eligible.any()):
        scores[eligible] = gain.gains(torch.nonzero(eligible)[:, 0].tolist()).to(scores)
    return scores


def after_pending(scores: Float[Tensor, "N"], pool: CandidatePool) -> Float[Tensor, "N"]:
    """Return `only_eligible` scores in which what repeats a pending rollout comes after all others.

    For acquisition functions that do not condition on what is pending. The repeats keep their
    order among themselves; all other scores stay as they are.

    Args:
        scores: higher is better.
        pool: of the N candidates.
    """
    scores = only_eligible(scores, pool)
    if pool.pending is None:
        return scores
    repeated = _repeats(pool.imagined, pool.pending) & pool.eligible
    others = scores[pool.eligible & ~repeated]
    if not bool(repeated.any()) or len(others) == 0:
        return scores
    lowest, highest = others.min(), scores[repeated].max()
    below = lowest - (1 + lowest.abs()) - (highest - scores)
    return torch.where(repeated, below, scores)


def _repeats(imagined: ImaginedRollouts, pending: ImaginedRollouts) -> Bool[Tensor, "N"]:
    """Return which candidates start like a pending rollout and send its actions, or the first."""
    steps = min(imagined.actions.shape[2], pending.actions.shape[2])
    asked = imagined.horizons
    padding = (torch.arange(steps, device=asked.device) >= asked[:, None])[..., None]
    start, actions = imagined.observations[:, :, 0], imagined.actions[:, :, :steps]
    repeated = torch.zeros_like(imagined.finite)
    for p in range(len(pending)):  # one by one: all pairs of their actions would not fit
        other = pending.observations[:, [p], 0].to(start)
        sent = pending.actions[:, [p], :steps].to(actions)
        near = torch.isclose(start, other, rtol=SAME, atol=SAME).all(-1).all(0)
        alike = torch.isclose(actions, sent, rtol=SAME, atol=SAME) | padding
        shorter = asked <= pending.horizons[p].to(asked)
        repeated |= near & alike.flatten(2).all(-1).all(0) & shorter
    return repeated


def chunks(imagined: ImaginedRollouts) -> list[slice]:
    """Return slices of the candidates, each of about `STEPS` steps over all members."""
    members, candidates, steps = imagined.rewards.shape
    size = max(1, STEPS // (members * steps))
    return [slice(start, start + size) for start in range(0, candidates, size)]


def step_by_step(
    imagined: ImaginedRollouts, value: Callable[[Tensor, Tensor], Tensor]
) -> Float[Tensor, "E N T"]:
    """Return a value of every imagined step, in float64 and 0 where none is taken.

    Args:
        imagined: the N candidates.
        value: from observations [E,n,T,O] and actions [E,n,T,A] to values [E,n,T].
    """
    observations, actions = imagined.inputs
    parts = [value(observations[:, part], actions[:, part]) for part in chunks(imagined)]
    return torch.where(imagined.mask.bool(), torch.cat(parts, dim=1).to(torch.float64), 0.0)


def number_between(who: str, name: str, value: object, low: float, high: float) -> float:
    """Return a parameter that is a finite number from `low` to `high`.

    Raises:
        ConfigError: it is not.
    """
    span = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{who}: {name} is {value!r}; it must be a number {span}")
    if not (math.isfinite(value) and low <= value <= high):
        raise ConfigError(f"{who}: {name} is {value}; it must be a finite number {span}")
    return float(value)
