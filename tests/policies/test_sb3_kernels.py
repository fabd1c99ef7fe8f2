"""Gradient steps by fewer operations are SB3's: the same values, weights and statistics."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import CrossQ
from sb3_contrib.common.torch_layers import BatchRenorm1d
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.logger import Logger
from torch import nn

from robo_al_policies.sb3_kernels import FusedBatchRenorm, dense, hasten


def layer(kind: type[BatchRenorm1d], warmup_steps: int) -> BatchRenorm1d:
    torch.manual_seed(0)
    made = kind(6, momentum=0.1, warmup_steps=warmup_steps)
    nn.init.normal_(made.scale)
    nn.init.normal_(made.bias)
    return made.double()


@pytest.mark.parametrize("warmup_steps", [100, 2])
def test_the_fused_normalisation_is_the_librarys_before_and_after_its_warm_up(
    warmup_steps: int,
) -> None:
    ours, theirs = layer(FusedBatchRenorm, warmup_steps), layer(BatchRenorm1d, warmup_steps)
    for step in range(6):
        outcomes = []
        for each in (ours, theirs):
            each.train(step != 4)  # one of them in evaluation
            torch.manual_seed(step)
            x = (3 * torch.randn(9, 6, dtype=torch.float64) + step).requires_grad_()
            each.zero_grad()
            y = each(x)
            (y * torch.arange(6)).square().sum().backward()
            gradients = [x.grad, each.scale.grad, each.bias.grad]
            outcomes.append([y.detach(), *gradients, *each.state_dict().values()])
        for mine, its in zip(*outcomes, strict=True):
            torch.testing.assert_close(mine, its)
    assert ours.steps == 5


class Plane(gymnasium.Env[np.ndarray, np.ndarray]):
    """An env of which only the spaces are asked."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)


def after_steps(kind: type[SAC] | type[CrossQ] | type[TD3], quick: bool) -> dict[str, torch.Tensor]:
    """Return the networks after four gradient steps on the same random steps."""
    made = kind("MlpPolicy", Plane(), seed=0, buffer_size=64, policy_kwargs={"net_arch": [16]})
    if quick:
        hasten(made)
    made.set_logger(Logger(folder=None, output_formats=[]))
    buffer, rng = made.replay_buffer, np.random.default_rng(0)
    for column in (buffer.observations, buffer.next_observations, buffer.actions, buffer.rewards):
        column[:] = rng.uniform(-1, 1, column.shape)
    buffer.full = True
    torch.manual_seed(0)
    np.random.seed(0)
    made.train(4, 32)
    return {name: value.float() for name, value in made.policy.state_dict().items()}


@pytest.mark.parametrize("kind", [SAC, CrossQ, TD3])
def test_a_hastened_algorithm_takes_the_same_gradient_steps(
    kind: type[SAC] | type[CrossQ] | type[TD3],
) -> None:
    generator = np.random.get_state()
    ours, theirs = after_steps(kind, True), after_steps(kind, False)
    np.random.set_state(generator)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-3, atol=1e-4)


def test_a_critic_gets_no_gradient_from_the_actors_loss() -> None:
    made = SAC("MlpPolicy", Plane(), seed=0, buffer_size=1, policy_kwargs={"net_arch": [8]})
    hasten(made)
    observations, actions = torch.ones(4, 3), torch.ones(4, 2, requires_grad=True)
    torch.cat(made.critic(observations, actions)).sum().backward()
    assert actions.grad is not None and actions.grad.abs().min() > 0
    assert all(weight.grad is None for weight in made.critic.parameters())
    torch.cat(made.critic(observations, actions.detach())).sum().backward()
    assert all(weight.grad is not None for weight in made.critic.parameters())


def test_a_normalisation_before_a_linear_layer_is_part_of_it() -> None:
    norms = [layer(FusedBatchRenorm, 100) for _ in range(2)]
    layers = [norms[0], nn.Linear(6, 6), nn.ReLU(), norms[1], nn.Linear(6, 2)]
    whole = nn.Sequential(*layers).double()
    for norm in norms:
        nn.init.normal_(norm.ra_mean)
        nn.init.uniform_(norm.ra_var)
        norm.eval()
    x, made = torch.randn(5, 6, dtype=torch.float64), dense(whole)
    assert [type(each) for each in made] == [nn.Linear, nn.ReLU, nn.Linear]
    torch.testing.assert_close(made(x), whole(x))
    assert made[0] is not layers[1]  # the original stays as it is
