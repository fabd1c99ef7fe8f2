"""An oracle that misbehaves as it is told."""

from collections.abc import Mapping

import numpy as np

from robo_al.errors import OracleError
from robo_al.oracles.connection import unconnected
from robo_al.protocols import Resolver
from robo_al.tasks import describe
from robo_al.testing.env import FAKE_ENV, FakeEnv
from robo_al.types import (
    Candidate,
    ClosedLoop,
    EnvSpec,
    Failure,
    FailureKind,
    OpenLoop,
    Outcome,
    Trajectory,
)


class FakeOracle:
    """Executes in a `FakeEnv`, and misbehaves as oracles may.

    Args:
        failures: what the i-th submitted candidate ends as, instead of its trajectory.
        shuffle: answer in the opposite order of submission.
        delay: an outcome comes at the delay-th poll after the one that would have had it.
        capacity: how many candidates may be pending.
    """

    repeatable = True

    def __init__(
        self,
        env: EnvSpec = FAKE_ENV,
        failures: Mapping[int, FailureKind] | None = None,
        shuffle: bool = False,
        delay: int = 0,
        capacity: int = 64,
    ) -> None:
        self.env = env
        self.capacity = capacity
        self.resolve: Resolver = unconnected
        """Set by the campaign."""
        self.submitted: list[Candidate] = []
        """Everything ever submitted, in order."""
        self._env = FakeEnv(**env.parameters)
        self._task = describe(self._env, env)
        self._failures = dict(failures or {})
        self._shuffle, self._delay = shuffle, delay
        self._pending: list[tuple[int, Outcome]] = []
        self._polls = 0
        self.closed = False

    def submit(self, candidate: Candidate) -> None:
        """Execute at once, to be told later."""
        if self.closed:
            raise OracleError("the oracle is closed")
        if not candidate.id or candidate.id in {c.id for c in self.submitted}:
            raise OracleError(f"candidate id {candidate.id!r} is empty or was submitted before")
        if len(self._pending) >= self.capacity:
            raise OracleError(f"{self.capacity} candidates are pending already")
        trajectory = self._execute(candidate)
        kind = self._failures.get(len(self.submitted))
        result = trajectory if kind is None else Failure(kind, f"made to be {kind}", trajectory)
        outcome = Outcome(candidate.id, result, trajectory.steps * FakeEnv.dt)
        self.submitted.append(candidate)
        self._pending.append((self._polls + 1 + self._delay, outcome))

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        """Return what is due; without a timeout, skips ahead until something is."""
        if self.closed:
            raise OracleError("the oracle is closed")
        self._polls += 1
        if timeout is None and self._pending:
            self._polls = max(self._polls, min(due for due, _ in self._pending))
        ready = [outcome for due, outcome in self._pending if due <= self._polls]
        self._pending = [item for item in self._pending if item[0] > self._polls]
        return ready[::-1] if self._shuffle else ready

    def close(self) -> None:
        """Refuse everything from now on."""
        self.closed = True

    def __enter__(self) -> "FakeOracle":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _execute(self, candidate: Candidate) -> Trajectory:
        controller, context = candidate.controller, candidate.context
        actor = None
        if isinstance(controller, ClosedLoop):
            policy, model = self.resolve(controller)
            actor = policy.start(model, [controller.member], [candidate.seed])
        else:
            assert isinstance(controller, OpenLoop)
            assert controller.actions.shape == (candidate.horizon, len(self._task.action_low))
        observation, _ = self._env.reset(seed=context.seed, options=dict(context.options))
        observations, asked, sent, rewards, ended = [observation], [], [], [], False
        for t in range(candidate.horizon):
            if actor is None:
                action = controller.actions[t]  # type: ignore[union-attr]
            else:
                action = actor.act(observation[None])[0]
            action = np.array(action)
            asked.append(action)
            sent.append(np.clip(action, self._task.action_low, self._task.action_high))
            observation, reward, ended, _, _ = self._env.step(sent[-1])
            observations.append(observation)
            rewards.append(reward)
            if ended:
                break
        return Trajectory(
            np.array(observations), np.array(sent), np.array(asked), np.array(rewards), ended
        )
