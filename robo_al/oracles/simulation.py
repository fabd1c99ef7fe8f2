"""The oracle of a simulated campaign: everything queued runs as one closed-loop batch.

MuJoCo tasks take their physics from one `mujoco.batch.Batch` on threads, analytic tasks from their
vectorised formula, any other env is stepped in turn. Whichever it is, each rollout is, bit for bit,
what its env stepped alone would have given.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robo_al.errors import OracleError, UserError
from robo_al.oracles.recording import Limits, Recording
from robo_al.oracles.steppers import make_stepper
from robo_al.protocols import Actor
from robo_al.types import Candidate, EnvSpec, OpenLoop, Outcome, Streamed

Array = NDArray[np.float64]


class SimulationOracle:
    """Executes candidates in a simulated env, all queued ones together at the next poll.

    Args:
        env: what to simulate.
        threads: of MuJoCo's physics; 0 for one a core. Results do not depend on it.
    """

    repeatable = True
    capacity: int = 4096

    def __init__(self, env: EnvSpec, threads: int = 0) -> None:
        self._stepper, first = make_stepper(env, threads)
        self._limits = Limits.of(first, env)
        self._queue: list[Candidate] = []
        self._closed = False

    def submit(self, candidate: Candidate) -> None:
        """Queue a candidate.

        Raises:
            UserError: its actions or horizon cannot be executed.
            OracleError: closed, `capacity` candidates are queued, or its id is among them.
        """
        self._refuse_closed()
        self._limits.check(candidate)
        if len(self._queue) >= self.capacity:
            raise OracleError(f"{self.capacity} candidates are queued already; poll first")
        if any(queued.id == candidate.id for queued in self._queue):
            raise OracleError(f"candidate {candidate.id!r} is queued already")
        self._queue.append(candidate)

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        """Execute everything queued; return the outcomes in the order of submission.

        Raises:
            UserError: a policy answered with actions of a wrong shape.
        """
        self._refuse_closed()
        candidates, self._queue = self._queue, []
        recordings = [Recording(candidate, self._limits) for candidate in candidates]
        firsts = self._stepper.reset([candidate.context for candidate in candidates])
        for recording, first in zip(recordings, firsts, strict=True):
            recording.begin(first)
        groups = _groups(recordings)
        while any(not recording.done for recording in recordings):
            self._tick(recordings, groups)
        return [recording.outcome() for recording in recordings]

    def close(self) -> None:
        """Close the envs."""
        if not self._closed:
            self._closed = True
            self._stepper.close()

    def __enter__(self) -> "SimulationOracle":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise OracleError("the oracle is closed")

    def _tick(self, recordings: Sequence[Recording], groups: "Sequence[_Group]") -> None:
        asked = _asked(recordings, groups, len(self._limits.low))
        rows, sent = [], []
        for row, action in asked.items():
            clipped = recordings[row].send(action)
            if clipped is not None:
                rows.append(row)
                sent.append(clipped)
        if rows:
            for row, step in zip(rows, self._stepper.step(rows, np.array(sent)), strict=True):
                recordings[row].add(asked[row], step)


class _Group:
    """The rollouts of one batch that one policy streams on one model."""

    def __init__(self, rows: list[int], actor: Actor, name: str) -> None:
        self.rows, self.actor, self.name = rows, actor, name


def _groups(recordings: Sequence[Recording]) -> list[_Group]:
    """Start each policy once for all the rollouts that it streams on the same model."""
    members: dict[tuple[int, int], list[int]] = {}
    for row, recording in enumerate(recordings):
        controller = recording.candidate.controller
        # a rollout that failed at its reset has no observation to answer
        if isinstance(controller, Streamed) and not recording.done:
            members.setdefault((id(controller.policy), id(controller.model)), []).append(row)
    groups = []
    for rows in members.values():
        streamed = [recordings[row].candidate.controller for row in rows]
        first = streamed[0]
        assert isinstance(first, Streamed)
        actor = first.policy.start(
            first.model,
            [c.member for c in streamed if isinstance(c, Streamed)],
            [recordings[row].candidate.seed for row in rows],
        )
        groups.append(_Group(rows, actor, type(first.policy).__name__))
    return groups


def _asked(
    recordings: Sequence[Recording], groups: Sequence[_Group], action_size: int
) -> dict[int, Array]:
    """Return what the controllers of the running rollouts ask for, by row.

    An actor always answers all its rows, so that what it asks of one does not depend on whether
    another has ended: an ended one keeps showing its last observation.
    """
    asked = {}
    for row, recording in enumerate(recordings):
        controller = recording.candidate.controller
        if isinstance(controller, OpenLoop) and not recording.done:
            asked[row] = controller.actions[recording.steps]
    for group in groups:
        if all(recordings[row].done for row in group.rows):
            continue
        observations = np.array([recordings[row].observation for row in group.rows])
        actions = np.asarray(group.actor.act(observations), dtype=np.float64)
        if actions.shape != (len(group.rows), action_size):
            names = ", ".join(recordings[row].candidate.id for row in group.rows)
            raise UserError(
                f"candidates {names}: {group.name}'s act answered with shape {actions.shape}; "
                f"[rollouts, action size] is {(len(group.rows), action_size)}"
            )
        for row, action in zip(group.rows, actions, strict=True):
            if not recordings[row].done:
                asked[row] = action
    return dict(sorted(asked.items()))
