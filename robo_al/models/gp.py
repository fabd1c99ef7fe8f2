"""Gaussian process dynamics: one exact process per output, for a lab's first hundreds of steps.

Each output is the change of one channel. Its kernel is an ARD squared exponential plus an ARD
linear one, so that what is linear in the inputs is learned from a handful of steps:

    k(x, x') = s^2 exp(-1/2 sum_i (x_i - x'_i)^2 / l_i^2) + sum_i v_i x_i x'_i

Hyper-parameters are fitted from scratch by GPyTorch (maximum a posteriori, priors below). Beyond
`max_points` steps the posterior keeps inducing points chosen by pivoted Cholesky (deterministic
training conditional; Quinonero-Candela & Rasmussen 2005): no step is thrown away, but the cost of
a prediction stops growing. Posterior *function* samples are pathwise: a prior sample in random
Fourier features plus the update of the data (Wilson et al. 2020, "Efficiently sampling functions
from Gaussian process posteriors"), so that a whole rollout is played in one consistent function.

Predictions for planning run in float32; fitting and covariances in float64.
"""

import math
import warnings
from collections.abc import Mapping

import gpytorch
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from robo_al.errors import ModelError
from robo_al.models.inputs import Inputs
from robo_al.seeds import integer
from robo_al.types import FitReport, Prediction, Task, Transitions

FLOAT = torch.float64
NOISE_FLOOR = 1e-5
"""Smallest noise variance of a standardised output: what keeps float32 planning accurate."""


class GaussianProcess:
    """Independent Gaussian processes on the change of the observation (module's docstring).

    Args:
        task: what is to be predicted.
        device: `cpu` or `cuda`.
        samples: E, posterior functions drawn after each fit.
        frequencies: random Fourier features of a posterior function.
        max_points: steps beyond which inducing points are used.
        fit_steps: L-BFGS iterations on the hyper-parameters, starting from the last values.
    """

    def __init__(
        self,
        task: Task,
        device: str = "cpu",
        samples: int = 16,
        frequencies: int = 128,
        max_points: int = 300,
        fit_steps: int = 60,
    ) -> None:
        self.inputs = Inputs.of(task)
        self.device = torch.device(device)
        self.samples = samples
        self.frequencies = frequencies
        self.max_points = max_points
        self.fit_steps = fit_steps
        self._state: dict[str, Tensor] = {}
        self._plan: dict[str, Tensor] = {}

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
        x, y = self._training_data(transitions)
        state = {
            "x_mean": x.mean(0),
            "x_scale": x.std(0, correction=0).clamp_min(1e-2),
            "y_scale": y.std(0, correction=0).clamp_min(1e-8),
        }
        x = (x - state["x_mean"]) / state["x_scale"]
        y = (y / state["y_scale"]).T.contiguous()
        hyper = {key: self._state[key] for key in _HYPERPARAMETERS if key in self._state}
        chosen = _spread(x, self.max_points)
        hyper, loss = _fit_hyperparameters(x[chosen], y[:, chosen], hyper, self.fit_steps)
        state |= hyper
        state |= _condition(x, y, x[chosen], hyper, exact=len(chosen) == len(x))
        state |= self._draw_functions(x, y, state, rng)
        if not all(bool(torch.isfinite(value).all()) for value in state.values()):
            raise ModelError("Gaussian process: the fit is not finite; look at the recorded data")
        self.load_state_dict(state)
        details = {"points": float(len(chosen)), "noise": float(hyper["noise"].mean())}
        return FitReport(loss=loss, details=details)

    def _training_data(self, transitions: Transitions) -> tuple[Tensor, Tensor]:
        if len(transitions) < 2:
            raise ModelError(f"Gaussian process: {len(transitions)} transitions; 2 are needed")
        arrays = (
            transitions.observations,
            transitions.actions,
            transitions.next_observations,
            transitions.rewards,
        )
        observations, actions, following, rewards = (
            torch.as_tensor(array, dtype=FLOAT, device=self.device) for array in arrays
        )
        x = self.inputs.features(observations, actions)
        y = self.inputs.targets(observations, following, rewards)
        if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
            raise ModelError("Gaussian process: the transitions contain NaN or infinite values")
        return x, y

    def _draw_functions(
        self,
        x: Float[Tensor, "n I"],
        y: Float[Tensor, "D n"],
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
        noise = state["noise"].sqrt()[:, None, None] * normal(outputs, self.samples, len(x))
        residual = y[:, None] - prior - noise
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
        cross = _kernel(flat, state["points"], state)
        mean = torch.einsum("dpm,dm->pd", cross, state["mean_weight"]) * state["y_scale"]
        prior = state["output_scale"][:, None] + state["linear"] @ (flat**2).T
        explained = torch.einsum("dpm,dmk,dpk->dp", cross, state["precision"], cross)
        variance = (prior - explained).clamp_min(1e-12 * prior).T * state["y_scale"] ** 2
        noise = (state["noise"] * state["y_scale"] ** 2).expand_as(variance)
        outputs = (*x.shape[:-1], self.inputs.outputs)
        following, reward = self.inputs.advance(observations.to(mean), mean.reshape(outputs))
        return Prediction(
            mean=following,
            epistemic=self.inputs.scatter(variance.reshape(outputs)),
            aleatoric=self.inputs.scatter(noise.reshape(outputs), fill=1.0),
            reward=reward,
        )

    def covariance(
        self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "D *batch a b"]:
        """Return the posterior covariance between two batches of steps, in noise variances."""
        state = self._fitted()
        a, b = self._scaled(*first), self._scaled(*second)
        prior = _kernel(a, b, state)
        left, right = _kernel(a, state["points"], state), _kernel(b, state["points"], state)
        shape = (-1, *[1] * (a.ndim - 2), *state["precision"].shape[1:])
        explained = left @ state["precision"].reshape(shape) @ right.mT
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
        groups, points = observations.shape[:2]
        observations = observations.to(torch.float32)
        x = self.inputs.features(observations, actions.to(torch.float32))
        x = ((x - plan["x_mean"]) / plan["x_scale"]).reshape(groups * points, -1)
        outputs = plan["frequency"].shape[0]
        rows = (outputs * groups, points, -1)
        lifted = torch.cat([x, x * x, torch.ones_like(x[:, :1])], dim=1)
        similar = torch.matmul(lifted, plan["similarity"]).exp_().reshape(rows)
        chosen = members.clamp_min(-1) + 1  # row 0 of the weights is the mean
        value = torch.bmm(similar, plan["point_weight"][:, chosen].reshape(*rows[:1], -1, 1))
        slope = plan["slope"][:, chosen].reshape(outputs, groups, -1, 1)
        value = value.reshape(outputs, groups, points, 1) + x.reshape(groups, points, -1) @ slope
        if bool((members >= 0).any()):
            waves = torch.matmul(lifted, plan["frequency"]).cos_().reshape(rows)
            weight = plan["weight"][:, chosen].reshape(*rows[:1], -1, 1)
            value = value + torch.bmm(waves, weight).reshape(value.shape)
        change = value[..., 0].permute(1, 2, 0) * plan["y_scale"]
        return self.inputs.advance(observations, change)

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
        """Take up a saved state; predictions are then exactly the saved model's."""
        self._state = {key: value.to(self.device, FLOAT) for key, value in state.items()}
        self._plan = _planning_tensors(self._state)


_HYPERPARAMETERS = ("length_scale", "output_scale", "linear", "noise")


def _kernel(a: Tensor, b: Tensor, hyper: Mapping[str, Tensor]) -> Tensor:
    """Return k(a, b) as [D, ..., a, b] for scaled inputs [..., a, I] and [..., b, I]."""
    lead = (-1, *[1] * (a.ndim - 2))
    length = hyper["length_scale"].reshape(*lead, 1, a.shape[-1])
    p, q = a / length, b / length
    squared = (p**2).sum(-1)[..., :, None] + (q**2).sum(-1)[..., None, :] - 2 * p @ q.mT
    smooth = torch.exp(-0.5 * squared.clamp_min(0))
    linear = hyper["linear"].reshape(*lead, 1, a.shape[-1])
    covariance: Tensor = hyper["output_scale"].reshape(*lead, 1, 1) * smooth
    return covariance + (a * linear) @ b.mT


def _condition(
    x: Float[Tensor, "n I"],
    y: Float[Tensor, "D n"],
    points: Float[Tensor, "m I"],
    hyper: Mapping[str, Tensor],
    exact: bool,
) -> dict[str, Tensor]:
    """Condition on the data through m points.

    `gather` [D,m,n] maps residuals of the data to weights on the points, and `precision` [D,m,m]
    is what covariances subtract: cov(a, b) = k(a, b) - k(a, Z) precision k(Z, b).
    """
    noise = hyper["noise"][:, None, None]
    identity = torch.eye(len(points), dtype=FLOAT, device=x.device)
    own = _kernel(points, points, hyper)
    if exact:
        precision = torch.cholesky_inverse(_cholesky(own + noise * identity))
        gather = precision
    else:
        cross = _kernel(points, x, hyper)
        posterior = torch.cholesky_inverse(_cholesky(noise * own + cross @ cross.mT))
        gather = posterior @ cross
        precision = torch.cholesky_inverse(_cholesky(own)) - noise * posterior
    mean_weight = (gather @ y[..., None])[..., 0]
    return {"points": points, "gather": gather, "precision": precision, "mean_weight": mean_weight}


def _cholesky(matrix: Tensor) -> Tensor:
    """Factor a positive definite matrix, with as little jitter as it takes."""
    scale = matrix.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    for jitter in (1e-10, 1e-8, 1e-6, 1e-4):
        factor, failed = torch.linalg.cholesky_ex(matrix + jitter * scale * identity)
        if not bool(failed.any()):
            return factor
    raise ModelError("Gaussian process: the kernel matrix is not positive definite")


def _spread(x: Float[Tensor, "n I"], most: int) -> Tensor:
    """Return indices of at most `most` inputs that cover the rest: pivoted Cholesky.

    The kernel is a unit squared exponential on the standardised inputs, so that the choice does
    not depend on hyper-parameters that are still to be fitted.
    """
    if len(x) <= most:
        return torch.arange(len(x), device=x.device)
    variance = torch.ones(len(x), dtype=x.dtype, device=x.device)
    rows = torch.zeros(most, len(x), dtype=x.dtype, device=x.device)
    chosen = []
    for i in range(most):
        pivot = int(variance.argmax())
        chosen.append(pivot)
        kernel = torch.exp(-0.5 * ((x - x[pivot]) ** 2).sum(-1) / x.shape[-1])
        row = kernel - rows[:i].T @ rows[:i, pivot]
        rows[i] = row / variance[pivot].clamp_min(1e-12).sqrt()
        variance = (variance - rows[i] ** 2).clamp_min(0)
        variance[pivot] = -1.0
    return torch.tensor(sorted(chosen), device=x.device)


class _ExactProcess(gpytorch.models.ExactGP):  # type: ignore[misc]
    """GPyTorch's side of the fit: D independent processes in one batch."""

    def __init__(self, x: Tensor, y: Tensor, likelihood: gpytorch.likelihoods.Likelihood) -> None:
        super().__init__(x, y, likelihood)
        batch, size = torch.Size([y.shape[0]]), x.shape[-1]
        log_normal = gpytorch.priors.LogNormalPrior
        self.mean_module = gpytorch.means.ZeroMean(batch_shape=batch)
        # Prior of the length scales grows with the root of the dimension: Hvarfner et al. 2024.
        length_prior = log_normal(math.sqrt(2) + math.log(size) / 2, math.sqrt(3))
        self.smooth = gpytorch.kernels.ScaleKernel(
            gpytorch.kernels.RBFKernel(
                ard_num_dims=size, batch_shape=batch, lengthscale_prior=length_prior
            ),
            batch_shape=batch,
            outputscale_prior=log_normal(0.0, 1.5),
        )
        self.linear = gpytorch.kernels.LinearKernel(
            ard_num_dims=size, batch_shape=batch, variance_prior=log_normal(-1.0, 2.0)
        )

    def forward(self, x: Tensor) -> gpytorch.distributions.MultivariateNormal:
        covariance = self.smooth(x) + self.linear(x)
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), covariance)


def _fit_hyperparameters(
    x: Float[Tensor, "m I"], y: Float[Tensor, "D m"], start: Mapping[str, Tensor], steps: int
) -> tuple[dict[str, Tensor], float]:
    """Maximise the posterior of the hyper-parameters; return them and the loss."""
    batch = torch.Size([y.shape[0]])
    likelihood = gpytorch.likelihoods.GaussianLikelihood(
        batch_shape=batch,
        noise_prior=gpytorch.priors.LogNormalPrior(-8.0, 3.0),
        noise_constraint=gpytorch.constraints.GreaterThan(NOISE_FLOOR),
    )
    process = _ExactProcess(x.expand(*batch, *x.shape), y, likelihood).to(x)
    base = process.smooth.base_kernel
    if start:
        base.lengthscale = start["length_scale"][:, None]
        process.smooth.outputscale = start["output_scale"]
        process.linear.variance = start["linear"][:, None]
        likelihood.noise = start["noise"][:, None].clamp_min(1.1 * NOISE_FLOOR)
    else:
        base.lengthscale = math.sqrt(x.shape[-1])
        process.linear.variance = 0.3
        likelihood.noise = 1e-2
    loss = _minimise(
        process, gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, process), y, steps
    )
    hyper = {
        "length_scale": base.lengthscale[:, 0],
        "output_scale": process.smooth.outputscale,
        "linear": process.linear.variance[:, 0, 0]
        if process.linear.variance.ndim == 4
        else process.linear.variance[:, 0],
        "noise": likelihood.noise[:, 0],
    }
    return {key: value.detach().clone() for key, value in hyper.items()}, loss / batch[0]


def _minimise(
    process: _ExactProcess,
    objective: gpytorch.mlls.MarginalLogLikelihood,
    y: Float[Tensor, "D m"],
    steps: int,
) -> float:
    """Run L-BFGS on the negative log posterior; on a breakdown return to the best point seen."""
    process.train()
    optimizer = torch.optim.LBFGS(
        process.parameters(), max_iter=steps, history_size=20, line_search_fn="strong_wolfe"
    )
    best: list[tuple[float, dict[str, Tensor]]] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = -objective(process(process.train_inputs[0]), y).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        value = float(loss.detach())
        if math.isfinite(value) and (not best or value < best[0][0]):
            state = {key: value.clone() for key, value in process.state_dict().items()}
            best[:] = [(value, state)]
        return loss

    with warnings.catch_warnings(), gpytorch.settings.fast_computations(False, False, False):
        warnings.simplefilter("ignore", gpytorch.utils.warnings.NumericalWarning)
        try:
            optimizer.step(closure)  # type: ignore[no-untyped-call]
        except (gpytorch.utils.errors.NanError, gpytorch.utils.errors.NotPSDError):
            pass
    if not best:
        raise ModelError("Gaussian process: its likelihood is not finite; look at the data")
    process.load_state_dict(best[0][1])
    return best[0][0]


def _planning_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold the posterior into what one matrix product per step needs.

    With lifted inputs (x, x^2, 1), the exponent of the squared exponential and the argument of
    the random features are linear: `similarity` [D, 2I+1, m] and `frequency` [D, 2I+1, F].
    Row 0 of the weights is the mean, row 1 + e posterior function e.
    """
    inverse = state["length_scale"] ** -2  # [D, I]
    points = state["points"]
    similarity = torch.cat(
        [
            (points * inverse[:, None]).mT,
            (-0.5 * inverse[:, :, None]).expand(-1, -1, len(points)),
            -0.5 * (points**2 @ inverse.T).T[:, None],
        ],
        dim=1,
    )
    frequency = torch.cat(
        [
            state["frequency"].mT,
            torch.zeros_like(state["frequency"].mT),
            state["phase"][:, None],
        ],
        dim=1,
    )
    mean = state["mean_weight"][:, None]
    slope = state["linear"][:, None] * (mean @ points)
    scale = state["output_scale"][:, None, None]
    weight = torch.cat([torch.zeros_like(state["weight"][:, :1]), state["weight"]], dim=1)
    plan = {
        "similarity": similarity,
        "frequency": frequency,
        "point_weight": scale * torch.cat([mean, state["point_weight"]], dim=1),
        "slope": torch.cat([slope, state["slope"]], dim=1),
        "weight": weight,
        "x_mean": state["x_mean"],
        "x_scale": state["x_scale"],
        "y_scale": state["y_scale"],
    }
    return {key: value.to(torch.float32).contiguous() for key, value in plan.items()}
