"""An env in a Python of its own, used like any other: `env: {name: ..., python: ...}`."""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robo_al.errors import EnvFault
from robo_al.foreign.process import WorkerLost, WorkerProcess
from robo_al.types import Channel, EnvSpec
from robo_al.worker.frames import Frame
from robo_al.worker.spaces import joined, packed

Array = NDArray[Any]


class DescribedEnv(gymnasium.Env[Any, Any]):
    """What an env that another process holds says of itself: spaces, horizon, channels, ...

    Args:
        ready: the worker's frame.
    """

    def __init__(self, ready: Frame) -> None:
        fields = ready.fields
        arrays = iter(ready.arrays)
        self.action_space = space_of(fields["action"], arrays)
        self.observation_space = space_of(fields["observation"], arrays)
        for name, value in fields["attributes"].items():
            setattr(self, name, value)
        if fields["channels"] is not None:
            self.channels = tuple(Channel(*channel) for channel in fields["channels"])


class ForeignEnv(DescribedEnv):
    """Stands for an env that a process of another Python holds.

    A process that hangs, dies, or whose env raised is killed, and replaced at the next `reset`.

    Args:
        spec: with `python`.
        step_timeout: seconds that a reset or a step may take.
        start_timeout: seconds that making the env may take.

    Raises:
        PluginError: the Python cannot be used, or makes no env with spaces of numbers.
        OracleError: making it took too long.
    """

    def __init__(
        self, spec: EnvSpec, step_timeout: float = 30.0, start_timeout: float = 60.0
    ) -> None:
        self._spec = spec
        self._step_timeout = step_timeout
        self._start_timeout = start_timeout
        self._process: WorkerProcess | None = None
        self._start: dict[str, Sequence[float]] = {}
        ready = self._started()
        super().__init__(ready)
        if ready.fields["context"]:
            self.context = lambda: self._start

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start a rollout.

        Raises:
            EnvFault: the env raised, hung or died.
        """
        super().reset(seed=seed)
        seed = int(self.np_random.integers(2**31 - 1)) if seed is None else seed
        if self._process is None:
            self._started()
        answer = self._ask(Frame("reset", {"seed": seed, "options": options or {}}))
        self._start = answer.fields["context"]
        return self._observed(answer), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Apply one action.

        Raises:
            EnvFault: the env raised, hung or died.
            gymnasium.error.ResetNeeded: it did so before, and there was no reset since.
        """
        sent = packed(self.action_space, action)
        answer = self._ask(Frame("step", {}, [sent[None]]))
        fields = answer.fields
        ends = fields["terminated"], fields["truncated"]
        info = {} if fields["success"] is None else {"success": fields["success"]}
        return self._observed(answer), fields["reward"], *ends, info

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process = None
            self._finalizer()

    def _started(self) -> Frame:
        """Start the process, and let it make the env."""
        self._process = WorkerProcess(self._spec)
        # an env that nobody closes leaves no process behind
        self._finalizer = weakref.finalize(self, _end, self._process)
        try:
            return self._process.make(self._start_timeout)
        except BaseException:
            self.close()
            raise

    def _ask(self, frame: Frame) -> Frame:
        if self._process is None:
            raise gymnasium.error.ResetNeeded(f"env {self._spec.name}: reset it before a step")
        try:
            self._process.send(frame, self._step_timeout)
            answer = self._process.receive(self._step_timeout)
        except WorkerLost as lost:
            self.close()
            raise EnvFault("failed", str(lost)) from lost
        except BaseException:  # Ctrl-C: an answer that comes later is to no question of ours
            self.close()
            raise
        if answer.kind == "fault":
            fault = EnvFault(answer.fields["failure"], answer.fields["reason"])
            if fault.kind == "failed":
                self.close()
            raise fault
        return answer

    def _observed(self, answer: Frame) -> Any:
        return joined(self.observation_space, iter(answer.arrays))


def _end(process: WorkerProcess) -> None:
    process.kill()
    process.free()


def space_of(told: Mapping[str, Any], arrays: Iterator[Array]) -> spaces.Space[Any]:
    """Return the space that another process has described (`robo_al.worker.spaces.described`).

    Args:
        told: what it is.
        arrays: low and high of each box in it, in turn.
    """
    match told["kind"]:
        case "Box":
            dtype: Any = np.dtype(told["dtype"]).type
            low, high = next(arrays).astype(dtype), next(arrays).astype(dtype)
            return spaces.Box(low, high, low.shape, dtype)
        case "Discrete":
            return spaces.Discrete(told["n"], start=told["start"])
        case "MultiDiscrete":
            return spaces.MultiDiscrete(told["nvec"], start=told["start"])
        case "MultiBinary":
            return spaces.MultiBinary(told["shape"])
    inner = [space_of(each, arrays) for each in told["spaces"]]
    if told["kind"] == "Tuple":
        return spaces.Tuple(inner)
    return spaces.Dict(list(zip(told["keys"], inner, strict=True)))
