"""The oracle of recorded rollouts: choosing one reveals what came of it."""

import numpy as np

from robo_al.errors import ConfigError, OracleError
from robo_al.tasks.describing import control_period
from robo_al.tasks.offers import offers_of
from robo_al.tasks.shelf import borrowed
from robo_al.types import Candidate, EnvSpec, Failure, OpenLoop, Outcome, Trajectory


class ReplayOracle:
    """Answers a candidate with the recorded rollout that it is, or the beginning of it.

    Args:
        env: of recorded rollouts: `{name: replay, path: ...}`.

    Raises:
        ConfigError: the env is none of recorded rollouts.
    """

    repeatable = True
    capacity: int = 4096

    def __init__(self, env: EnvSpec) -> None:
        with borrowed(env) as made:
            offers, self._control_period = offers_of(made), control_period(made, env)
        if offers.episodes is None:
            raise ConfigError(
                f"oracle replay: the env {env.name} has no recorded episodes; it goes with "
                "`env: {name: replay, path: ...}`"
            )
        self._episodes, _ = offers.episodes
        self._queue: dict[str, Candidate] = {}
        self._closed = False

    def submit(self, candidate: Candidate) -> None:
        """Queue a candidate.

        Raises:
            OracleError: closed, `capacity` candidates are queued, or its id is among them.
        """
        self._refuse_closed()
        if len(self._queue) >= self.capacity:
            raise OracleError(f"{self.capacity} candidates are queued already; poll first")
        if candidate.id in self._queue:
            raise OracleError(f"candidate {candidate.id!r} is queued already")
        self._queue[candidate.id] = candidate

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        """Return the outcomes of everything queued, in the order of submission.

        Raises:
            OracleError: closed.
        """
        self._refuse_closed()
        candidates, self._queue = self._queue, {}
        return [self._reveal(candidate) for candidate in candidates.values()]

    def close(self) -> None:
        """Answer no more; may be called twice."""
        self._closed = True

    def __enter__(self) -> "ReplayOracle":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise OracleError("the oracle is closed")

    def _reveal(self, candidate: Candidate) -> Outcome:
        episode = self._episodes[candidate.context.seed % len(self._episodes)]
        steps, start, controller = candidate.horizon, candidate.context, candidate.controller
        recorded = (
            isinstance(controller, OpenLoop)
            and steps <= episode.steps
            and np.array_equal(start.observation, episode.observations[0])
            and np.array_equal(controller.actions, episode.actions[:steps])
        )
        if not recorded:
            reason = (
                "no recorded rollout has this start and these actions; `policy: replay` and "
                "`explorer: replay` propose those that were recorded"
            )
            return Outcome(candidate.id, Failure("failed", reason), 0.0)
        actions = episode.actions[:steps].copy()
        trajectory = Trajectory(
            episode.observations[: steps + 1].copy(),
            actions,
            actions.copy(),
            episode.rewards[:steps].copy(),
            episode.terminated and steps == episode.steps,
            signals={k: rows.copy() for k, rows in episode.first_signals(steps).items()},
        )
        return Outcome(candidate.id, trajectory, steps * self._control_period)
