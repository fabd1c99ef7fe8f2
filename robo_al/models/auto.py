"""A model that is chosen from others by what each says of rollouts that it did not learn from."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from robo_al.errors import ModelError
from robo_al.models.ensemble import Ensemble
from robo_al.models.feature_map import FeatureMap
from robo_al.models.gp import GaussianProcess
from robo_al.models.held_out import surprise
from robo_al.types import FitReport, Prediction, Task, TerminationFunction, Transitions

MODELS: Mapping[str, type[GaussianProcess] | type[Ensemble]] = {
    "gp": GaussianProcess,
    "ensemble": Ensemble,
}
"""What is chosen from; the first until two rollouts can be compared."""
SHARE = 5
"""One rollout in so many is held out in a comparison."""
GROWTH = 1.5
"""So much more has to be recorded before the next comparison."""
MOST = 8.0
"""Nats that an error can cost, those of four standard deviations: a jump does not decide alone."""


class Auto:
    """A Gaussian process or an ensemble, whichever predicts held-out rollouts better.

    At the first fit, whenever half as much again is recorded, and after a model that was worse than
    the one before, a new model of each kind learns from four fifths of the rollouts and is asked
    about the others: the mean negative log predictive density of the next observation decides. The
    better kind then learns from everything.

    Args:
        task: what is to be predicted.
        device: `cpu` or `cuda`.
    """

    def __init__(self, task: Task, device: str = "cpu") -> None:
        self._task = task
        self._device = device
        self._kind = next(iter(MODELS))
        self._chosen = self._new(self._kind)
        self._compared = 0
        self._doubted = False

    def _new(self, kind: str) -> GaussianProcess | Ensemble:
        return MODELS[kind](self._task, device=self._device)

    def __repr__(self) -> str:
        """Say which model it is at present."""
        return f"<Auto: {self._kind}>"

    @property
    def members(self) -> int:
        """E of the chosen model."""
        return self._chosen.members

    @property
    def termination(self) -> TerminationFunction | None:
        """When rollouts end by themselves, if that had to be learned and some did."""
        return self._chosen.termination

    @property
    def covariance_rank(self) -> int | None:
        """The rank that the joint covariance of many steps can have, where it has a limit."""
        return self._chosen.covariance_rank if isinstance(self._chosen, Ensemble) else None

    # ------------------------------------------------------------ fitting

    def doubt(self) -> None:
        """Compare at the next fit, however little is recorded until then."""
        self._doubted = True

    def fit(self, transitions: Transitions, rng: np.random.Generator) -> FitReport:
        """Choose a kind of model if it is time to, and fit it to all transitions.

        Raises:
            ModelError: it cannot be fitted.
        """
        details = {}
        if self._doubted or len(transitions) >= GROWTH * self._compared:
            details = self._compare(transitions, rng)
        report = self._chosen.fit(transitions, rng)
        self._doubted = False
        chosen = {f"chosen_{self._kind}": 1.0}
        return FitReport(report.loss, {**report.details, **details, **chosen})

    def _compare(self, transitions: Transitions, rng: np.random.Generator) -> dict[str, float]:
        """Choose, and return the mean negative log predictive density of each kind, nats."""
        rollouts = np.unique(transitions.rollouts)
        if len(rollouts) < 2:
            return {}
        asked = rng.permutation(rollouts)[: max(1, len(rollouts) // SHARE)]
        asked_about = np.isin(transitions.rollouts, asked)
        scores = {}
        for kind in MODELS:
            model = self._new(kind)
            try:
                model.fit(transitions.of_rollouts(~asked_about), rng)
            except ModelError:
                continue
            scores[kind] = _score(model, self._task, transitions.of_rollouts(asked_about))
        best = min(scores, key=lambda kind: scores[kind], default=self._kind)
        if best != self._kind:
            self._kind = best
            self._chosen = self._new(best)
        self._compared = len(transitions)
        return {f"nlpd_{kind}": score for kind, score in scores.items()}

    # ------------------------------------------------------------ prediction

    def predict(
        self, observations: Float[Tensor, "*batch O"], actions: Float[Tensor, "*batch A"]
    ) -> Prediction:
        """Return the chosen model's belief at observations and actions."""
        return self._chosen.predict(observations, actions)

    def mixture(
        self, observations: Float[Tensor, "*batch O"], actions: Float[Tensor, "*batch A"]
    ) -> tuple[Float[Tensor, "E *batch O"], Float[Tensor, "E *batch O"]]:
        """Return the next observation and the noise variance of each of its members."""
        return self._chosen.mixture(observations, actions)

    def covariance(
        self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "D *batch a b"]:
        """Return its posterior covariance between two batches of steps, in noise variances."""
        return self._chosen.covariance(first, second)

    def step(
        self,
        observations: Float[Tensor, "G P O"],
        actions: Float[Tensor, "G P A"],
        members: Int[Tensor, "G"],
    ) -> tuple[Float[Tensor, "G P O"], Float[Tensor, "G P"] | None]:
        """Advance every group in its own member, or in the mean."""
        return self._chosen.step(observations, actions, members)

    # ------------------------------------------------------------ saving

    def state_dict(self) -> dict[str, Tensor]:
        """Return the chosen model's state, its kind, and what was recorded when it was chosen."""
        state = {f"{self._kind}.{key}": x for key, x in self._chosen.state_dict().items()}
        return state and {**state, "compared": torch.tensor([self._compared])}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up a saved state; predictions are then exactly the saved model's.

        Raises:
            ModelError: the state is of another model.
        """
        kinds = {key.split(".")[0] for key in state if key != "compared"}
        if "compared" not in state or len(kinds) != 1 or not kinds <= MODELS.keys():
            raise ModelError("auto: the saved state is of another model, or another version's")
        (kind,) = kinds
        chosen = self._chosen if kind == self._kind else self._new(kind)
        of_kind = {key: value for key, value in state.items() if key != "compared"}
        chosen.load_state_dict({key.removeprefix(f"{kind}."): x for key, x in of_kind.items()})
        self._kind = kind
        self._chosen = chosen
        self._compared = int(state["compared"])


@torch.no_grad()
def _score(model: GaussianProcess | Ensemble, task: Task, steps: Transitions) -> float:
    """Return the mean negative log predictive density of some steps, nats a channel."""
    observations, actions = torch.as_tensor(steps.observations), torch.as_tensor(steps.actions)
    prediction = model.predict(observations, actions)
    return float(surprise(FeatureMap.of(task), prediction, steps.next_observations, MOST).mean())
