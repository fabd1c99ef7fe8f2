"""SB3's algorithms as the `sb3` policy needs them: made, trained for a round, and taken apart."""

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from sb3_contrib import CrossQ
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor, nn

from robo_al.errors import ConfigError
from robo_al_policies.imagined_env import ImaginedEnv
from robo_al_policies.sb3_kernels import dense, hasten

Algorithm: TypeAlias = SAC | CrossQ | TD3 | PPO
ALGORITHMS: dict[str, type[SAC] | type[CrossQ] | type[TD3] | type[PPO]] = {
    "sac": SAC,
    "crossq": CrossQ,
    "td3": TD3,
    "ppo": PPO,
}
EXPLORATION = 0.1
"""Standard deviation of TD3's exploration, in halves of the action range (Fujimoto et al. 2018)."""
UPDATES_PER_BRANCHING = 100
"""Gradient steps of an off-policy algorithm between two branchings of imagined rollouts."""
BRANCHINGS_KEPT = 20
"""Branchings whose steps are still learned from."""
RESERVED = frozenset(
    "policy env device seed verbose learning_starts train_freq gradient_steps replay_buffer_class "
    "buffer_size n_steps action_noise policy_kwargs use_sde tensorboard_log".split()
)
"""Arguments of SB3's constructors that this policy sets itself, or cannot do with."""
LOG_STD_RANGE = (-20.0, 2.0)
"""Of SB3's SAC and CrossQ: between which their actors' log standard deviations are clipped."""


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators that SB3 draws from, and leave them afterwards as they were."""
    python, legacy = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        try:
            set_random_seed(seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)


def make_algorithm(
    name: str,
    env: ImaginedEnv,
    hidden: Sequence[int],
    critic_hidden: Sequence[int],
    arguments: Mapping[str, Any],
    device: str,
    seed: int,
) -> Algorithm:
    """Make an algorithm with new weights.

    Args:
        name: one of `ALGORITHMS`.
        env: where it will learn.
        hidden: units of each hidden layer of actors.
        critic_hidden: the same of critics.
        arguments: further ones of SB3's constructor.
        device: of its networks.
        seed: of its weights.

    Raises:
        ConfigError: SB3 refuses the arguments.
    """
    reserved = [key for key in arguments if key in RESERVED]
    if reserved:
        raise ConfigError(f"policy sb3: arguments.{reserved[0]}: it is set by the policy itself")
    critic = "vf" if name == "ppo" else "qf"
    layers = {"pi": list(hidden), critic: list(critic_hidden)}
    fixed: dict[str, Any] = {"policy_kwargs": {"net_arch": layers}}
    if name == "ppo":
        fixed |= {"n_steps": env.length, "batch_size": env.num_envs}
    else:
        fixed |= {"learning_starts": 0, "train_freq": (env.length, "step"), "buffer_size": 1}
    if name == "td3":
        size = env.action_space.shape
        assert size is not None
        fixed["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, EXPLORATION))
    with own_randomness(seed, torch.device(device)):
        try:
            made = ALGORITHMS[name]("MlpPolicy", env, device=device, **(fixed | dict(arguments)))
        except (TypeError, ValueError, AssertionError) as error:
            raise ConfigError(f"policy sb3: arguments: SB3's {name} says: {error}") from error
    _check_counts(name, made)
    hasten(made)
    made.set_logger(Logger(folder=None, output_formats=[]))  # its own makes a folder each time
    return made


def _check_counts(name: str, made: Algorithm) -> None:
    """Refuse counts that SB3 takes, and fails of at the first gradient step."""
    for key in ("batch_size", "policy_delay", "target_update_interval", "n_epochs"):
        count = getattr(made, key, 2)
        # A batch normalisation divides by the variance of a batch.
        least = 2 if name == "crossq" and key == "batch_size" else 1
        if not isinstance(count, int) or count < least:
            raise ConfigError(
                f"policy sb3: arguments.{key} is {count!r}; it must be a whole number of at "
                f"least {least}"
            )


# ---------------------------------------------------------------- learning


class MixedReplayBuffer(ReplayBuffer):
    """What off-policy algorithms sample: recorded steps in a fixed share, imagined ones else.

    Both are on the device, where batches are gathered: SB3's own is in the host's memory.

    Args:
        recorded: never forgotten; actions are scaled to [-1, 1].
        share: of the recorded steps in a batch.
        size: imagined steps that are kept.
        env: where they come from.
        device: where everything is.
    """

    def __init__(
        self,
        recorded: ReplayBufferSamples,
        share: float,
        size: int,
        env: ImaginedEnv,
        device: torch.device,
    ) -> None:
        spaces = env.observation_space, env.action_space
        super().__init__(env.num_envs, *spaces, device, env.num_envs)  # SB3's arrays stay empty
        self.recorded, self.share = recorded, share
        self._imagined = ReplayBufferSamples(
            *(column.new_empty((size, *column.shape[1:])) for column in recorded[:5])
        )
        self._size, self._steps = size, 0

    def add(
        self,
        obs: NDArray[Any],
        next_obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Keep one step of every world in place of the oldest one."""
        cut = np.array([info.get("TimeLimit.truncated", False) for info in infos])
        ends = (done & ~cut)[:, None]
        places = (self._steps + torch.arange(len(obs), device=self.device)) % self._size
        rows = (obs, action, next_obs, ends, reward[:, None])
        for column, row in zip(self._imagined[:5], rows, strict=True):
            column[places] = torch.as_tensor(row, device=self.device).to(column)
        self._steps += len(obs)

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """Draw a batch, with replacement."""
        known, kept = round(self.share * batch_size), min(self._steps, self._size)
        parts = []
        for columns, among, n in (
            (self.recorded, len(self.recorded.rewards), known),
            (self._imagined, kept, batch_size - known),
        ):
            if n:
                rows = torch.randint(among, (n,), device=self.device)
                parts.append([column[rows] for column in columns[:5]])
        return ReplayBufferSamples(*map(torch.cat, zip(*parts, strict=True)))


def train(
    algorithm: Algorithm,
    env: ImaginedEnv,
    recorded: ReplayBufferSamples,
    share: float,
    updates: int,
    seed: int,
) -> None:
    """Take at least so many gradient steps, from the weights that there are.

    What is drawn depends on the seed alone: nothing but weights and the optimisers' moments is
    carried over from the last time.
    """
    steps = env.length * env.num_envs
    algorithm._n_updates = 0  # TD3 and CrossQ count their delays by it
    if isinstance(algorithm, PPO):
        per_branching = algorithm.n_epochs * -(-steps // algorithm.batch_size)
    else:
        per_branching = min(updates, UPDATES_PER_BRANCHING)
    branchings = -(-updates // per_branching)
    if not isinstance(algorithm, PPO):
        algorithm.gradient_steps = -(-updates // branchings)
        kept = min(branchings, BRANCHINGS_KEPT) * steps
        algorithm.replay_buffer = MixedReplayBuffer(recorded, share, kept, env, algorithm.device)
    with own_randomness(seed, algorithm.device):
        algorithm.learn(branchings * steps, log_interval=None)  # type: ignore[arg-type]
    if not isinstance(algorithm, PPO):
        algorithm.replay_buffer = None


# ---------------------------------------------------------------- acting


class ActorNetwork(nn.Module):
    """An SB3 actor, without SB3 around it: features [B,F] to actions [B,A] in [-1, 1]."""

    def __init__(
        self, mean: nn.Sequential, log_deviation: nn.Sequential | Tensor, squash: bool
    ) -> None:
        super().__init__()
        self.mean = mean
        self.log_deviation = log_deviation
        self.squash = squash
        """By tanh, after the noise; else actions are clipped."""

    @torch.no_grad()
    def forward(
        self, features: Float[Tensor, "B F"], noise: Float[Tensor, "B A"] | None = None
    ) -> Float[Tensor, "B A"]:
        """Return the most likely actions, or those that standard normal noise leads to."""
        action: Tensor = self.mean(features)
        if noise is not None:
            log = self.log_deviation
            log = log(features).clamp(*LOG_STD_RANGE) if isinstance(log, nn.Module) else log
            action = action + log.exp() * noise
        return torch.tanh(action) if self.squash else action.clamp(-1, 1)


def actor_network(algorithm: Algorithm) -> ActorNetwork:
    """Return a copy of the present actor, which further training does not change."""
    if isinstance(algorithm, PPO):
        policy: Any = algorithm.policy
        mean = nn.Sequential(*policy.mlp_extractor.policy_net, policy.action_net)
        network = ActorNetwork(mean, policy.log_std.detach(), squash=False)
    elif isinstance(algorithm, TD3):
        deviation = torch.full((1,), EXPLORATION, dtype=torch.float32, device=algorithm.device)
        network = ActorNetwork(algorithm.actor.mu, deviation.log(), squash=False)
    else:
        actor: Any = algorithm.actor
        mean = dense([*actor.latent_pi, actor.mu])
        deviations = dense([*actor.latent_pi, actor.log_std])
        network = ActorNetwork(mean, deviations, squash=True)
    return copy.deepcopy(network)
