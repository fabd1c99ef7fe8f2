"""Probabilistic ensemble: E networks on the change of the observation, for large data and GPUs.

Members hold out different rollouts for early stopping, so that the ensemble as a whole learns
from every rollout (PETS, with cross-validation in place of its bootstrap). Every fit starts from
new weights: it depends on the data and the generator alone, not on earlier fits.

The empirical covariance of E members has rank E - 1 only. What one step tells about another comes
from the last layer instead (`robo_al.models.last_layer`).
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from robo_al.config.ranges import Count, NonNegative, Width
from robo_al.errors import ConfigError, ModelError
from robo_al.models.ends import LearnedEnds, learn_ends
from robo_al.models.feature_map import FeatureMap
from robo_al.models.formulas import RewardFormula, earned, learn_formula, standardised
from robo_al.models.last_layer import KNOWN, NOISE_FLOOR, LastLayer, held_out_by
from robo_al.models.networks import FLOAT, moments, negative_log_likelihood, new_weights
from robo_al.models.playing import Player
from robo_al.models.resident import Resident
from robo_al.models.training import Training, train
from robo_al.seeds import integer
from robo_al.types import FitReport, Prediction, Task, TerminationFunction, Transitions


class Ensemble:
    """Probabilistic networks with last-layer joint information.

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
        held_out = held_out_by(steps.rollouts, self._members)
        start = new_weights(self._members, self.widths, draw)
        start = {key: value.to(self.device) for key, value in start.items()}
        weights, details = train(start, x.to(FLOAT), y, held_out, self.training, draw)
        mean, log_variance = moments(weights, x.to(FLOAT).expand(self._members, -1, -1))
        loss = float(
            negative_log_likelihood(mean, log_variance, y.expand_as(mean))[~held_out].mean()
        )
        noise = log_variance.double().exp().mean((0, 1)) + NOISE_FLOOR
        noise = torch.where((y != 0).any(0), noise, KNOWN)
        posterior = LastLayer.of(weights, x, noise, self.covariance_rank, draw).state
        ends = learn_ends(self.inputs, steps)
        self._take_up(scales | weights | posterior | formula | ends)
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
        """Return phi of `robo_al.models.last_layer` (float64)."""
        return LastLayer(self._state).features(self._scaled(observations, actions))

    def feature_posterior(self) -> Float[Tensor, "D F F"]:
        """Return Sigma_d / s_d^2, by which features make a covariance in noise variances."""
        return LastLayer(self._state).posterior()

    def covariance(
        self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "D *batch a b"]:
        """Return the last layer's posterior covariance between steps, in noise variances."""
        last = LastLayer(self._state)
        left = last.whitened(self._scaled(*first))
        right = left if first is second else last.whitened(self._scaled(*second))
        return left.mT @ right

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
