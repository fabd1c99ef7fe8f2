"""The oracle of a simulated campaign: everything queued runs as one closed-loop batch.

MuJoCo tasks take their physics from one `mujoco.batch.Batch` on threads, analytic tasks from their
vectorised formula, any other env is stepped in turn (`robo_al.oracles.steppers`). Whichever it is,
each rollout is, bit for bit, what its env stepped alone would have given.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from robo_al.config.ranges import Threads, Width
from robo_al.errors import OracleError, UserError
from robo_al.oracles.connection import unconnected
from robo_al.oracles.recording import Fault, RolloutBuffer, film_path
from robo_al.oracles.steppers import Separate, make_stepper
from robo_al.protocols import Actor, Resolver
from robo_al.torch_defaults import one_thread
from robo_al.types import (
    Candidate,
    ClosedLoop,
    Context,
    Demonstration,
    EnvSpec,
    OpenLoop,
    Outcome,
)

Array = NDArray[np.float64]


@runtime_checkable
class SupportsFaults(Protocol):
    """An actor that may be unable to go on with some of its rollouts."""

    faults: Mapping[int, Fault]
    """Why, by row; such a rollout ends."""


class SimulationOracle:
    """Executes candidates in a simulated env, all queued ones together at the next poll.

    Args:
        env: what to simulate.
        threads: of MuJoCo's physics; 0 for one a core. Results do not depend on it.
        envs: instances of an env that are stepped together, where each rollout has one of its own;
            None: as many as there are rollouts, 64 at most (8 that show pictures), or as one
            process can have.

    Raises:
        UserError: the env cannot be made, or is none that a rollout can run in.
    """

    repeatable = True
    capacity: int = 4096

    def __init__(self, env: EnvSpec, threads: Threads = 0, envs: Width | None = None) -> None:
        if envs is not None and envs < 1:
            raise UserError(f"oracle simulation: envs is {envs}; at least 1 is needed")
        self._env, self._envs = env, envs
        self._stepper, self._limits = make_stepper(env, threads, envs)
        self._queue: dict[str, Candidate] = {}
        self._closed = False
        self.resolve: Resolver = unconnected
        """Finds the policies that candidates name."""
        self.films: Path | None = None
        """Where pictures are kept until they are recorded; see `SupportsFilms`."""
        self.advanced: Callable[[int, int], None] = lambda step, steps: None
        """Told after each tick how many of how many there are."""

    def look(self, seeds: Sequence[int]) -> list[Context]:
        """Find the next starts: reset envs, which stay there until their candidates come.

        Raises:
            OracleError: closed, or an env cannot be reset.
        """
        self._refuse_closed()
        if not isinstance(self._stepper, Separate):  # a batch cannot stay where it is
            self._stepper = Separate(self._env, self._envs)
        return self._stepper.look(seeds)

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
        if candidate.id in self._queue:
            raise OracleError(f"candidate {candidate.id!r} is queued already")
        self._queue[candidate.id] = candidate

    @one_thread
    def poll(self, timeout: float | None = None) -> list[Outcome]:
        """Execute everything queued; return the outcomes in the order of submission.

        Raises:
            UserError: a policy answered with actions of a wrong shape.
        """
        self._refuse_closed()
        waiting, self._queue = list(self._queue.values()), {}
        outcomes: list[Outcome] = []
        while waiting:
            try:
                done = self._execute(waiting)
            finally:
                self._stepper.release()
            outcomes, waiting = outcomes + done, waiting[len(done) :]
        return outcomes

    def _execute(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        """Execute as many of the candidates as can be stepped together, the first ones."""
        firsts = self._stepper.reset([candidate.context for candidate in candidates])
        recordings = RolloutBuffer(candidates[: len(firsts)], self._limits)
        recordings.begin(firsts)
        self._film(recordings)
        groups, longest = (
            _groups(recordings, self._start),
            max(each.horizon for each in recordings.candidates),
        )
        while len(recordings.running):
            asked = self._asked(recordings, groups)
            rows = recordings.running  # without those that nobody could answer
            rows, sent = recordings.send(rows, asked[rows])
            if len(rows):
                recordings.add(rows, self._stepper.step(rows, sent))
                self.advanced(int(recordings.steps.max()), longest)
        films = self._stepper.cut() if isinstance(self._stepper, Separate) else {}
        return [recordings.outcome(row, films.get(row)) for row in range(len(firsts))]

    def _film(self, recordings: RolloutBuffer) -> None:
        """Begin to keep the pictures that the envs show, if they do and somebody wants them."""
        if self.films is None or not isinstance(self._stepper, Separate):
            return
        paths = {
            row: film_path(self.films, recordings.candidates[row].id)
            for row in recordings.running.tolist()
        }
        self._stepper.film(paths, self._limits.control_period)

    def _asked(
        self, recordings: RolloutBuffer, groups: "Sequence[_Group]"
    ) -> Float[np.ndarray, "B A"]:
        """Return what the controllers of the running rollouts ask for.

        An actor always answers all its rows, so that what it asks of one does not depend on
        whether another has ended: an ended one keeps showing its last observation.
        """
        asked = np.zeros((len(recordings.candidates), len(self._limits.low)))
        for group in groups:
            if recordings.done[group.rows].all():
                continue
            answer = group.actor.act(recordings.observations[group.rows])
            actions = np.asarray(answer, dtype=np.float64)
            if actions.shape != (len(group.rows), len(self._limits.low)):
                names = ", ".join(recordings.candidates[row].id for row in group.rows)
                raise UserError(
                    f"candidates {names}: {group.name}'s act answered with shape {actions.shape}; "
                    f"[rollouts, action size] is {(len(group.rows), len(self._limits.low))}"
                )
            asked[group.rows] = actions
            if isinstance(group.actor, SupportsFaults):
                for place, fault in group.actor.faults.items():
                    if not recordings.done[group.rows[place]]:
                        recordings.fail(group.rows[place], fault)
        return asked

    def _start(self, controllers: Sequence[ClosedLoop], seeds: Sequence[int]) -> tuple[Actor, str]:
        """Begin rollouts that one policy controls; return also what it is called."""
        policy, model = self.resolve(controllers[0])
        members = [controller.member for controller in controllers]
        return policy.start(model, members, seeds), type(policy).__name__

    def close(self) -> None:
        """Refuse everything from now on; no env is held any more."""
        self._closed = True
        if isinstance(self._stepper, Separate):
            self._stepper.let_go()

    def __enter__(self) -> "SimulationOracle":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise OracleError("the oracle is closed")


class _Group:
    """The rollouts of one batch that one policy controls, or the open-loop ones."""

    def __init__(self, rows: list[int], actor: Actor, name: str) -> None:
        self.rows, self.actor, self.name = rows, actor, name


Start: TypeAlias = Callable[[Sequence[ClosedLoop], Sequence[int]], tuple[Actor, str]]
"""(controllers of one policy, seeds) -> who acts in their rollouts, and what it is called."""


class _Plans:
    """Answers with one action of each plan after another, whatever is observed."""

    def __init__(self, plans: Sequence[Float[np.ndarray, "T A"]]) -> None:
        self._plans = np.zeros((max(map(len, plans)), len(plans), plans[0].shape[1]))
        for place, plan in enumerate(plans):
            self._plans[: len(plan), place] = plan
        self._step = -1

    def act(self, observations: Float[np.ndarray, "B O"]) -> Float[np.ndarray, "B A"]:
        """Return the next actions, 0 where a plan has ended."""
        self._step += 1
        actions: Array = self._plans[self._step]
        return actions


def _groups(recordings: RolloutBuffer, start: Start) -> list[_Group]:
    """Start each policy once for all the rollouts that it controls with the same weights."""
    plans: dict[int, Array] = {}
    loops: dict[tuple[str, str | None], dict[int, ClosedLoop]] = {}
    # a rollout that failed at its reset has no observation to answer
    for row in map(int, recordings.running):
        controller = recordings.candidates[row].controller
        if isinstance(controller, OpenLoop):
            plans[row] = controller.actions
        else:
            assert not isinstance(controller, Demonstration), "no limits let one through"
            loops.setdefault((controller.policy, controller.weights), {})[row] = controller
    groups = [_Group(list(plans), _Plans(list(plans.values())), "a plan")] if plans else []
    for controllers in loops.values():
        seeds = [recordings.candidates[row].seed for row in controllers]
        groups.append(_Group(list(controllers), *start(list(controllers.values()), seeds)))
    return groups
