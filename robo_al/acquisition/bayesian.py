"""`botorch`: Bayesian optimisation of the return over the parameters of a policy's rollouts.

For policies whose candidates are points in a space of parameters (`SupportsParameters`: movement
primitives). A Gaussian process is fitted to what was recorded: inputs are the features of a start
and the parameters of the rollout from it, the output is the return. Any acquisition function of
BoTorch for one outcome scores the candidates (Balandat et al. 2020, "BoTorch: a framework for
efficient Monte-Carlo Bayesian optimization"; the default, qLogNEI: Ament et al. 2023, "Unexpected
improvements to expected improvement"). The imagined *returns* are not looked at.

Returns from different starts do not compare. So what a candidate has to improve on is what the
recorded parameters are expected to return from the candidate's own start, and only picked or
pending rollouts from the same start are valued together.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from robo_al.acquisition.scores import after_pending, first_gains
from robo_al.acquisition.select import Fixed
from robo_al.errors import ConfigError, ModelError
from robo_al.protocols import CandidatePool, JointGain, Policy, SupportsParameters
from robo_al.torch_defaults import single_precision
from robo_al.types import ImaginedRollouts, Transitions

CUBE = 4.0
"""Standard deviations of a feature or parameter that the unit interval spans: BoTorch's priors of
length scales are made for inputs in the unit cube."""


class BoTorch:
    """Scores candidates by an acquisition function of BoTorch, over parameters and starts.

    Functions that give the logarithm of a value are scored by the value itself, in the unit of
    the return, so that scores of all starts compare and every selector takes them.

    Args:
        function: name of a class of `botorch.acquisition`, for one outcome.
        options: its own parameters, such as `beta: 4.0`.

    Raises:
        ConfigError: BoTorch is not installed, or has no such function for single candidates.
    """

    def __init__(
        self,
        function: str = "qLogNoisyExpectedImprovement",
        options: Mapping[str, float | str | bool] | None = None,
    ) -> None:
        self._class = _function(function)
        self._options = dict(options or {})
        self._policy: SupportsParameters | None = None
        self._regression: Any = None
        self._recorded: Tensor | None = None

    def observe(self, transitions: Transitions, policy: Policy) -> None:
        """Fit the Gaussian process to the recorded rollouts.

        Raises:
            ConfigError: the policy's rollouts have no parameters.
            ModelError: it cannot be fitted.
        """
        if not isinstance(policy, SupportsParameters):
            raise ConfigError(
                f"strategy botorch: rollouts of the policy {type(policy).__name__} have no "
                "parameters (`parameters` and `context_features`); use the policy primitives"
            )
        self._policy = policy
        _, first = np.unique(transitions.rollouts, return_index=True)
        starts, sent = transitions.observations[first], np.split(transitions.actions, first[1:])
        returns = np.add.reduceat(transitions.rewards, first)
        parameters = [policy.parameters(a, o) for a, o in zip(sent, starts, strict=True)]
        self._recorded = _in_cube(np.stack(parameters))
        inputs = torch.cat([_in_cube(policy.context_features(starts)), self._recorded], 1)
        self._regression = _fit(inputs, torch.as_tensor(returns, dtype=torch.float64)[:, None])

    def __call__(self, pool: CandidatePool, rng: np.random.Generator) -> Float[Tensor, "N"]:
        """Return scores [N]; nothing is drawn from `rng`.

        Raises:
            ConfigError: BoTorch refuses the function's options.
        """
        return self._batch(pool).scores(pool)

    def joint(self, pool: CandidatePool) -> JointGain:
        """Return the gain over what is pending alone: by how much a batch's value grows.

        Of a function that BoTorch evaluates analytically, it is the score: these do not know of
        batches.

        Raises:
            ConfigError: BoTorch refuses the function's options.
        """
        batch = self._batch(pool)
        return batch if batch.conditions else Fixed(batch.scores(pool).numpy())

    def _batch(self, pool: CandidatePool) -> "BatchValue":
        """Return the value of batches, with a function of BoTorch for each start."""
        assert self._policy is not None, "`observe` comes first"
        rollouts = [pool.imagined] if pool.pending is None else [pool.imagined, pool.pending]
        starts = np.concatenate([_starts(each) for each in rollouts])
        parameters = np.concatenate([_parameters(self._policy, each) for each in rollouts])
        features = _in_cube(self._policy.context_features(starts))
        points = torch.cat([features, _in_cube(parameters)], 1)
        _, first, groups = np.unique(starts, axis=0, return_index=True, return_inverse=True)
        functions = [self._function(features[i]) for i in first]
        return BatchValue(points, groups.ravel(), functions, len(pool))

    def _function(self, features: Float[Tensor, "C"]) -> Any:
        """Return BoTorch's acquisition function for rollouts from one start."""
        from botorch.acquisition.input_constructors import get_acqf_input_constructor
        from botorch.utils.datasets import SupervisedDataset

        assert self._recorded is not None
        here = torch.cat([features.expand(len(self._recorded), -1), self._recorded], 1)
        names = [f"input {i}" for i in range(here.shape[1])]
        cube = [(float(c), float(c)) for c in features] + [(0.0, 1.0)] * self._recorded.shape[1]
        with torch.no_grad(), _quietly():
            expected = self._regression.posterior(here).mean
            data = SupervisedDataset(here, expected, feature_names=names, outcome_names=["return"])
            try:
                arguments = get_acqf_input_constructor(self._class)(
                    model=self._regression, training_data=data, bounds=cube, **self._options
                )
                return self._class(**arguments)
            except (TypeError, ValueError, RuntimeError) as error:
                raise ConfigError(
                    f"strategy botorch: {self._class.__name__} cannot be made with the options "
                    f"{self._options}: {error}"
                ) from error


class BatchValue:
    """What growing batches are worth: the sum over starts, each by its function of BoTorch.

    Args:
        points: [R, d] of candidates, and of pending rollouts after them.
        groups: which start each is from.
        functions: one for each start; they come to know what is pending.
        candidates: N.
    """

    diminishing = False

    def __init__(
        self,
        points: Float[Tensor, "R d"],
        groups: Int[np.ndarray, "R"],
        functions: Sequence[Any],
        candidates: int,
    ) -> None:
        from botorch.acquisition.analytic import AnalyticAcquisitionFunction

        self._points, self._groups, self._functions = points, groups, functions
        self._batches: list[list[int]] = [[] for _ in functions]
        self._values = [0.0] * len(functions)
        self.conditions = not isinstance(functions[0], AnalyticAcquisitionFunction)
        """Whether the functions know of batches and of what is pending."""
        if self.conditions:
            for index in range(candidates, len(points)):
                self.add(index)

    def gains(self, indices: Sequence[int]) -> Float[Tensor, "n"]:
        """Return by how much each candidate makes the batch of its start worth more."""
        gains = torch.zeros(len(indices), dtype=torch.float64)
        groups = self._groups[list(indices)]
        for group in np.unique(groups):
            rows = np.flatnonzero(groups == group)
            points = self._points[[indices[row] for row in rows.tolist()]]
            gains[rows] = _value(self._functions[group], points[:, None]) - self._values[group]
        return gains

    def add(self, index: int) -> None:
        """Add a candidate to the batch of its start."""
        group = self._groups[index]
        function, batch = self._functions[group], self._batches[group]
        if not getattr(function, "incremental", False):  # else BoTorch itself gives the growth
            self._values[group] = float(_value(function, self._points[[index]][None])[0])
        batch.append(index)
        with torch.no_grad(), _quietly():
            function.set_X_pending(self._points[batch])

    def scores(self, pool: CandidatePool) -> Float[Tensor, "N"]:
        """Return what each candidate adds to what is pending.

        Repeats of what is pending come last where the functions do not know of it.
        """
        scores = first_gains(self, pool)
        return scores if self.conditions else after_pending(scores, pool)


def _function(name: str) -> Any:
    """Return a class of BoTorch that can be made from a model and its data."""
    try:
        import botorch.acquisition.input_constructors as constructors
        from botorch.acquisition.acquisition import OneShotAcquisitionFunction
    except ImportError as error:
        raise ConfigError(
            f"strategy botorch: BoTorch cannot be imported ({error}); "
            "pip install 'robo-al[botorch]'"
        ) from error
    known = {found.__name__: found for found in constructors.ACQF_INPUT_CONSTRUCTOR_REGISTRY}
    if name not in known:
        raise ConfigError(
            f"strategy botorch: BoTorch makes no acquisition function {name}; it makes "
            f"{', '.join(sorted(known))}"
        )
    if issubclass(known[name], OneShotAcquisitionFunction):
        raise ConfigError(
            f"strategy botorch: {name} has to be optimised together with its fantasies; it cannot "
            "score candidates that are given"
        )
    return known[name]


@single_precision  # priors are rounded to it, whatever the default is
def _fit(inputs: Float[Tensor, "n d"], returns: Float[Tensor, "n 1"]) -> Any:
    """Return BoTorch's usual Gaussian process, with its usual priors, fitted.

    Raises:
        ModelError: it cannot be fitted.
    """
    from botorch.exceptions.errors import ModelFittingError
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Standardize
    from gpytorch.mlls import ExactMarginalLogLikelihood

    with torch.enable_grad(), _quietly():
        try:
            model = SingleTaskGP(inputs, returns, outcome_transform=Standardize(1))
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        except (ModelFittingError, ValueError) as error:
            raise ModelError(
                f"strategy botorch: no Gaussian process fits {len(returns)} returns: {error}"
            ) from error
    return model.eval()


@contextmanager
def _quietly() -> Iterator[None]:
    """Let BoTorch draw the same numbers each time, and leave torch's own generator as it was.

    What it warns of, such as a matrix that needs jitter, it mends itself, or raises.
    """
    from botorch.utils.sampling import manual_seed

    with manual_seed(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _value(function: Any, batches: Float[Tensor, "b q d"]) -> Float[Tensor, "b"]:
    """Return a function's value of each batch, never its logarithm."""
    with torch.no_grad(), _quietly():
        values: Tensor = function(batches).to(torch.float64)
    return values.exp() if getattr(function, "_log", False) else values


def _in_cube(values: Float[np.ndarray, "n d"]) -> Float[Tensor, "n d"]:
    """Return what is about 1 large around 0 as what is mostly from 0 to 1."""
    return torch.as_tensor(values / CUBE + 0.5, dtype=torch.float64)


def _starts(rollouts: ImaginedRollouts) -> Float[np.ndarray, "N O"]:
    return rollouts.observations[0, :, 0].cpu().double().numpy()


def _parameters(policy: SupportsParameters, rollouts: ImaginedRollouts) -> Float[np.ndarray, "N P"]:
    """Return the parameters of rollouts; open-loop ones are alike in all members."""
    actions = rollouts.actions[0].cpu().double().numpy()
    lengths = rollouts.horizons.tolist()  # of the plan, also where it is imagined to end early
    starts = _starts(rollouts)
    rows = zip(actions, lengths, starts, strict=True)
    return np.stack([policy.parameters(sent[:steps], start) for sent, steps, start in rows])
