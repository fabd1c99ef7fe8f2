"""What an SB3 algorithm has learned, as tensors by name; SB3's own `.zip` only when asked for."""

import warnings
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from torch import Tensor

from robo_al.errors import ConfigError, ModelError
from robo_al.types import Task
from robo_al_policies.sb3_training import ALGORITHMS, Algorithm


def algorithm_state(algorithm: Algorithm) -> dict[str, Tensor]:
    """Return weights, running averages, the optimisers' moments and the entropy coefficient."""
    names, variables = algorithm._get_torch_save_params()
    state = {name: getattr(algorithm, name).detach() for name in variables}
    for name in names:
        part = attrgetter(name)(algorithm)
        if isinstance(part, torch.optim.Optimizer):
            for index, moments in part.state_dict()["state"].items():
                state |= {f"{name}/{index}/{key}": value for key, value in moments.items()}
        else:
            state |= {f"{name}/{key}": value.detach() for key, value in part.state_dict().items()}
    return state


def load_algorithm_state(algorithm: Algorithm, state: Mapping[str, Tensor]) -> None:
    """Take up what `algorithm_state` returned.

    Raises:
        ModelError: it is another algorithm's, or of networks of another size.
    """
    own = algorithm_state(algorithm)
    names, variables = algorithm._get_torch_save_params()
    for key, value in own.items():
        moment = any(key.startswith(f"{name}/") for name in names if name.endswith("optimizer"))
        if not moment and (key not in state or state[key].shape != value.shape):
            found = tuple(state[key].shape) if key in state else "missing"
            raise ModelError(
                f"sb3: the saved {key} is {found} and not {tuple(value.shape)}: it was saved with "
                "another algorithm, hidden or policies, or for another task"
            )
    for name in variables:
        getattr(algorithm, name).data.copy_(state[name])
    for name in names:
        part = attrgetter(name)(algorithm)
        mine = {k.removeprefix(f"{name}/"): v for k, v in state.items() if k.startswith(f"{name}/")}
        if isinstance(part, torch.optim.Optimizer):
            _load_moments(part, mine)
        else:
            part.load_state_dict(mine)


def _load_moments(optimizer: torch.optim.Optimizer, moments: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in moments.items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = value.clone()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def load_zip(path: str, name: str, algorithm: Algorithm, task: Task) -> None:
    """Take up the networks of an SB3 `.zip`. Loading one executes whatever code is in it.

    Args:
        path: of the file.
        name: the algorithm that saved it.
        algorithm: takes the networks up.
        task: which they were trained for: with the same limits of actions, on raw observations.

    Raises:
        ConfigError: no such file, or networks that do not fit.
    """
    warnings.warn(
        f"policy sb3: load_zip {path}: an SB3 file can execute any code when it is loaded; "
        "load none that you have not made yourself",
        stacklevel=2,
    )
    where = f"policy sb3: load_zip {path}"
    try:
        loaded = ALGORITHMS[name].load(path, device=algorithm.device)
    except OSError as error:
        raise ConfigError(f"{where}: {error}") from error
    except Exception as error:
        raise ConfigError(
            f"{where}: {name} cannot read it; name the algorithm that saved it "
            f"({type(error).__name__}: {error})"
        ) from error
    _check_actions(loaded.action_space, task, isinstance(algorithm, PPO), where)
    _check_observations(loaded.observation_space, algorithm.observation_space, where)
    mine, its = algorithm.policy, loaded.policy
    if type(its) is not type(mine):
        raise ConfigError(
            f"{where}: its networks are a {type(its).__name__} and not a {type(mine).__name__}; "
            "name the algorithm that saved it"
        )
    if its.activation_fn is not mine.activation_fn:
        raise ConfigError(f"{where}: its activation is {its.activation_fn.__name__}")
    if getattr(its, "batch_norm_params", None) != getattr(mine, "batch_norm_params", None):
        raise ConfigError(f"{where}: its normalisation is not the library's: a parameter differs")
    try:
        mine.load_state_dict(its.state_dict())
    except RuntimeError as error:
        raise ConfigError(
            f"{where}: its networks do not fit; name its algorithm, and its layers as `hidden`: "
            f"{error}"
        ) from error


def _check_observations(its: spaces.Space[Any], mine: spaces.Space[Any], where: str) -> None:
    """Refuse networks that see other numbers than this task's features."""
    if its.shape != mine.shape:
        raise ConfigError(
            f"{where}: its networks see an observation of shape {its.shape}, and here it is "
            f"{mine.shape}, sine and cosine of each angle among them; where it saw the angles "
            "themselves, name all `channels` in the configuration, and give none the kind angle"
        )


def _check_actions(space: spaces.Space[Any], task: Task, unscaled: bool, where: str) -> None:
    """Refuse networks whose answers mean other actions than the task's."""
    low, high = task.action_low, task.action_high
    box = isinstance(space, spaces.Box) and space.shape == low.shape
    if not box or not np.allclose([space.low, space.high], [low, high]):  # type: ignore[attr-defined]
        limits = f"{low.tolist()} to {high.tolist()}"
        raise ConfigError(f"{where}: its actions are {space}; the task's are from {limits}")
    if unscaled and not np.allclose([-low, high], 1):
        raise ConfigError(f"{where}: a ppo can be taken up only where actions are from -1 to 1")
