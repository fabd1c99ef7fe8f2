"""The oracle for any Gymnasium env: each in a process of its own, with a deadline.

An env that hangs, dies or raises costs one rollout: its worker is killed with everything that it
started, never used again, and replaced.
"""

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from robo_al.config.ranges import Positive, Width
from robo_al.encoding.camera import Camera
from robo_al.errors import OracleError, StorageError, UserError
from robo_al.foreign.env import DescribedEnv
from robo_al.foreign.process import WorkerLost, WorkerProcess
from robo_al.oracles.connection import unconnected
from robo_al.oracles.foreign import ForeignSpaces
from robo_al.oracles.recording import (
    ActionLimits,
    Fault,
    RolloutBuffer,
    Step,
    StepBatch,
    film_path,
)
from robo_al.oracles.steppers import START_GONE, StartKey, start_key
from robo_al.protocols import Actor, Resolver
from robo_al.torch_defaults import one_thread
from robo_al.types import Candidate, ClosedLoop, Context, EnvSpec, Film, OpenLoop, Outcome
from robo_al.worker.frames import Frame

Array = NDArray[np.float64]
ONLY = np.zeros(1, dtype=np.int64)
"""The row of a worker's rollout."""


class GymnasiumOracle:
    """Executes candidates through the public API of any env, in worker processes.

    Args:
        env: what to execute in.
        workers: processes, each with an env of its own.
        step_timeout: seconds that a reset or a step may take.
        start_timeout: seconds that making the env may take.
        repeatable: whether a rollout has no lasting effect, so that one may be executed again.

    Raises:
        UserError: the env cannot be made, or is none that a rollout can run in.
        OracleError: making it raised or took too long.
    """

    capacity: int = 1024

    def __init__(
        self,
        env: EnvSpec,
        workers: Width = 1,
        step_timeout: Positive = 30.0,
        start_timeout: Positive = 60.0,
        repeatable: bool = True,
    ) -> None:
        if workers < 1:
            raise UserError(f"workers is {workers}; at least 1 is needed")
        self.repeatable = repeatable
        self._env, self._step_timeout, self._start_timeout = env, step_timeout, start_timeout
        self._jobs: queue.SimpleQueue[Candidate | _Looking | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[str, Outcome | Exception]] = queue.SimpleQueue()
        self._pending: set[str] = set()
        self._alive: set[_Worker] = set()
        self._lock = threading.Lock()
        """Of `_alive` and `_closed`."""
        self._policies = threading.Lock()
        """Policies and models are not asked from two threads at once."""
        self._closed = False
        self.films: Path | None = None
        """Where pictures are kept until they are recorded; see `SupportsFilms`."""
        self.resolve: Resolver = unconnected
        """Finds the policies that candidates name."""
        first = self._spawn()
        self._limits = first.limits
        self._threads = [
            threading.Thread(target=self._serve, args=(worker,), daemon=True)
            for worker in [first] + [None] * (workers - 1)
        ]
        for thread in self._threads:
            thread.start()

    def look(self, seeds: Sequence[int]) -> list[Context]:
        """Find the next start: reset the env, which stays there until its candidate comes.

        Raises:
            UserError: several workers, of which any may execute the candidate.
            OracleError: closed, or the env cannot be reset.
        """
        self._refuse_closed()
        if len(self._threads) > 1:
            raise UserError(
                f"oracle gymnasium: workers is {len(self._threads)}, and a start that is found is "
                "that of one env: set oracle.workers to 1"
            )
        looking = _Looking(seeds[0])
        self._jobs.put(looking)
        return [looking.found.result()]

    def submit(self, candidate: Candidate) -> None:
        """Queue a candidate for the next free worker.

        Raises:
            UserError: its actions or horizon cannot be executed.
            OracleError: closed, `capacity` candidates are pending, or its id is among them.
        """
        self._refuse_closed()
        self._limits.check(candidate)
        if len(self._pending) >= self.capacity:
            raise OracleError(f"{self.capacity} candidates are pending already; poll first")
        if candidate.id in self._pending:
            raise OracleError(f"candidate {candidate.id!r} is pending already")
        self._pending.add(candidate.id)
        self._jobs.put(candidate)

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        """Return what has come; waits for one, at most `timeout` seconds.

        Raises:
            UserError: a policy answered with actions of a wrong shape.
        """
        self._refuse_closed()
        outcomes: list[Outcome] = []
        while self._pending:
            try:
                name, result = self._results.get(not outcomes, timeout)
            except queue.Empty:
                break
            if isinstance(result, Outcome):
                self._pending.remove(name)
                outcomes.append(result)
            elif outcomes:  # to be raised by the next poll: these outcomes are not to be lost
                self._results.put((name, result))
                break
            else:
                self._pending.remove(name)
                raise result
        return outcomes

    def close(self) -> None:
        """Kill the workers, whatever they do, and end the threads."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            workers = list(self._alive)
        for worker in workers:
            worker.kill()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> "GymnasiumOracle":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise OracleError("the oracle is closed")

    def _spawn(self) -> "_Worker":
        with self._lock:
            self._refuse_closed()
            worker = _Worker(self._env)
            self._alive.add(worker)
        try:
            worker.make(self._start_timeout)
        except BaseException:
            self._discard(worker)
            raise
        return worker

    def _discard(self, worker: "_Worker") -> None:
        with self._lock:
            self._alive.remove(worker)
        worker.kill()
        worker.free()

    def _serve(self, worker: "_Worker | None") -> None:
        """Execute one candidate after another: the life of one thread."""
        while (job := self._jobs.get()) is not None and not self._closed:
            if isinstance(job, _Looking):
                worker = self._find(worker, job)
                continue
            candidate = job
            recording = RolloutBuffer([candidate], self._limits)
            result: Outcome | Exception
            try:
                worker = worker or self._spawn()
                try:
                    self._roll(worker, recording)
                except WorkerLost as lost:
                    recording.fail(0, Fault("failed", str(lost)))
                result = recording.outcome(0, worker.cut())
            except Exception as error:  # a policy's, or no worker can be had: for who polls
                result = error
            if worker is not None and worker.broken:
                self._discard(worker)
                worker = None
            self._results.put((candidate.id, result))
        if worker is not None:
            self._discard(worker)

    def _find(self, worker: "_Worker | None", looking: "_Looking") -> "_Worker | None":
        """Look where an env is after a reset; return its worker, if that can be used again."""
        try:
            worker = worker or self._spawn()
            looking.found.set_result(worker.look(looking.seed, self._step_timeout))
        except WorkerLost as lost:
            looking.found.set_exception(OracleError(f"no start can be found: {lost}"))
        except Exception as error:  # no worker can be had, or the env raised
            looking.found.set_exception(error)
        if worker is not None and worker.broken:
            self._discard(worker)
            return None
        return worker

    def _roll(self, worker: "_Worker", recording: RolloutBuffer) -> None:
        """Execute one rollout; a part of it is recorded where the worker is lost."""
        (candidate,), timeout = recording.candidates, self._step_timeout
        recording.begin([worker.begin(candidate.context, timeout)])
        if recording.done[0]:
            return
        if self.films is not None:
            worker.film(film_path(self.films, candidate.id))
        if isinstance(candidate.controller, OpenLoop):
            requested = candidate.controller.actions
            finite = int(np.logical_and.accumulate(np.isfinite(requested).all(axis=1)).sum())
            steps = worker.steps(self._limits.clip(requested[:finite]), timeout)
            for action, step in zip(requested, steps, strict=False):
                recording.send(ONLY, action[None])
                recording.add(ONLY, StepBatch.of([step]))
            if not recording.done[0]:
                recording.send(ONLY, requested[finite][None])  # which refuses it
            return
        assert isinstance(candidate.controller, ClosedLoop), "no limits let anything else through"
        actor = self._start(candidate.controller, candidate.seed)
        while not recording.done[0]:
            rows, sent = recording.send(ONLY, self._act(actor, recording))
            if len(rows):
                recording.add(ONLY, StepBatch.of([next(worker.steps(sent, timeout))]))

    def _start(self, controller: ClosedLoop, seed: int) -> Actor:
        with self._policies, one_thread:
            policy, model = self.resolve(controller)
            return policy.start(model, [controller.member], [seed])

    def _act(self, actor: Actor, recording: RolloutBuffer) -> Float[np.ndarray, "1 A"]:
        with self._policies, one_thread:
            action: Array = np.array(actor.act(recording.observations.copy()), dtype=np.float64)
        if action.shape != (1, len(self._limits.low)):
            raise UserError(
                f"candidate {recording.candidates[0].id}: {type(actor).__name__}.act answered with "
                f"shape {action.shape}; [rollouts, action size] is {(1, len(self._limits.low))}"
            )
        return action


class _Looking:
    """A question to the thread of a worker: where is its env after a reset?"""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.found: Future[Context] = Future()


class _Worker:
    """One process with one env."""

    def __init__(self, env: EnvSpec) -> None:
        self._env = env
        self._process = WorkerProcess(env)
        self.broken = False
        """Lost, or its env raised: not to be used again."""
        self.limits: ActionLimits
        self._foreign: ForeignSpaces | None = None
        """What is made here of what an env in a Python of its own answers."""
        self._camera: Camera | None = None
        """Sees the pictures that the env shows, if it does."""
        self._standing: StartKey | None = None
        """Where the env was found, and is still."""

    def make(self, timeout: float) -> None:
        """Let it make the env; raises `UserError` or `OracleError`."""
        ready = self._process.make(timeout)
        if self._env.python is None:
            (low, high), fields = ready.arrays, ready.fields
            self.limits = ActionLimits(low, high, fields["dtype"], fields["control_period"])
            if fields["pictures"]:
                self._camera = Camera(fields["pictures"], self._env.facts.pictures)
        else:
            self._foreign = ForeignSpaces(DescribedEnv(ready), self._env)
            self.limits = self._foreign.limits
            self._camera = self._foreign.camera

    def look(self, seed: int, timeout: float) -> Context:
        """Reset the env and leave it there; raises `OracleError` where it cannot be reset."""
        first = self._reset(Context(np.zeros(0), seed), timeout)
        if isinstance(first, Fault):
            raise OracleError(f"no start can be found: {first.reason}")
        self._standing = start_key(seed, first)
        return Context(first, seed, found=True)

    def begin(self, context: Context, timeout: float) -> Array | Fault:
        """Bring the env to a start, if it is not there; return the first observation [O]."""
        standing, self._standing = self._standing, None
        if not context.found:
            return self._reset(context, timeout)
        there = standing == start_key(context.seed, context.observation)
        return context.observation.copy() if there else START_GONE

    def film(self, path: Path) -> None:
        """Begin to keep the pictures that the env shows, if it does; raises `StorageError`."""
        if self._camera is not None:
            self._camera.begin(path, self.limits.control_period)

    def cut(self) -> Film | None:
        """Return the film of what was seen, if one was begun; raises `StorageError`."""
        return None if self._camera is None else self._camera.end()

    def _reset(self, context: Context, timeout: float) -> Array | Fault:
        if self._camera is not None:
            self._camera.drop()
        fields = {"seed": context.seed, "options": dict(context.options)}
        self._send(Frame("reset", fields), timeout)
        answer = self._answer(timeout)
        return answer if isinstance(answer, Fault) else self._seen(answer)

    def steps(self, actions: Float[np.ndarray, "T A"], timeout: float) -> Iterator[Step | Fault]:
        """Step the env; yields at most T answers, each within `timeout` seconds."""
        if len(actions):
            sent = actions if self._foreign is None else self._foreign.packed(actions)
            self._send(Frame("step", {}, [sent]), timeout)
        for _ in actions:
            answer = self._answer(timeout)
            if isinstance(answer, Fault):
                yield answer
                return
            seen = self._seen(answer)
            if isinstance(seen, Fault):
                yield seen
                return
            fields = answer.fields
            ends = fields["terminated"], fields["truncated"]
            yield Step(seen, fields["reward"], *ends, fields["success"])
            if fields["over"]:
                return

    def kill(self) -> None:
        """End the process and whatever it has started."""
        self._process.kill()

    def free(self) -> None:
        """Close the pipes."""
        if self._camera is not None:
            self._camera.drop()
        self._process.free()

    def _seen(self, answer: Frame) -> Array | Fault:
        """Return an observation [O], or why there is none; raises `StorageError`."""
        try:
            seen = self._shown(answer.arrays)
        except StorageError:
            self.broken = True
            raise
        # the process goes on with the steps that it was asked for: it is of no further use
        self.broken = self.broken or isinstance(seen, Fault)
        return seen

    def _shown(self, arrays: Sequence[NDArray[Any]]) -> Array | Fault:
        if self._foreign is not None:
            return self._foreign.seen(arrays)
        numbers, *pictures = arrays
        if self._camera is not None:
            self._camera.see(dict(zip(self._camera.shapes, pictures, strict=True)))
        return numbers

    def _answer(self, timeout: float) -> Frame | Fault:
        try:
            frame = self._process.receive(timeout)
        except WorkerLost:
            self.broken = True
            raise
        if frame.kind != "fault":
            return frame
        fault = Fault(frame.fields["failure"], frame.fields["reason"])
        self.broken = fault.kind == "failed"
        return fault

    def _send(self, frame: Frame, timeout: float) -> None:
        try:
            self._process.send(frame, timeout)
        except WorkerLost:
            self.broken = True
            raise
