"""Rollouts while they are executed: what is sent, what is recorded, what cannot be trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import NDArray

from robo_al.errors import UserError
from robo_al.tasks import Env
from robo_al.tasks.boxes import boxes, within
from robo_al.tasks.describing import control_period
from robo_al.tasks.layers import time_limit
from robo_al.types import (
    Candidate,
    Demonstration,
    EnvSpec,
    Failure,
    FailureKind,
    Film,
    Label,
    OpenLoop,
    Outcome,
    Scalar,
    Trajectory,
)
from robo_al.worker.watch import not_finite

Array = NDArray[np.float64]
TASK = "task"
"""Who says of a rollout what the env's own information says at its last step."""


DEMONSTRATED = (
    "candidate {name} is to be demonstrated, and this oracle has nobody who could: set "
    "`oracle: {{name: expert, expert: my/expert.py:Expert}}`"
)
"""What an oracle that executes no demonstration says of one."""


class Fault(NamedTuple):
    """Why a rollout cannot go on."""

    kind: FailureKind
    reason: str


class Step(NamedTuple):
    """What an env answered to one action."""

    observation: Float[np.ndarray, "O"]
    reward: float
    terminated: bool
    truncated: bool
    success: bool | None = None
    """What the env's information says of it, if it does."""


@dataclass(frozen=True)
class ActionLimits:
    """What actions are clipped to, and how long one lasts."""

    low: Float[np.ndarray, "A"]
    high: Float[np.ndarray, "A"]
    dtype: str
    """Of the action space: an env is sent what it declares."""
    control_period: float
    """Seconds between two actions."""
    time_limit: int | None = None
    """Steps after which the env breaks a rollout off; who steps it by formulas cannot ask it."""

    @classmethod
    def of(cls, env: Env, spec: EnvSpec) -> "ActionLimits":
        """Read the limits off an env; raises `UserError` where its spaces are no flat boxes."""
        _, action = boxes(env, spec.name)
        period = control_period(env, spec)
        low, high = action.low.astype(np.float64), action.high.astype(np.float64)
        return cls(low, high, np.dtype(action.dtype).name, period, time_limit(env))

    def check(self, candidate: Candidate) -> None:
        """Raise `UserError` for a candidate that no env with these limits can execute."""
        if candidate.horizon < 1:
            raise UserError(f"candidate {candidate.id}: horizon {candidate.horizon}; at least 1")
        if isinstance(candidate.controller, Demonstration):
            raise UserError(DEMONSTRATED.format(name=candidate.id))
        if isinstance(candidate.controller, OpenLoop):
            shape, needed = candidate.controller.actions.shape, (candidate.horizon, len(self.low))
            if shape != needed:
                raise UserError(
                    f"candidate {candidate.id}: actions of shape {shape}; [horizon, action size] "
                    f"is {needed}"
                )

    def clip(self, requested: Float[np.ndarray, "*T A"]) -> Float[np.ndarray, "*T A"]:
        """Return what is sent when `requested` is asked for, in the action space's dtype."""
        return within(requested, self.low, self.high, self.dtype)


class StepBatch(NamedTuple):
    """What n rollouts answered to one action each, as columns."""

    observations: Float[np.ndarray, "n O"]
    rewards: Float[np.ndarray, "n"]
    terminated: Bool[np.ndarray, "n"]
    truncated: Bool[np.ndarray, "n"]
    faults: Mapping[int, Fault]
    """By place among the n; what the columns say there means nothing."""
    successes: Mapping[int, bool] = MappingProxyType({})
    """By place among the n: what the envs say, if they do."""

    @classmethod
    def of(cls, answers: Sequence[Step | Fault]) -> "StepBatch":
        """Return columns of single answers."""
        good = [answer for answer in answers if isinstance(answer, Step)]
        nothing = Step(np.zeros(len(good[0].observation) if good else 0), 0.0, False, False)
        whole = [answer if isinstance(answer, Step) else nothing for answer in answers]
        return cls(
            np.array([step.observation for step in whole]),
            np.array([step.reward for step in whole]),
            np.array([step.terminated for step in whole]),
            np.array([step.truncated for step in whole]),
            {i: answer for i, answer in enumerate(answers) if isinstance(answer, Fault)},
            {i: step.success for i, step in enumerate(whole) if step.success is not None},
        )

    @classmethod
    def checked(
        cls,
        observations: Float[np.ndarray, "n O"],
        rewards: Float[np.ndarray, "n"],
        terminated: Bool[np.ndarray, "n"],
        faults: Mapping[int, Fault] = MappingProxyType({}),
    ) -> "StepBatch":
        """Return steps whose numbers are finite, the others as further faults; none truncated."""
        good = np.isfinite(observations).all(-1) & np.isfinite(rewards)
        if not good.all():
            found = {
                int(i): Fault("quarantined", not_finite(observations[i], rewards[i]))
                for i in np.flatnonzero(~good)
            }
            faults = found | dict(faults)
        return cls(observations, rewards, terminated, np.zeros_like(terminated), faults)


def film_path(folder: Path, candidate: str) -> Path:
    """Return where the pictures of a rollout are written, until it is recorded."""
    return folder / f".{candidate}.mp4.tmp"


class RolloutBuffer:
    """B rollouts that are executed together, in columns; row b is `done` when it has ended.

    Args:
        candidates: B of them, in the order of their rows.
        limits: of the actions.
    """

    def __init__(self, candidates: Sequence[Candidate], limits: ActionLimits) -> None:
        self.candidates = candidates
        self.steps = np.zeros(len(candidates), dtype=np.int64)
        """[B] recorded so far."""
        self.done = np.zeros(len(candidates), dtype=np.bool_)
        """[B] nothing may be sent any more."""
        self.observations: Array = np.zeros((len(candidates), 0))
        """[B,O] the last that can be trusted, NaN where there was none."""
        self._limits = limits
        self._horizons = np.array([candidate.horizon for candidate in candidates], dtype=np.int64)
        self._begun = np.zeros(len(candidates), dtype=np.bool_)
        self._terminated = np.zeros(len(candidates), dtype=np.bool_)
        self._truncated = np.zeros(len(candidates), dtype=np.bool_)
        self._faults: dict[int, Fault] = {}
        self._details: list[dict[str, Scalar]] = [{} for _ in candidates]

    def begin(self, firsts: Sequence[Float[np.ndarray, "O"] | Fault]) -> None:
        """Record the first observation of every row."""
        size = next((len(first) for first in firsts if not isinstance(first, Fault)), 0)
        steps, rows = int(self._horizons.max(initial=0)), len(self.candidates)
        actions = (steps, rows, len(self._limits.low))
        # steps first: what one tick writes lies together, and ticks that never come cost nothing
        self._seen = np.empty((steps + 1, rows, size))
        self._sent, self._requested = np.empty(actions), np.empty(actions)
        self._rewards = np.empty((steps, rows))
        self.observations = np.full((rows, size), np.nan)
        for row, first in enumerate(firsts):
            if isinstance(first, Fault):
                self.fail(row, first)
            else:
                self.observations[row], self._begun[row] = first, True
        self._seen[0] = self.observations

    @property
    def running(self) -> Int[np.ndarray, "n"]:
        """The rows that are not done."""
        return np.flatnonzero(~self.done)

    def send(
        self, rows: Int[np.ndarray, "n"], requested: Float[np.ndarray, "n A"]
    ) -> tuple[Int[np.ndarray, "m"], Shaped[np.ndarray, "m A"]]:
        """Return what to send to which rows; one that asks for no finite numbers ends."""
        good = np.isfinite(requested).all(-1)
        if not good.all():
            for row, action in zip(rows[~good], requested[~good], strict=True):
                self.fail(int(row), Fault("quarantined", f"the controller asked for {action}"))
            rows, requested = rows[good], requested[good]
        sent = self._limits.clip(requested)
        at = self.steps[rows]
        self._requested[at, rows], self._sent[at, rows] = requested, sent
        return rows, sent

    def add(self, rows: Int[np.ndarray, "n"], steps: StepBatch) -> None:
        """Record what came of the actions that were sent; from a row's first fault on, nothing."""
        for place, fault in steps.faults.items():
            self.fail(int(rows[place]), fault)
        for place, success in steps.successes.items():
            self._details[rows[place]]["success"] = success
        observations, rewards, terminated, truncated, faults, _ = steps
        if faults:
            good = np.ones(len(rows), dtype=np.bool_)
            good[list(faults)] = False
            if not good.any():
                return
            rows, observations = rows[good], observations[good]
            rewards, terminated, truncated = rewards[good], terminated[good], truncated[good]
        at = self.steps[rows]
        self._seen[at + 1, rows], self._rewards[at, rows] = observations, rewards
        self.observations[rows] = observations
        self.steps[rows] += 1
        whole = self.steps[rows] == self._horizons[rows]
        if self._limits.time_limit is not None:
            truncated = truncated | (self.steps[rows] >= self._limits.time_limit)
        self._terminated[rows] = terminated
        self._truncated[rows] = truncated & ~terminated & ~whole
        self.done[rows] = terminated | truncated | whole

    def fail(self, row: int, fault: Fault) -> None:
        """End a rollout; the reason is completed by its name and step."""
        where = f"at step {self.steps[row]}" if self._begun[row] else "at its reset"
        name = self.candidates[row].id
        self._faults[row] = Fault(fault.kind, f"rollout {name}: {where}: {fault.reason}")
        self.done[row] = True

    def outcome(self, row: int, film: Film | None = None) -> Outcome:
        """Return the trajectory of a row, or the failure with what was recorded before it.

        Args:
            row: that is done.
            film: of the pictures that were seen.
        """
        steps, name, trajectory = int(self.steps[row]), self.candidates[row].id, None
        if steps:
            trajectory = Trajectory(
                observations=self._seen[: steps + 1, row].copy(),
                actions=self._sent[:steps, row].copy(),
                requested=self._requested[:steps, row].copy(),
                rewards=self._rewards[:steps, row].copy(),
                terminated=bool(self._terminated[row]),
                truncated=bool(self._truncated[row]),
                film=film,
            )
        seconds, details = steps * self._limits.control_period, self._details[row]
        if row in self._faults:
            kind, reason = self._faults[row]
            return Outcome(name, Failure(kind, reason, trajectory), seconds, details)
        assert trajectory is not None and self.done[row]
        labels = [Label("success", details["success"], TASK)] if "success" in details else []
        return Outcome(name, trajectory, seconds, details, labels)
