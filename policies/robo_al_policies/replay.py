"""Replay policy: proposes rollouts that were recorded, of which it shows start and actions only."""

from collections.abc import Sequence

import numpy as np

from robo_al.errors import ConfigError
from robo_al.protocols import Model
from robo_al.seeds import integer
from robo_al.tasks.offers import offers_of
from robo_al.tasks.shelf import borrowed
from robo_al.types import Candidate, Context, OpenLoop, Task


class Replay:
    """Proposes recorded rollouts; it keeps no count of those that were chosen.

    Its contexts say which are left: a campaign on recorded rollouts gives it the starts of those
    that were not selected yet.

    Args:
        task: of recorded rollouts: `{name: replay, path: ...}`.
        device: unused; every policy is constructed with one.

    Raises:
        ConfigError: the task is none of recorded rollouts.
    """

    def __init__(self, task: Task, device: str = "cpu") -> None:
        with borrowed(task.env) as env:
            recorded = offers_of(env).episodes
        if recorded is None:
            raise ConfigError(
                f"policy replay: the env {task.env.name} has no recorded episodes; it goes with "
                "`env: {name: replay, path: ...}`"
            )
        self._episodes, _ = recorded

    def propose(
        self,
        n: int,
        contexts: Sequence[Context],
        horizon: int,
        model: Model | None,
        rng: np.random.Generator,
    ) -> list[Candidate]:
        """Return the rollouts of n contexts drawn without replacement, while there are as many.

        Each has as many steps as were recorded, `horizon` at most; needs no model.
        """
        order = rng.permutation(len(contexts)).tolist()
        return [self._candidate(contexts[order[i % len(order)]], horizon, rng) for i in range(n)]

    def _candidate(self, context: Context, horizon: int, rng: np.random.Generator) -> Candidate:
        episode = self._episodes[context.seed % len(self._episodes)]
        actions = episode.actions[:horizon].copy()
        return Candidate(context, OpenLoop(actions), len(actions), integer(rng))
