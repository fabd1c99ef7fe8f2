"""Hyper-parameters of the Gaussian process, from scratch, by GPyTorch and L-BFGS."""

import math
import warnings
from collections.abc import Mapping

import gpytorch
import torch
from jaxtyping import Float, Int
from torch import Tensor

from robo_al.errors import ModelError
from robo_al.models.gp_posterior import outlier_noise
from robo_al.torch_defaults import single_precision

NOISE_FLOOR = 1e-5
"""Smallest noise variance of a standardised output: what keeps float32 planning accurate."""

CERTAIN = 1e-12
"""Prior variance of an output of which nothing is left to learn."""
_VARIANCES = ("output_scale", "linear")


class _ExactProcess(gpytorch.models.ExactGP):  # type: ignore[misc]
    """GPyTorch's side of the fit: D independent processes in one batch."""

    def __init__(self, x: Tensor, y: Tensor, likelihood: gpytorch.likelihoods.Likelihood) -> None:
        super().__init__(x, y, likelihood)
        self.extra_noise = torch.zeros_like(y)
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
        covariance = (self.smooth(x) + self.linear(x)).add_diagonal(self.extra_noise)
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), covariance)


def first_hyperparameters(outputs: int, x: Float[Tensor, "n I"]) -> dict[str, Tensor]:
    """Return what a fit without predecessor starts from: long length scales, some noise."""
    size = x.shape[-1]
    return {
        "length_scale": x.new_full((outputs, size), math.sqrt(size)),
        "output_scale": x.new_ones(outputs),
        "linear": x.new_full((outputs, size), 0.3),
        "noise": x.new_full((outputs,), 1e-2),
    }


def fit_robustly(
    x: Float[Tensor, "n I"],
    y: Float[Tensor, "D n"],
    chosen: Int[Tensor, "m"],
    before: Mapping[str, Tensor],
    steps: int,
) -> tuple[dict[str, Tensor], Float[Tensor, "D n"], float]:
    """Fit hyper-parameters and find outliers, in turns: each spoils the other's first try.

    An output that is 0 throughout is not fitted: it is certain, and tells nothing.

    Args:
        x: standardised inputs.
        y: standardised outputs.
        chosen: steps that hyper-parameters are fitted to.
        before: the last fit's hyper-parameters, to start from; empty: there was none.
        steps: iterations of L-BFGS.

    Returns:
        The hyper-parameters, the extra noise variance of outliers, and the negative log posterior
        per step and output.
    """
    learned = (y != 0).any(1)
    first = first_hyperparameters(len(y), x)
    found = first | {key: first[key].new_full(first[key].shape, CERTAIN) for key in _VARIANCES}
    found["noise"] = first["noise"].new_full(first["noise"].shape, NOISE_FLOOR)
    noise, loss = torch.zeros_like(y), 0.0
    if bool(learned.any()):
        start = {key: value.clone() for key, value in first.items()}
        if before:
            again = learned & (before["output_scale"] > CERTAIN)
            for key, value in start.items():
                value[again] = before[key][again]
        own = {key: value[learned] for key, value in start.items()}
        hyper, noise[learned], loss = _in_turns(x, y[learned], chosen, own, steps)
        for key, value in hyper.items():
            found[key][learned] = value
    return found, noise, loss


def _in_turns(
    x: Float[Tensor, "n I"],
    y: Float[Tensor, "D n"],
    chosen: Int[Tensor, "m"],
    start: Mapping[str, Tensor],
    steps: int,
) -> tuple[dict[str, Tensor], Float[Tensor, "D n"], float]:
    extra = outlier_noise(x, y, x[chosen], first_hyperparameters(len(y), x))
    for _ in range(2):
        hyper, loss = fit_hyperparameters(x[chosen], y[:, chosen], extra[:, chosen], start, steps)
        before, start = extra, hyper
        extra = outlier_noise(x, y, x[chosen], hyper)
        if bool(((extra > 0) == (before > 0)).all()):
            break
    return hyper, extra, loss


@single_precision  # priors and first parameters are rounded to it, whatever the default is
def fit_hyperparameters(
    x: Float[Tensor, "m I"],
    y: Float[Tensor, "D m"],
    extra_noise: Float[Tensor, "D m"],
    start: Mapping[str, Tensor],
    steps: int,
) -> tuple[dict[str, Tensor], float]:
    """Maximise the posterior of the hyper-parameters.

    Args:
        x: standardised inputs.
        y: standardised outputs.
        extra_noise: variance of single steps beside the noise that is fitted (outliers).
        start: hyper-parameters to start from.
        steps: iterations of L-BFGS.

    Returns:
        The hyper-parameters, and the negative log posterior per step and output.
    """
    batch = torch.Size([y.shape[0]])
    likelihood = gpytorch.likelihoods.GaussianLikelihood(
        batch_shape=batch,
        noise_prior=gpytorch.priors.LogNormalPrior(-8.0, 3.0),
        noise_constraint=gpytorch.constraints.GreaterThan(NOISE_FLOOR),
    )
    process = _ExactProcess(x.expand(*batch, *x.shape), y, likelihood).to(x)
    process.extra_noise = extra_noise
    base = process.smooth.base_kernel
    base.lengthscale = start["length_scale"][:, None]
    process.smooth.outputscale = start["output_scale"]
    process.linear.variance = start["linear"][:, None]
    likelihood.noise = start["noise"][:, None].clamp_min(1.1 * NOISE_FLOOR)
    loss = _minimise(
        process, gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, process), y, steps
    )
    hyper = {
        "length_scale": base.lengthscale[:, 0],
        "output_scale": process.smooth.outputscale,
        "linear": process.linear.variance[:, 0],
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
