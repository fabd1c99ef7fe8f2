"""From an acquisition function to a batch of K: the best ones, or the best *together*."""

import heapq

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.errors import ConfigError, ModelError, PluginError, UserError
from robo_al.protocols import Acquisition, Model, SupportsJoint
from robo_al.types import ImaginedRollouts, Selection


class TopK:
    """Picks the k candidates with the highest scores; ties go to the lower index."""

    def __call__(
        self,
        acquisition: Acquisition,
        imagined: ImaginedRollouts,
        model: Model,
        pending: ImaginedRollouts | None,
        k: int,
        rng: np.random.Generator,
    ) -> Selection:
        """Pick k candidates, best first.

        Raises:
            UserError: fewer than k candidates are finite.
            PluginError, ModelError: the scores are not [N], or NaN.
        """
        scores = _scores(acquisition, imagined, model, pending, k, rng)
        order = torch.argsort(scores, descending=True, stable=True)[:k].tolist()
        values = scores.tolist()
        return Selection(tuple(order), tuple(values), tuple(values[i] for i in order))


class GreedyJoint:
    """Picks one candidate after another, each the one that adds most to those before it.

    Lazily (Minoux 1978, "Accelerated greedy algorithms"): a gain never grows while others are
    added, so an old one is an upper bound, and only what comes to the top of the queue is
    evaluated again. The picks are those of evaluating everything; ties go to the lower index.
    """

    @staticmethod
    def compatible(acquisition: Acquisition) -> bool:
        """Return whether the acquisition function values sets, as this selector needs."""
        return isinstance(acquisition, SupportsJoint)

    def __call__(
        self,
        acquisition: Acquisition,
        imagined: ImaginedRollouts,
        model: Model,
        pending: ImaginedRollouts | None,
        k: int,
        rng: np.random.Generator,
    ) -> Selection:
        """Pick k candidates, in the order of picking.

        Raises:
            ConfigError: the acquisition function has no `joint`.
            UserError: fewer than k candidates are finite.
            PluginError, ModelError: the scores are not [N], or NaN.
        """
        if not isinstance(acquisition, SupportsJoint):
            raise ConfigError(
                f"selector greedy_joint: {type(acquisition).__name__} scores candidates one by "
                "one (it has no `joint`); use the selector top_k"
            )
        scores = _scores(acquisition, imagined, model, pending, k, rng).tolist()
        joint = acquisition.joint(imagined, model, pending)
        queue = [(-score, index, 0) for index, score in enumerate(scores) if np.isfinite(score)]
        heapq.heapify(queue)
        picks: list[int] = []
        gains: list[float] = []
        while len(picks) < k:
            negative, index, known = heapq.heappop(queue)
            if known < len(picks):
                heapq.heappush(queue, (-joint.gain(index), index, len(picks)))
                continue
            picks.append(index)
            gains.append(-negative)
            if len(picks) < k:
                joint.add(index)
        return Selection(tuple(picks), tuple(scores), tuple(gains))


def _scores(
    acquisition: Acquisition,
    imagined: ImaginedRollouts,
    model: Model,
    pending: ImaginedRollouts | None,
    k: int,
    rng: np.random.Generator,
) -> Float[Tensor, "N"]:
    """Return scores [N], minus infinity where a candidate must not be picked; k can be."""
    usable = int(imagined.finite.sum())
    if not 0 < k <= usable:
        raise UserError(
            f"{k} candidates are to be selected, and {usable} of {len(imagined)} are finite in "
            "imagination; propose more candidates or select fewer"
        )
    scores = acquisition(imagined, model, pending, rng).detach().to("cpu", torch.float64)
    name = type(acquisition).__name__
    if scores.shape != (len(imagined),):
        raise PluginError(
            f"acquisition {name}: scores of shape {tuple(scores.shape)} for {len(imagined)} "
            "candidates; return one score for each"
        )
    finite = imagined.finite.cpu()
    wrong = torch.nonzero(finite & ~torch.isfinite(scores))[:, 0].tolist()
    if wrong:
        raise ModelError(
            f"acquisition {name}: the score of candidate {wrong[0]} is {scores[wrong[0]]}, "
            "although it is finite in imagination"
        )
    return torch.where(finite, scores, -torch.inf)
