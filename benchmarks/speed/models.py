"""The fitted models that imagining and planning are measured with."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import torch
from measure import gemm

from robo_al.models.ensemble import Ensemble
from robo_al.models.training import tensor_cores
from robo_al.plugins import make_env
from robo_al.tasks import describe
from robo_al.testing import random_transitions
from robo_al.types import EnvSpec, Task, Transitions

HALF_CHEETAH = EnvSpec("gymnasium:HalfCheetah-v5")
"""Its reward is learned: 17 observations, 6 actions, 18 outputs."""


def task_and_transitions() -> tuple[Task, Transitions]:
    """Return HalfCheetah, and what random actions give."""
    with closing(make_env(HALF_CHEETAH)) as env:
        data = random_transitions(np.random.default_rng(0), rollouts=5, steps=40, env=env)
        return describe(env, HALF_CHEETAH), data


def peak(place: str) -> Callable[[], object]:
    """Return the product of square matrices in the networks' own arithmetic: TF32 on a GPU."""
    product = gemm(place)

    def run() -> None:
        with tensor_cores(torch.device(place)):
            product()

    return run


def ensemble(task: Task, data: Transitions, place: str, **sizes: int) -> Ensemble:
    """Return an ensemble, hardly trained: as fast as a trained one."""
    model = Ensemble(task, place, max_steps=20, **sizes)
    model.fit(data, np.random.default_rng(0))
    return model


def mbrl_env(task: Task, widths: tuple[int, ...], members: int, place: str) -> Any:
    """Return mbrl-lib's model of the same size as an env for rollouts in fixed members.

    Raises:
        ImportError: mbrl-lib is not installed.
    """
    from mbrl.models import GaussianMLP, ModelEnv, OneDTransitionRewardModel

    network = GaussianMLP(
        widths[0],
        widths[-1] // 2,
        place,
        num_layers=len(widths) - 2,
        ensemble_size=members,
        hid_size=widths[1],
        propagation_method="fixed_model",
        activation_fn_cfg={"_target_": "torch.nn.SiLU"},
    )
    model = OneDTransitionRewardModel(network, normalize=True, learned_rewards=True)
    draw = torch.Generator(device=place).manual_seed(0)
    with closing(make_env(HALF_CHEETAH)) as env:
        return ModelEnv(env, model, _never, generator=draw)


def mbrl_returns(env: Any, observation: np.ndarray, steps: int) -> Callable[[Any], Any]:
    """Return a function from actions [B,T,A] to imagined returns [B] from one observation."""

    def returns(actions: torch.Tensor) -> torch.Tensor:
        starts = np.tile(observation, (len(actions), 1))
        state = env.reset(starts, return_as_np=False)
        total = torch.zeros(len(actions), device=actions.device)
        for t in range(steps):
            _, reward, _, state = env.step(actions[:, t], state, sample=False)
            total += reward[:, 0]
        return total

    return returns


def _never(actions: torch.Tensor, observations: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(observations), 1, dtype=torch.bool, device=observations.device)
