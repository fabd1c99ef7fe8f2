"""A policy of either kind: open-loop or in closed loop."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robo_al.protocols import Acting, Model, Resolver, SupportsAct
from robo_al.seeds import integer
from robo_al.types import MEAN, Candidate, ClosedLoop, Context, OpenLoop, Task, Transitions

Array = NDArray[np.float64]


class FakePolicy:
    """Random open-loop actions, or, with `streamed`, a random linear feedback for each seed."""

    def __init__(self, task: Task, device: str = "cpu", streamed: bool = False) -> None:
        self.task, self.streamed = task, streamed
        self.updates = 0
        """How often `update` was called."""

    def propose(
        self,
        n: int,
        contexts: Sequence[Context],
        horizon: int,
        model: Model,
        rng: np.random.Generator,
    ) -> Sequence[Candidate]:
        """Return n candidates, the contexts taken in turn."""
        assert n > 0 and horizon > 0 and contexts and model is not None
        low, high = self.task.action_low, self.task.action_high
        return [
            Candidate(
                context=contexts[i % len(contexts)],
                controller=ClosedLoop(i % model.members)
                if self.streamed
                else OpenLoop(rng.uniform(low, high, (horizon, len(low)))),
                horizon=horizon,
                seed=integer(rng),
            )
            for i in range(n)
        ]

    def start(self, model: Model, members: Sequence[int], seeds: Sequence[int]) -> "FakeActor":
        """Begin len(members) rollouts."""
        assert len(members) == len(seeds) > 0
        assert all(MEAN <= member < model.members for member in members)
        return FakeActor(self.task, seeds)

    def update(self, transitions: Transitions, model: Model, rng: np.random.Generator) -> None:
        """Count the call."""
        assert len(transitions) > 0 and model is not None
        self.updates += 1

    def parameters(self, actions: Array, observation: Array) -> Array:
        """Return the mean action [A]."""
        assert actions.ndim == 2 and observation.shape == (len(self.task.channels),)
        mean: Array = actions.mean(0)
        return mean

    def context_features(self, observations: Array) -> Array:
        """Return the observations [N,O]."""
        return observations


class FakeActor:
    """Row b answers with a linear function of the observation that its seed gives."""

    def __init__(self, task: Task, seeds: Sequence[int]) -> None:
        self._task = task
        shape = (len(task.action_low), len(task.channels))
        self._gains = np.stack([np.random.default_rng(seed).normal(size=shape) for seed in seeds])

    def act(self, observations: Array) -> Array:
        """Return [B,A] within the limits; row by row, whatever the other rows are."""
        assert observations.shape == (len(self._gains), len(self._task.channels))
        asked: Array = (self._gains * observations[:, None, :]).sum(-1)
        return np.clip(asked, self._task.action_low, self._task.action_high)


def resolver(policy: SupportsAct, model: Model) -> Resolver:
    """Return what finds this policy and model, whatever a controller names."""
    return lambda controller: Acting(policy, model)
