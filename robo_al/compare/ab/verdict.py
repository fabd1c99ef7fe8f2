"""What rollouts of two policies say: which is better, and by how much, at any time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from robo_al.compare import sequential
from robo_al.compare.ab import gaussian, sentences
from robo_al.compare.ab.outcomes import Judged, Pairs, Scale, paired
from robo_al.errors import UserError

JSON = dict[str, Any]


def policies_of(
    rollouts: Sequence[Judged], names: Sequence[str], against: float | None, where: str
) -> list[str]:
    """Return the one or two policies that are looked at, the one that is there already first.

    Args:
        rollouts: what there is.
        names: of policies that were asked for; none for all there are.
        against: the threshold that is asked about, if any.
        where: the rollouts are from, for messages.

    Raises:
        UserError: there are not so many, or too many.
    """
    there = list(dict.fromkeys(rollout.policy for rollout in rollouts))
    if not there:
        raise UserError(f"{where}: has no rollout yet; each is a line below its columns")
    for name in names:
        if name not in there:
            raise UserError(f"{where}: no rollout is of policy {name!r}; there are {_few(there)}")
    if len(set(names)) < len(names):
        raise UserError(f"ab: {names[0]} is compared with itself; name two policies")
    found = list(names) or there
    if len(found) > 2:
        raise UserError(f"{where}: has {_few(found)}; name two of them: robo-al ab {where} A B")
    if len(found) < (2 if against is None else 1):
        raise UserError(
            f"{where}: {_few(found)} alone; name two policies, or what "
            "one is to reach: --against VALUE"
        )
    return found


def judge(
    rollouts: Sequence[Judged], policies: Sequence[str], scale: Scale, against: float | None
) -> JSON:
    """Return what the rollouts say, all of it at a confidence of 95 % at any time.

    Args:
        rollouts: in the order in which they ran.
        policies: one or two of those that they are of.
        scale: what they are judged by.
        against: a threshold for each policy's mean, if any.

    Returns:
        The content of `ab.json`: `answer` is its sentence, `decided` whether every question is.

    Raises:
        UserError: the threshold is no number within the scale, or its end.
    """
    if against is not None and not scale.low < against < scale.high:
        raise UserError(
            f"--against: {against:g} is not within {scale.low:g} to {scale.high:g}, where a "
            f"{scale.name} lies"
        )
    alone = {name: _alone(rollouts, name, scale, against) for name in policies}
    pairs = _difference(paired(rollouts, *policies), policies, scale) if policies[1:] else None
    asked = [] if against is None else list(alone.values())
    if pairs is not None:
        asked.append(pairs)
    result: JSON = {
        "decided": all(one["decided_after"] is not None for one in asked),
        "judged_by": {"name": scale.name, "low": _known(scale.low), "high": _known(scale.high)},
        "against": against,
        "policies": alone,
        "difference": pairs,
    }
    return {"answer": sentences.answer(result), **result}


def _alone(rollouts: Sequence[Judged], name: str, scale: Scale, against: float | None) -> JSON:
    """Return what is known of one policy's mean, and on which side of the threshold it is."""
    own = [rollout.value for rollout in rollouts if rollout.policy == name]
    values = np.array([value for value in own if value is not None], float)
    found = _mean(values, scale, against)
    return {"rollouts": len(own), "unsure": len(own) - len(values), **found}


def _difference(pairs: Pairs, policies: Sequence[str], scale: Scale) -> JSON:
    """Return what is known of the second policy's advantage over the first."""
    before, after = np.array(pairs.before, float), np.array(pairs.after, float)
    width = scale.high - scale.low
    apart = Scale(scale.name, -width, width)
    found = _mean(np.clip(after - before, -width, width), apart, 0.0)
    signs = np.sign(after - before)
    return {
        "before": policies[0],
        "after": policies[1],
        "pairs": len(before),
        "unsure": pairs.unsure,
        "alone": pairs.alone,
        "means": [_or_none(before), _or_none(after)],
        "wins": int((signs > 0).sum()),
        "losses": int((signs < 0).sum()),
        "ties": int((signs == 0).sum()),
        **found,
    }


def _mean(values: Float[np.ndarray, "n"], scale: Scale, null: float | None) -> JSON:
    """Return a mean with its limits after each value, and when it was told from `null`."""
    if scale.bounded:
        at = [] if null is None else [null]
        lows, highs = sequential.confidence_sequence(values, scale.low, scale.high, at)
    else:
        lows, highs = gaussian.confidence_sequence(values)
    found: JSON = {
        "mean": _or_none(values),
        "low": _known(float(lows[-1]) if len(lows) else scale.low),
        "high": _known(float(highs[-1]) if len(highs) else scale.high),
        "p": None,
        "decided_after": None,
        "above": None,
        "so_far": {
            "mean": (np.cumsum(values) / np.arange(1, len(values) + 1)).tolist(),
            "low": [_known(low) for low in lows.tolist()],
            "high": [_known(high) for high in highs.tolist()],
        },
    }
    if null is not None:
        if scale.bounded:
            capital = sequential.capital(values, null, scale.low, scale.high)
        else:
            capital = gaussian.capital(values, null)
        found["p"] = sequential.p_value(max(capital, default=1))
        decided = capital >= 1 / sequential.LEVEL
        if decided.any():
            found["decided_after"] = after = int(decided.argmax()) + 1
            found["above"] = bool(values[:after].mean() > null)
    return found


def _known(end: float) -> float | None:
    """Return the end of a range as JSON can say it."""
    return end if np.isfinite(end) else None


def _or_none(values: Float[np.ndarray, "n"]) -> float | None:
    return float(values.mean()) if len(values) else None


def _few(names: Sequence[str]) -> str:
    """Return names for a message."""
    from robo_al.report.words import count, listed

    return f"{count(len(names), 'policy')} ({listed(names)})"
