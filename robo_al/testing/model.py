"""A model whose every answer can be checked by hand."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from robo_al.types import FitReport, Prediction, Task, TerminationFunction, Transitions

if TYPE_CHECKING:
    import torch


NOTHING: "Mapping[str, torch.Tensor]" = MappingProxyType({})


class FakeModel:
    """Bayesian linear regression of the change on the usual features; exact in every respect.

    With features phi [F] (and a 1), noise variance s^2 and the prior N(0, s^2 I) on the weights,
    the epistemic covariance in units of the noise is phi_1' (I + Phi' Phi)^-1 phi_2 (Bishop, PRML,
    eq. 3.58-3.59); member e is a sample of the weights. Ends are learned like any model's of ours.
    """

    def __init__(
        self, task: Task, device: str = "cpu", members: int = 3, noise: float = 0.01
    ) -> None:
        import torch

        from robo_al.models.feature_map import FeatureMap

        self.task, self.noise, self._members = task, noise, members
        self._inputs = FeatureMap.of(task)
        features = self._inputs.size + 1
        generator = torch.Generator().manual_seed(0)
        self._draws = torch.randn(
            members, features, self._inputs.outputs, generator=generator, dtype=torch.float64
        ).to(device)
        self._set(torch.eye(features, dtype=torch.float64, device=device), None)

    def _set(
        self,
        covariance: "torch.Tensor",
        mean: "torch.Tensor | None",
        ends: "Mapping[str, torch.Tensor]" = NOTHING,
    ) -> None:
        import torch

        from robo_al.models.ends import LearnedEnds

        self._ends = dict(ends)
        self.termination: TerminationFunction | None = LearnedEnds.of(self._inputs, ends)
        self._covariance = covariance
        self._mean = torch.zeros_like(self._draws[0]) if mean is None else mean
        factor = torch.linalg.cholesky(covariance)
        self._samples = self._mean + self.noise**0.5 * (factor @ self._draws)

    @property
    def members(self) -> int:
        """E, samples of the weights."""
        return self._members

    def fit(self, transitions: Transitions, rng: np.random.Generator) -> FitReport:
        """Condition on all transitions; refuses none or any that are not finite."""
        import torch

        from robo_al.models.ends import learn_ends
        from robo_al.models.resident import Resident

        assert isinstance(rng, np.random.Generator) and len(transitions) > 0
        arrays = (
            transitions.observations,
            transitions.actions,
            transitions.next_observations,
            transitions.rewards,
        )
        assert all(np.isfinite(a).all() and len(a) == len(transitions) for a in arrays)
        o, a, after, rewards = (torch.as_tensor(x).to(self._draws) for x in arrays)
        phi, targets = self._features(o, a), self._inputs.targets(o, after, rewards)
        precision = torch.eye(phi.shape[-1]).to(phi) + phi.T @ phi
        covariance = torch.linalg.inv(precision)
        ends = learn_ends(self._inputs, Resident(self._draws.device)(transitions))
        self._set((covariance + covariance.T) / 2, covariance @ phi.T @ targets, ends)
        residual = targets - phi @ self._mean
        return FitReport(float((residual**2).mean() / (2 * self.noise)))

    def predict(self, observations: "torch.Tensor", actions: "torch.Tensor") -> Prediction:
        """Return the belief at observations [...,O] and actions [...,A]."""
        import torch

        phi = self._features(observations, actions)
        mean, reward = self._inputs.advance(observations, phi @ self._mean.to(phi))
        variance = self.noise * ((phi @ self._covariance.to(phi)) * phi).sum(-1, keepdim=True)
        outputs = variance.expand(*variance.shape[:-1], self._inputs.outputs)
        return Prediction(
            mean, self._inputs.scatter(outputs), torch.full_like(mean, self.noise), reward
        )

    def mixture(
        self, observations: "torch.Tensor", actions: "torch.Tensor"
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return each sample's next observation [E,...,O], and the noise as its variance."""
        import torch

        phi = self._features(observations, actions)
        change = torch.stack([phi @ weights.to(phi) for weights in self._samples])
        noise = self._inputs.scatter(torch.full_like(change, self.noise), fill=1.0)
        return observations + self._inputs.scatter(change), noise

    def step(
        self, observations: "torch.Tensor", actions: "torch.Tensor", members: "torch.Tensor"
    ) -> "tuple[torch.Tensor, torch.Tensor | None]":
        """Advance [G,P,O] by [G,P,A], group g in member `members[g]` (or `MEAN`)."""
        import torch

        assert observations.ndim == 3 and members.shape == observations.shape[:1]
        weights = torch.cat([self._samples, self._mean[None]])[members]  # MEAN = -1 is the last
        phi = self._features(observations, actions)
        return self._inputs.advance(observations, phi @ weights.to(phi))

    def covariance(
        self,
        first: "tuple[torch.Tensor, torch.Tensor]",
        second: "tuple[torch.Tensor, torch.Tensor]",
    ) -> "torch.Tensor":
        """Return [D,...,a,b], in units of the noise variance."""
        one, two = self._features(*first), self._features(*second)
        block = one @ self._covariance.to(one) @ two.transpose(-1, -2)
        return block.expand(self._inputs.outputs, *block.shape)

    def state_dict(self) -> "dict[str, torch.Tensor]":
        """Return the posterior."""
        return {"covariance": self._covariance, "mean": self._mean, **self._ends}

    def load_state_dict(self, state: "Mapping[str, torch.Tensor]") -> None:
        """Take up a saved posterior."""
        rest = {key: value for key, value in state.items() if key not in ("covariance", "mean")}
        self._set(state["covariance"], state["mean"], rest)

    def _features(self, observations: "torch.Tensor", actions: "torch.Tensor") -> "torch.Tensor":
        import torch

        sizes = (len(self.task.channels), len(self.task.action_low))
        assert (observations.shape[-1], actions.shape[-1]) == sizes
        assert observations.shape[:-1] == actions.shape[:-1]
        phi = self._inputs.features(observations, actions)
        return torch.cat([phi, torch.ones_like(phi[..., :1])], dim=-1)
