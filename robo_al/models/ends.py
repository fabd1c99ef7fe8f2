"""When rollouts end by themselves, learned from those that did, where the task does not say it.

Logistic regression on what is observed after a step. With x the features of the next observation
(angles as sine and cosine), each in units of its standard deviation over all recorded steps,

    P(end) = 1 / (1 + exp(-z)),    z = b + sum_i (u_i x_i + v_i x_i^2),

so that rollouts may go on within a half-space, a band or an ellipsoid: what most tasks end by. The
coefficients u and v have the prior N(0, 1 / PRECISION), and the most likely ones a posteriori are
found by L-BFGS from zero. The problem is convex: nothing is drawn, and the data alone decide. An
imagined step ends its rollout where an end is more likely than not.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from robo_al.models.feature_map import FeatureMap
from robo_al.models.resident import Steps
from robo_al.protocols import Model, SupportsEnds
from robo_al.types import Task, TerminationFunction

PRECISION = 0.1
"""Of the coefficients' prior: large ones are allowed, since ends are often sharp."""
FIT_STEPS = 500
"""Iterations of L-BFGS at most."""
_NAMES = ("end_center", "end_scale", "end_linear", "end_square", "end_bias")
"""Of the tensors in a model's state."""


def termination_of(task: Task, model: Model) -> TerminationFunction | None:
    """Return when rollouts end by themselves: what the task says, or what the model has learned.

    None: they never do, as far as is known.
    """
    if task.termination is not None:
        return task.termination
    return model.termination if isinstance(model, SupportsEnds) else None


def learn_ends(inputs: FeatureMap, steps: Steps) -> dict[str, Tensor]:
    """Return tensors to keep with a model's state, of which `LearnedEnds.of` makes a function.

    Args:
        inputs: of the task.
        steps: all that is recorded.

    Returns:
        No tensors where the task says when it ends, or where no rollout ended by itself.
    """
    if not inputs.learn_ends or not bool(steps.terminated.any()):
        return {}
    observed = _observed(inputs, steps.next_observations, steps.actions)
    center, scale = observed.mean(0), observed.std(0, correction=0).clamp_min(1e-6)
    x = (observed - center) / scale
    squares, ended = torch.cat([x, x * x], dim=-1), steps.terminated.to(x)
    coefficients = x.new_zeros(squares.shape[-1], requires_grad=True)
    bias = x.new_zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [coefficients, bias], max_iter=FIT_STEPS, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        z = squares @ coefficients + bias
        likelihood = binary_cross_entropy_with_logits(z, ended, reduction="sum")
        loss: Tensor = likelihood + PRECISION / 2 * coefficients.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    linear, square = coefficients.detach().chunk(2)
    found = (center, scale, linear.clone(), square.clone(), bias.detach())
    return dict(zip(_NAMES, found, strict=True))


class LearnedEnds:
    """Says which steps end a rollout, NumPy arrays or tensors (module's docstring).

    Args:
        inputs: of the task.
        state: with the tensors of `learn_ends`.
    """

    def __init__(self, inputs: FeatureMap, state: Mapping[str, Tensor]) -> None:
        self._inputs = inputs
        self._tensors = [state[name] for name in _NAMES]

    @classmethod
    def of(cls, inputs: FeatureMap, state: Mapping[str, Tensor]) -> "LearnedEnds | None":
        """Return what a model's state knows of ends; None where it knows of none."""
        return cls(inputs, state) if _NAMES[0] in state else None

    def __call__(
        self,
        observation: Float[Tensor, "*batch O"] | Float[np.ndarray, "*batch O"],
        action: Float[Tensor, "*batch A"] | Float[np.ndarray, "*batch A"],
        next_observation: Float[Tensor, "*batch O"] | Float[np.ndarray, "*batch O"],
    ) -> Bool[Tensor, "*batch"] | Bool[np.ndarray, "*batch"]:
        """Return whether an end is more likely than not, of whichever kind was given."""
        if isinstance(next_observation, np.ndarray):
            ended = self(*map(torch.as_tensor, (observation, action, next_observation)))
            assert isinstance(ended, Tensor)
            return ended.numpy()
        assert isinstance(action, Tensor)
        center, scale, linear, square, bias = (t.to(next_observation) for t in self._tensors)
        x = (_observed(self._inputs, next_observation, action) - center) / scale
        return x @ linear + (x * x) @ square + bias > 0


def _observed(
    inputs: FeatureMap, observations: Float[Tensor, "*batch O"], actions: Float[Tensor, "*batch A"]
) -> Float[Tensor, "*batch F"]:
    """Return the features of observations, without those of actions, which come last."""
    return inputs.features(observations, actions)[..., : inputs.size - len(inputs.center)]
