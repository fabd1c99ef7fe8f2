"""Probabilistic ensemble: E networks on the change of the observation, for large data and GPUs.

Members hold out different rollouts for early stopping, so that the ensemble as a whole learns
from every rollout (PETS, with cross-validation in place of its bootstrap). Every fit starts from
new weights: it depends on the data and the generator alone, not on earlier fits.

The empirical covariance of E members has rank E - 1 only. What one step tells about another comes
from the last layer instead (Laplace approximation; Daxberger et al. 2021, "Laplace redux"). The
last hidden activations of *all* members and a 1 are projected at random to F features phi, which
keeps the members' mean kernel (Holzmueller et al. 2023, "A framework and benchmark for deep batch
active learning for regression"), scaled so that phi' phi is 1 on average over the data. With the
noise variance s_d^2 in units of the variance of output d, the posterior of the weights gives

    Sigma_d = (I + Phi' Phi / s_d^2)^-1,    cov_d(a, b) = phi_a' Sigma_d phi_b / s_d^2.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from robo_al.config.ranges import Count, NonNegative, Width
from robo_al.errors import ConfigError, ModelError
from robo_al.models.ends import LearnedEnds, learn_ends
from robo_al.models.feature_map import FeatureMap
from robo_al.models.formulas import RewardFormula, earned, learn_formula, standardised
from robo_al.models.networks import (
    FLOAT,
    Weights,
    activations,
    moments,
    negative_log_likelihood,
    new_weights,
)
from robo_al.models.playing import Player
from robo_al.models.resident import Resident
from robo_al.models.training import Training, train
from robo_al.seeds import integer
from robo_al.types import FitReport, Prediction, Task, TerminationFunction, Transitions

NOISE_FLOOR = 1e-6
"""Smallest noise variance of a standardised output."""
KNOWN = 1e12
"""Noise variance, as far as information goes, of an output of which nothing is left to learn."""
FOLDS = 5
"""Groups of rollouts of which each member holds out one."""


class Ensemble:
    """Probabilistic networks with last-layer joint information (module's docstring).

    Args:
        task: what is to be predicted.
        device: `cpu` or `cuda`.
        members: E, networks.
        hidden: units of a hidden layer, and F, features of the joint covariance.
        layers: hidden layers.
        max_steps: gradient steps at most; early stopping may end sooner.
        batch_size: transitions of one gradient step, for each member its own.
        learning_rate: of AdamW.
        weight_decay: of AdamW.

    Raises:
        ConfigError: a size below 1, or a rate below 0.
    """

    def __init__(
        self,
        task: Task,
        device: str = "cpu",
        members: Width = 5,
        hidden: Width = 128,
        layers: Width = 3,
        max_steps: Count = 2000,
        batch_size: Count = 256,
        learning_rate: NonNegative = 2e-3,
        weight_decay: NonNegative = 1e-2,
    ) -> None:
        sizes = {"members": members, "hidden": hidden, "layers": layers}
        sizes |= {"max_steps": max_steps, "batch_size": batch_size}
        wrong = [f"{name} is {value}, below 1" for name, value in sizes.items() if value < 1]
        rates = {"learning_rate": learning_rate, "weight_decay": weight_decay}
        wrong += [f"{name} is {value}, below 0" for name, value in rates.items() if value < 0]
        if wrong:
            raise ConfigError(f"ensemble: {'; '.join(wrong)}")
        self.inputs = FeatureMap.of(task)
        self.device = torch.device(device)
        self.training = Training(max_steps, batch_size, learning_rate, weight_decay)
        self.widths = (self.inputs.size, *[hidden] * layers, 2 * self.inputs.outputs)
        self._members = members
        self._recorded = Resident(self.device)
        self._state: dict[str, Tensor] = {}
        self._player: Player | None = None
        self._ends = task.termination
        self._formula: RewardFormula | None = None
        self.termination: TerminationFunction | None = None
        """When rollouts end by themselves, if that had to be learned and some did."""

    @property
    def members(self) -> int:
        """E, the number of networks."""
        return self._members

    @property
    def covariance_rank(self) -> int:
        """F, the rank that the joint covariance of many steps can have."""
        return self.widths[1]

    # ------------------------------------------------------------ fitting

    def fit(self, transitions: Transitions, rng: np.random.Generator) -> FitReport:
        """Train new networks on all transitions.

        Raises:
            ModelError: fewer than 2 transitions, values that are not finite, or divergence.
        """
        steps = self._recorded(transitions)
        x, y = self.inputs.training_data(steps)
        formula = learn_formula(self.inputs, steps)
        draw = torch.Generator().manual_seed(integer(rng))
        y, scales = standardised(self.inputs, formula, steps, y)
        scales |= {"x_mean": x.mean(0), "x_scale": self.inputs.scale(x)}
        x = (x - scales["x_mean"]) / scales["x_scale"]
        y = y.to(FLOAT)
        held_out = _held_out(steps.rollouts, self._members)
        start = new_weights(self._members, self.widths, draw)
        start = {key: value.to(self.device) for key, value in start.items()}
        weights, details = train(start, x.to(FLOAT), y, held_out, self.training, draw)
        mean, log_variance = moments(weights, x.to(FLOAT).expand(self._members, -1, -1))
        loss = float(
            negative_log_likelihood(mean, log_variance, y.expand_as(mean))[~held_out].mean()
        )
        noise = log_variance.double().exp().mean((0, 1)) + NOISE_FLOOR
        noise = torch.where((y != 0).any(0), noise, KNOWN)
        posterior = _last_layer(self._hidden(weights, x), noise, self.covariance_rank, draw)
        ends = learn_ends(self.inputs, steps)
        self._take_up(scales | weights | {"noise": noise} | posterior | formula | ends)
        return FitReport(loss=loss, details=details)

    # ------------------------------------------------------------ prediction

    @torch.no_grad()
    def predict(
        self, observations: Float[Tensor, "*batch O"], actions: Float[Tensor, "*batch A"]
    ) -> Prediction:
        """Return the mixture's moments: members disagree (epistemic) and expect noise."""
        x = self._scaled(observations, actions).to(FLOAT)
        flat = x.reshape(-1, x.shape[-1]).expand(self._members, -1, -1)
        mean, log_variance = moments(self._state, flat)
        shape, square = (*x.shape[:-1], self.inputs.outputs), self._state["y_scale"] ** 2
        epistemic = mean.var(0, correction=0) * square
        aleatoric = (log_variance.exp().mean(0) + NOISE_FLOOR) * square
        change = self._change(mean.mean(0)).reshape(shape)
        following, reward = self.inputs.advance(observations, change.to(observations))
        reward = earned(self._formula, observations, actions, following, reward)
        return Prediction(
            mean=following,
            epistemic=self.inputs.scatter(epistemic.reshape(shape).to(observations)),
            aleatoric=self.inputs.scatter(aleatoric.reshape(shape).to(observations), fill=1.0),
            reward=reward,
        )

    @torch.no_grad()
    def mixture(
        self, observations: Float[Tensor, "*batch O"], actions: Float[Tensor, "*batch A"]
    ) -> tuple[Float[Tensor, "E *batch O"], Float[Tensor, "E *batch O"]]:
        """Return each member's mean next observation and its noise variance (float64).

        A wrapped angle is not wrapped here: it is the observation plus its change, so that the
        members' differences are differences of angles. `constant` channels keep their value, with
        variance 1.
        """
        x = self._scaled(observations, actions).to(FLOAT)
        flat = x.reshape(-1, x.shape[-1]).expand(self._members, -1, -1)
        mean, log_variance = moments(self._state, flat)
        outputs = (self._members, *x.shape[:-1], self.inputs.outputs)
        change = self._change(mean).reshape(outputs)
        noise = (log_variance.exp() + NOISE_FLOOR) * self._state["y_scale"] ** 2
        following = observations.to(change) + self.inputs.scatter(change)
        return following, self.inputs.scatter(noise.reshape(outputs), fill=1.0)

    def step(
        self,
        observations: Float[Tensor, "G P O"],
        actions: Float[Tensor, "G P A"],
        members: Int[Tensor, "G"],
    ) -> tuple[Float[Tensor, "G P O"], Float[Tensor, "G P"] | None]:
        """Advance every group by the mean of its own member, or by the mean of all (float32)."""
        if self._player is None:
            raise ModelError("ensemble: predict before fit")
        following, reward = self._player.step(observations, actions, members)
        return following, earned(self._formula, observations, actions, following, reward)

    def features(
        self, observations: Float[Tensor, "*batch O"], actions: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch F"]:
        """Return phi of the module's docstring (float64)."""
        x = self._scaled(observations, actions)
        phi = self._hidden(self._state, x.reshape(-1, x.shape[-1])) @ self._state["projection"]
        return phi.reshape(*x.shape[:-1], -1)

    def feature_posterior(self) -> Float[Tensor, "D F F"]:
        """Return Sigma_d / s_d^2, by which features make a covariance in noise variances."""
        covariance: Tensor = torch.cholesky_inverse(self._state["precision_factor"])
        return covariance / self._state["noise"][:, None, None]

    def covariance(
        self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "D *batch a b"]:
        """Return the last layer's posterior covariance between steps, in noise variances."""
        left = self._whitened(*first)
        right = left if first is second else self._whitened(*second)
        return left.mT @ right

    @torch.no_grad()
    def _whitened(self, observations: Tensor, actions: Tensor) -> Float[Tensor, "D *batch F a"]:
        """Return Sigma_d^1/2' phi / s_d, by which a covariance is a product."""
        phi = self.features(observations, actions)
        flat = phi.reshape(-1, phi.shape[-1]).T / self._state["noise"].sqrt()[:, None, None]
        factor = self._state["precision_factor"]
        rows: Tensor = torch.linalg.solve_triangular(factor, flat, upper=False)
        return rows.mT.reshape(len(rows), *phi.shape).mT

    def _hidden(self, weights: Weights, x: Float[Tensor, "B I"]) -> Float[Tensor, "B H"]:
        """Return all members' last activations and a 1, in float64: covariances need it."""
        weights = {key: value.double() for key, value in weights.items()}
        hidden = activations(weights, x.double().expand(self._members, -1, -1))
        flat = hidden.movedim(0, 1).flatten(1)
        return torch.cat([flat, torch.ones_like(flat[:, :1])], dim=1)

    def _scaled(self, observations: Tensor, actions: Tensor) -> Tensor:
        if not self._state:
            raise ModelError("ensemble: predict before fit")
        place = (self.device, torch.float64)
        x = self.inputs.features(observations.to(*place), actions.to(*place))
        return (x - self._state["x_mean"]) / self._state["x_scale"]

    def _change(self, outputs: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        return outputs * self._state["y_scale"] + self._state["y_mean"]

    # ------------------------------------------------------------ saving

    def state_dict(self) -> dict[str, Tensor]:
        """Return weights, normalisers and the posterior of the last layer."""
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up a saved state; predictions are then exactly the saved model's.

        Raises:
            ModelError: the state is of an ensemble of another size.
        """
        expected = new_weights(self._members, self.widths, torch.Generator())
        for key, value in expected.items():
            if key not in state or state[key].shape != value.shape:
                found = tuple(state[key].shape) if key in state else "missing"
                raise ModelError(
                    f"ensemble: the saved {key} is {found} and not {tuple(value.shape)}: it was "
                    "saved with other members, hidden or layers, or for another task"
                )
        self._take_up({key: value.to(self.device) for key, value in state.items()})

    def _take_up(self, state: dict[str, Tensor]) -> None:
        self._state, self._player = state, Player.of(self.inputs, state)
        self.termination = LearnedEnds.of(self.inputs, state)
        self._formula = RewardFormula.of(self.inputs, state, self._ends or self.termination)


def _held_out(rollouts: Int[Tensor, "B"], members: int) -> Bool[Tensor, "E B"]:
    """Return what each member holds out: one fold of the rollouts, or the end of the only one."""
    found, index = torch.unique(rollouts, return_inverse=True)
    size = len(rollouts)
    if len(found) == 1:
        row = torch.arange(size, device=rollouts.device)
        return (row >= size - max(1, size // FOLDS)).expand(members, -1)
    folds = min(FOLDS, len(found))
    own = torch.arange(members, device=rollouts.device)[:, None] % folds
    held_out: Tensor = index % folds == own
    return held_out


def _last_layer(
    hidden: Float[Tensor, "B H"], noise: Float[Tensor, "D"], rank: int, draw: torch.Generator
) -> dict[str, Tensor]:
    """Return the posterior of the last layer (module's docstring); draws a projection to F."""
    shape = (hidden.shape[-1], rank)
    projection = torch.randn(shape, generator=draw, dtype=torch.float64).to(hidden.device)
    projection /= (hidden @ projection).square().sum(-1).mean().sqrt()
    phi = hidden @ projection
    identity = torch.eye(rank, dtype=torch.float64, device=hidden.device)
    factor = torch.linalg.cholesky(identity + phi.T @ phi / noise[:, None, None])
    return {"projection": projection, "precision_factor": factor}
