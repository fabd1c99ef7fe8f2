"""Gaussian process dynamics: one exact process per output, for a lab's first hundreds of steps.

Each output is the change of one channel, or what the formula of a reward that is not known leaves
over (`formulas`). Its kernel is an ARD squared exponential plus an ARD linear one, so that what is
linear in the inputs is learned from a handful of steps:

    k(x, x') = s^2 exp(-1/2 sum_i (x_i - x'_i)^2 / l_i^2) + sum_i v_i x_i x'_i

Hyper-parameters are fitted from scratch by GPyTorch (maximum a posteriori, priors below). Beyond
`max_points` steps the posterior keeps inducing points chosen by pivoted Cholesky (deterministic
training conditional; Quinonero-Candela & Rasmussen 2005): no step is thrown away, but the cost of
a prediction stops growing. Posterior *function* samples are pathwise: a prior sample in random
Fourier features plus the update of the data (Wilson et al. 2020, "Efficiently sampling functions
from Gaussian process posteriors"), so that a whole rollout is played in one consistent function.

Steps that no smooth function explains (contacts, end stops) are found by their leave-one-out
residuals and given that much noise, so that a jump in one place spoils nothing elsewhere.

Predictions for planning run in float32; fitting and covariances in float64.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from robo_al.config.ranges import Width
from robo_al.errors import ModelError
from robo_al.models.ends import LearnedEnds, learn_ends
from robo_al.models.feature_map import FeatureMap
from robo_al.models.formulas import RewardFormula, earned, learn_formula, standardised
from robo_al.models.gp_fit import fit_robustly
from robo_al.models.gp_posterior import condition, kernel, planning_tensors, spread
from robo_al.models.resident import Resident
from robo_al.seeds import integer
from robo_al.types import FitReport, Prediction, Task, TerminationFunction, Transitions

FLOAT = torch.float64
BLOCK = 2**22
"""Similarities that a CPU computes at a time: more would be 32 MiB of fresh memory in each step."""
SMALLEST_EXPONENT = -80.0
"""e^-80 is nothing beside what is near; where exp underflows it takes ten times as long."""


class GaussianProcess:
    """Independent Gaussian processes on the change of the observation (module's docstring).

    Args:
        task: what is to be predicted.
        device: `cpu` or `cuda`.
        samples: E, posterior functions drawn after each fit.
        frequencies: random Fourier features of a posterior function.
        max_points: steps beyond which inducing points are used.
        fit_steps: L-BFGS iterations on the hyper-parameters, starting from the last values.
            Each of these four is at least 1, and 10000 at most.
    """

    def __init__(
        self,
        task: Task,
        device: str = "cpu",
        samples: Width = 16,
        frequencies: Width = 128,
        max_points: Width = 300,
        fit_steps: Width = 60,
    ) -> None:
        self.inputs = FeatureMap.of(task)
        self.device = torch.device(device)
        self.samples = samples
        self.frequencies = frequencies
        self.max_points = max_points
        self.fit_steps = fit_steps
        self._recorded = Resident(self.device)
        self._state: dict[str, Tensor] = {}
        self._plan: dict[str, Tensor] = {}
        self._ends = task.termination
        self._formula: RewardFormula | None = None
        self.termination: TerminationFunction | None = None
        """When rollouts end by themselves, if that had to be learned and some did."""

    @property
    def members(self) -> int:
        """E, the number of posterior function samples."""
        return self.samples

    # ------------------------------------------------------------ fitting

    def fit(self, transitions: Transitions, rng: np.random.Generator) -> FitReport:
        """Fit hyper-parameters and condition on all transitions.

        Raises:
            ModelError: no transitions, or values that are not finite.
        """
        steps = self._recorded(transitions)
        x, y = self.inputs.training_data(steps)
        formula = learn_formula(self.inputs, steps)
        y, scales = standardised(self.inputs, formula, steps, y)
        state = scales | {"x_mean": x.mean(0), "x_scale": self.inputs.scale(x)}
        x = (x - state["x_mean"]) / state["x_scale"]
        y = y.T.contiguous()
        chosen = spread(x, self.max_points)
        hyper, extra, loss = fit_robustly(x, y, chosen, self._state, self.fit_steps)
        noise = hyper["noise"][:, None] + extra
        state |= hyper
        state |= condition(x, y, noise, x[chosen], hyper)
        state |= self._draw_functions(x, y, noise, state, rng)
        state |= formula | learn_ends(self.inputs, steps)
        if not all(bool(torch.isfinite(value).all()) for value in state.values()):
            raise ModelError("Gaussian process: the fit is not finite; look at the recorded data")
        self.load_state_dict(state)
        details = {
            "points": float(len(chosen)),
            "noise": float(hyper["noise"].mean()),
            "outliers": float((extra > 0).any(0).sum()),
        }
        return FitReport(loss=loss, details=details)

    def _draw_functions(
        self,
        x: Float[Tensor, "n I"],
        y: Float[Tensor, "D n"],
        noise: Float[Tensor, "D n"],
        state: Mapping[str, Tensor],
        rng: np.random.Generator,
    ) -> dict[str, Tensor]:
        """Draw E posterior functions: weights on features, on inputs and on points."""
        draw = torch.Generator().manual_seed(integer(rng))
        outputs, size = state["length_scale"].shape
        shape = (outputs, self.frequencies)

        def normal(*sizes: int) -> Tensor:
            return torch.randn(*sizes, generator=draw, dtype=FLOAT).to(self.device)

        frequency = normal(*shape, size) / state["length_scale"][:, None]
        phase = 2 * math.pi * torch.rand(shape, generator=draw, dtype=FLOAT).to(self.device)
        amplitude = (2 * state["output_scale"] / self.frequencies).sqrt()[:, None, None]
        weight = amplitude * normal(outputs, self.samples, self.frequencies)
        slope = state["linear"].sqrt()[:, None] * normal(outputs, self.samples, size)
        waves = torch.cos(x @ frequency.mT + phase[:, None])
        prior = weight @ waves.mT + slope @ x.T  # [D, E, n]
        disturbance = noise.sqrt()[:, None] * normal(outputs, self.samples, len(x))
        residual = y[:, None] - prior - disturbance
        point_weight = torch.einsum("dmn,den->dem", state["gather"], residual)
        return {
            "frequency": frequency,
            "phase": phase,
            "weight": weight,
            "slope": slope + state["linear"][:, None] * (point_weight @ state["points"]),
            "point_weight": point_weight,
        }

    # ------------------------------------------------------------ prediction

    def predict(
        self, observations: Float[Tensor, "*batch O"], actions: Float[Tensor, "*batch A"]
    ) -> Prediction:
        """Return the posterior's moments at observations and actions (float64)."""
        x = self._scaled(observations, actions)
        flat = x.reshape(-1, x.shape[-1])
        state = self._fitted()
        cross = kernel(flat, state["points"], state)
        mean = torch.einsum("dpm,dm->pd", cross, state["mean_weight"])
        mean = mean * state["y_scale"] + state["y_mean"]
        prior = state["output_scale"][:, None] + state["linear"] @ (flat**2).T
        explained = (cross @ state["root"].mT).square().sum(-1)
        variance = (prior - explained).clamp_min(1e-12 * prior).T * state["y_scale"] ** 2
        noise = (state["noise"] * state["y_scale"] ** 2).expand_as(variance)
        outputs = (*x.shape[:-1], self.inputs.outputs)
        before, sent = observations.to(mean), actions.to(mean)
        following, reward = self.inputs.advance(before, mean.reshape(outputs))
        return Prediction(
            mean=following,
            epistemic=self.inputs.scatter(variance.reshape(outputs)),
            aleatoric=self.inputs.scatter(noise.reshape(outputs), fill=1.0),
            reward=earned(self._formula, before, sent, following, reward),
        )

    def mixture(
        self, observations: Float[Tensor, "*batch O"], actions: Float[Tensor, "*batch A"]
    ) -> tuple[Float[Tensor, "E *batch O"], Float[Tensor, "E *batch O"]]:
        """Return each posterior function's next observation and the noise variance (float64).

        A wrapped angle is not wrapped here: it is the observation plus its change, so that the
        functions' differences are differences of angles. `constant` channels keep their value,
        with variance 1.
        """
        state = self._fitted()
        x = self._scaled(observations, actions)
        flat = x.reshape(-1, x.shape[-1])
        smooth = state | {"linear": torch.zeros_like(state["linear"])}  # `slope` has that part
        values = kernel(flat, state["points"], smooth) @ state["point_weight"].mT
        waves = torch.cos(flat @ state["frequency"].mT + state["phase"][:, None])
        values = values + waves @ state["weight"].mT + flat @ state["slope"].mT  # [D, P, E]
        outputs = (self.samples, *x.shape[:-1], self.inputs.outputs)
        change = values.permute(2, 1, 0) * state["y_scale"] + state["y_mean"]
        noise = (state["noise"] * state["y_scale"] ** 2).expand(outputs)
        mean = observations.to(change) + self.inputs.scatter(change.reshape(outputs))
        return mean, self.inputs.scatter(noise, fill=1.0)

    def covariance(
        self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "D *batch a b"]:
        """Return the posterior covariance between two batches of steps, in noise variances."""
        state = self._fitted()
        a, b = self._scaled(*first), self._scaled(*second)
        prior = kernel(a, b, state)
        left, right = kernel(a, state["points"], state), kernel(b, state["points"], state)
        root = state["root"].mT
        # as a batch the root would be copied
        left = (left.flatten(1, -2) @ root).reshape(left.shape)
        right = left if first is second else (right.flatten(1, -2) @ root).reshape(right.shape)
        explained = left @ right.mT
        noise = state["noise"].reshape(-1, *[1] * a.ndim)
        return (prior - explained) / noise

    def step(
        self,
        observations: Float[Tensor, "G P O"],
        actions: Float[Tensor, "G P A"],
        members: Int[Tensor, "G"],
    ) -> tuple[Float[Tensor, "G P O"], Float[Tensor, "G P"] | None]:
        """Advance every group in its own posterior function, or in the mean (float32)."""
        plan = self._plan
        if not plan:
            raise ModelError("Gaussian process: predict before fit")
        observations = observations.to(torch.float32)
        x = self.inputs.features(observations, actions.to(torch.float32))
        x = (x - plan["x_mean"]) / plan["x_scale"]
        outputs, _, points = plan["similarity"].shape
        groups = max(1, BLOCK // (outputs * points * x.shape[1]))
        if x.is_cuda or groups >= len(x):
            values = self._values(x, members)
        else:
            blocks = zip(torch.split(x, groups), torch.split(members, groups), strict=True)
            values = torch.cat([self._values(*block) for block in blocks])
        change = values * plan["y_scale"] + plan["y_mean"]
        following, reward = self.inputs.advance(observations, change)
        return following, earned(self._formula, observations, actions, following, reward)

    def _values(
        self, x: Float[Tensor, "G P I"], members: Int[Tensor, "G"]
    ) -> Float[Tensor, "G P D"]:
        """Return the standardised change of scaled inputs, each group's in its own function."""
        plan, (groups, points, _) = self._plan, x.shape
        outputs = len(plan["similarity"])
        flat = x.flatten(0, 1)
        lifted = torch.cat([flat, flat * flat, torch.ones_like(flat[:, :1])], dim=1)
        lifted = lifted.expand(outputs, -1, -1)
        chosen = members.clamp_min(-1) + 1  # row 0 of the weights is the mean

        def weighed(features: Tensor, weights: Tensor) -> Tensor:
            weight = weights[:, chosen].flatten(0, 1)[..., None]
            product = torch.bmm(features.reshape(outputs * groups, points, -1), weight)
            return product.reshape(outputs, groups, points)

        exponent = torch.bmm(lifted, plan["similarity"])
        similar = exponent.clamp_min_(SMALLEST_EXPONENT).exp_()
        slope = plan["slope"][:, chosen][..., None]
        values = weighed(similar, plan["point_weight"]) + (x @ slope)[..., 0]
        if bool((members >= 0).any()):
            waves = torch.bmm(lifted, plan["frequency"]).cos_()
            values = values + weighed(waves, plan["weight"])
        return values.permute(1, 2, 0)

    def _scaled(self, observations: Tensor, actions: Tensor) -> Tensor:
        state = self._fitted()
        x = self.inputs.features(
            observations.to(self.device, FLOAT), actions.to(self.device, FLOAT)
        )
        return (x - state["x_mean"]) / state["x_scale"]

    def _fitted(self) -> dict[str, Tensor]:
        if not self._state:
            raise ModelError("Gaussian process: predict before fit")
        return self._state

    # ------------------------------------------------------------ saving

    def state_dict(self) -> dict[str, Tensor]:
        """Return hyper-parameters, points and posterior functions."""
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up a saved state; predictions are then exactly the saved model's.

        Raises:
            ModelError: the state is of another version of this model.
        """
        if missing := sorted({"root", "y_mean"} - set(state)):
            raise ModelError(
                f"Gaussian process: the saved state has no {missing[0]}: another version saved it; "
                "fit the model again from the data"
            )
        self._state = {key: value.to(self.device, FLOAT) for key, value in state.items()}
        self._plan = planning_tensors(self._state)
        self.termination = LearnedEnds.of(self.inputs, self._state)
        self._formula = RewardFormula.of(self.inputs, self._state, self._ends or self.termination)
