"""Small records and imagined rollouts."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_al.protocols import CandidatePool, Model
from robo_al.tasks import sample_contexts
from robo_al.tasks.boxes import random_action
from robo_al.tasks.trial import own_copy, trying
from robo_al.testing.env import FakeEnv, fake_task
from robo_al.testing.model import FakeModel
from robo_al.types import ImaginedRollouts, Task, Transitions

Array = NDArray[np.float64]


def random_transitions(
    rng: np.random.Generator, rollouts: int = 5, steps: int = 8, env: Any = None
) -> Transitions:
    """Return what random actions in an env (a `FakeEnv`) give: B = at most rollouts * steps.

    Raises:
        PluginError: the env raises.
    """
    env = FakeEnv() if env is None else env
    rows: list[tuple[Array, Array, Array, float, int, bool]] = []
    for rollout in range(rollouts):
        observation = sample_contexts(env, [rng])[0].observation
        for _ in range(steps):
            action = random_action(env.action_space, rng)
            with trying(env, "step"):
                after, reward, terminated, truncated, _ = env.step(action.copy())
            after = own_copy(after)
            rows.append((observation, action, after, float(reward), rollout, bool(terminated)))
            observation = after
            if terminated or truncated:
                break
    columns = [_stack(column) for column in zip(*rows, strict=True)]
    before, actions, after, rewards, index, ended = columns
    return Transitions(
        before, actions, after, rewards, index.astype(np.int64), ended.astype(np.bool_)
    )


def _stack(column: Iterable[Any]) -> Array:
    return np.array(list(column), dtype=np.float64)


def random_imagined(
    rng: np.random.Generator,
    members: int = 3,
    candidates: int = 6,
    steps: int = 4,
    task: Task | None = None,
    ends: bool = False,
) -> ImaginedRollouts:
    """Return random imagined rollouts of a task (`fake_task`), float64; half of them shorter.

    Args:
        rng: draws them.
        members: E.
        candidates: N.
        steps: T.
        task: whose sizes they have.
        ends: whether each may end by itself, in each member at another step.
    """
    import torch

    task = fake_task() if task is None else task
    shape = (members, candidates)
    low, high = task.action_low, task.action_high
    horizons = np.where(np.arange(candidates) % 2, max(1, steps - 1), steps)
    lengths = np.minimum(rng.integers(1, steps + 1, shape), horizons) if ends else horizons[None]
    mask = np.broadcast_to(np.arange(steps) < lengths[..., None], (*shape, steps))
    return ImaginedRollouts(
        observations=torch.from_numpy(rng.normal(size=(*shape, steps + 1, len(task.channels)))),
        actions=torch.from_numpy(rng.uniform(low, high, (*shape, steps, len(low)))),
        rewards=torch.from_numpy(rng.normal(size=(*shape, steps))),
        members=torch.arange(members)[:, None].expand(*shape),
        horizons=torch.from_numpy(horizons),
        mask=torch.from_numpy(mask.astype(np.float64)),
        finite=torch.ones(candidates, dtype=torch.bool),
    )


def pool_of(
    imagined: ImaginedRollouts,
    model: Model | None = None,
    pending: ImaginedRollouts | None = None,
    task: Task | None = None,
) -> CandidatePool:
    """Return a pool of which only what was imagined is known; by default of a `FakeEnv`."""
    task = task or fake_task()
    return CandidatePool((), imagined, model or FakeModel(task), task, pending)
