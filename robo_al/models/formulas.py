"""A short formula for a reward that is not known, so that it holds where nothing was seen yet.

A smooth regression passes through every reward that it was shown, and yet cannot tell what the next
goal is worth. People write rewards as sums of a few terms, and these are found from a handful of
rollouts: with z the observation after the step, sines and cosines of its angles, and the scaled
action,

    r = b + sum_k w_k t_k(z) + e [the step ended the rollout],
    t(z) = z_i, |z_I - z_J| or |z_I - z_J|^2,

where I and J are runs of at most `WIDEST` components that lie beside one another and have one unit
(`J` may be missing), or all actions together. Terms are added one by one (orthogonal matching
pursuit; Pati et al. 1993), as long as the formula predicts rollouts better that had no part in its
weights. An end adds e where ends earn something else than the formula says of any other step. What
it leaves over is the model's to learn, with its uncertainty.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from robo_al.models.feature_map import FeatureMap
from robo_al.models.pursuit import EXACT, pursue
from robo_al.models.resident import Steps
from robo_al.models.terms import LINEAR, NORM, SQUARE, Term, TermSum
from robo_al.types import TerminationFunction

WIDEST = 3
"""Components of a run, at most: a position in space."""
MOST_PAIRED = 40
"""Components up to which distances between runs are looked at: they grow with the square."""
MOST_ROWS = 2000
"""Steps that a formula is looked for in, beside those that ended a rollout."""
FOLDS = 5
"""Groups of rollouts, each of which is held out once."""
ENOUGH = 0.5
"""Share of the variance that may be left to call it a formula; of a single rollout, by which none
is held out, only an exact one is believed."""
NOTHING_LEFT = 1e-4
"""Share of an output's deviation, at the most, that is not worth learning."""


class RewardFormula:
    """Says what a step earns (module's docstring).

    Args:
        inputs: of the task.
        state: with the tensors of `learn_formula`.
        termination: when rollouts end by themselves, if they do.
    """

    def __init__(
        self,
        inputs: FeatureMap,
        state: Mapping[str, Tensor],
        termination: TerminationFunction | None = None,
    ) -> None:
        self._inputs = inputs
        terms = [Term(*map(int, row)) for row in state["formula_terms"].tolist()]
        self._sum = TermSum(terms, state["formula_weights"].tolist())
        self._bias = float(state["formula_bias"])
        self._end = float(state["formula_end"])
        self._termination = termination

    @classmethod
    def of(
        cls,
        inputs: FeatureMap,
        state: Mapping[str, Tensor],
        termination: TerminationFunction | None = None,
    ) -> "RewardFormula | None":
        """Return what a model's state knows of the reward; None where it did not learn one."""
        return cls(inputs, state, termination) if "formula_bias" in state else None

    def __call__(
        self,
        observations: Float[Tensor, "*batch O"],
        actions: Float[Tensor, "*batch A"],
        next_observations: Float[Tensor, "*batch O"],
        ended: Tensor | None = None,
    ) -> Float[Tensor, "*batch"]:
        """Return rewards of steps.

        Args:
            observations: before the steps.
            actions: of the steps.
            next_observations: after them.
            ended: [...] which ended their rollout; None: as the termination has it.
        """
        z = self._inputs.components(next_observations, actions.to(next_observations))
        total = self._sum(z) + self._bias
        if not self._end:
            return total
        if ended is None and self._termination is not None:
            ended = self._termination(observations, actions, next_observations)
        return total if ended is None else total + self._end * ended.to(total)


def learn_formula(inputs: FeatureMap, steps: Steps) -> dict[str, Tensor]:
    """Return tensors to keep with a model's state, of which `RewardFormula` makes a function.

    Nothing is drawn: the data alone decide.

    Args:
        inputs: of the task.
        steps: all that is recorded.

    Returns:
        No tensors where the task's reward is known.
    """
    if not inputs.learn_reward:
        return {}
    going_on = Steps(*(column[_rows(~steps.terminated)].cpu() for column in steps))
    z = inputs.components(going_on.next_observations, going_on.actions)
    terms = _library(inputs)
    columns = torch.stack([term(z) for term in terms], dim=1)
    enough = ENOUGH if len(torch.unique(going_on.rollouts)) > 1 else EXACT
    some = len(going_on.rewards) > 1  # of one step, none is left to judge a formula by
    chosen: Sequence[int] = []
    weights, bias = columns.new_zeros(0), columns.new_zeros(())
    if some:
        folds = _folds(going_on.rollouts)
        chosen, weights, bias = pursue(columns, going_on.rewards, folds, enough)
    state = {
        "formula_terms": torch.tensor([terms[i] for i in chosen]).reshape(-1, 4).to(columns),
        "formula_weights": weights,
        "formula_bias": bias,
        "formula_end": torch.zeros_like(bias),
    }
    ended = Steps(*(column[_rows(steps.terminated)].cpu() for column in steps))
    if some and len(ended.rewards):
        beyond = _left(inputs, state, ended).mean()
        if beyond.abs() > _left(inputs, state, going_on).abs().max():
            state["formula_end"] = beyond
    return state


def standardised(
    inputs: FeatureMap, formula: Mapping[str, Tensor], steps: Steps, targets: Float[Tensor, "n D"]
) -> tuple[Float[Tensor, "n D"], dict[str, Tensor]]:
    """Return what a regression is to learn, standardised, with `y_mean` and `y_scale`.

    Of the reward that is what its formula leaves over, in units of the reward's own deviation. An
    output of which nothing is left to learn is 0 throughout, and its scale that of rounding.

    Args:
        inputs: of the task.
        formula: of the reward, from `learn_formula`.
        steps: all that is recorded.
        targets: of these steps.
    """
    deviation, resolution = targets.std(0, correction=0), inputs.resolution(steps)
    if formula:
        left = _left(inputs, formula, steps).to(targets)
        targets = torch.cat([targets[:, :-1], left[:, None]], dim=1)
    mean = targets.mean(0)
    least = torch.maximum(resolution, NOTHING_LEFT * deviation)
    learned = targets.std(0, correction=0) > least
    scale = torch.where(learned, deviation, resolution)
    return torch.where(learned, (targets - mean) / scale, 0.0), {"y_mean": mean, "y_scale": scale}


def _left(inputs: FeatureMap, state: Mapping[str, Tensor], steps: Steps) -> Float[Tensor, "n"]:
    """Return what a formula does not say of recorded rewards."""
    formula = RewardFormula(inputs, state)
    transitions = steps.observations, steps.actions, steps.next_observations
    return steps.rewards - formula(*transitions, steps.terminated)


def earned(
    formula: RewardFormula | None,
    observations: Float[Tensor, "*batch O"],
    actions: Float[Tensor, "*batch A"],
    next_observations: Float[Tensor, "*batch O"],
    left: Float[Tensor, "*batch"] | None,
) -> Float[Tensor, "*batch"] | None:
    """Return what a formula says of the reward, and what is left over; None where it is known."""
    if formula is None or left is None:
        return left
    return formula(observations, actions, next_observations).to(left) + left


def _rows(chosen: Bool[Tensor, "B"]) -> Int[Tensor, "b"]:
    """Return chosen steps, evenly spaced where they are many."""
    rows = torch.nonzero(chosen)[:, 0]
    spaced = np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).astype(np.int64)
    return rows[torch.from_numpy(spaced).to(rows.device)]


def _folds(rollouts: Tensor) -> Tensor:
    """Return which of the folds each step is in: whole rollouts, or parts of the only one."""
    found, index = torch.unique(rollouts, return_inverse=True)
    if len(found) == 1:
        return torch.arange(len(rollouts)) * FOLDS // len(rollouts)
    return torch.as_tensor(index % FOLDS)


def _library(inputs: FeatureMap) -> list[Term]:
    """Return every term that there can be, the plain ones first."""
    observed, actions = inputs.observation_size, len(inputs.center)
    size = observed + 2 * len(inputs.angles) + actions
    runs = [
        (first, width)
        for width in range(1, WIDEST + 1)
        for first in range(observed - width + 1)
        if len(set(inputs.units[first : first + width])) == 1
    ]
    paired = list(runs) if observed <= MOST_PAIRED else []
    runs += [(i, 1) for i in range(observed, size)]
    if actions > 1:
        runs.append((size - actions, actions))
    terms = [Term(LINEAR, first) for first, width in runs if width == 1]
    for kind in (NORM, SQUARE):
        terms += [Term(kind, first, width=width) for first, width in runs]
        terms += [
            Term(kind, first, second, width)
            for first, width in paired
            for second, other in paired
            if other == width
            and second >= first + width
            and inputs.units[first] == inputs.units[second]
        ]
    return terms
