"""One rollout while it is executed: what is sent, what is recorded, what cannot be trusted."""

import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from robo_al.errors import UserError
from robo_al.tasks import Env, describe
from robo_al.types import (
    Candidate,
    Context,
    EnvSpec,
    Failure,
    FailureKind,
    OpenLoop,
    Outcome,
    Trajectory,
)

Array = NDArray[np.float64]


class Fault(NamedTuple):
    """Why a rollout cannot go on."""

    kind: FailureKind
    reason: str


class Step(NamedTuple):
    """What an env answered to one action."""

    observation: Float[np.ndarray, "O"]
    reward: float
    terminated: bool


@dataclass(frozen=True)
class Limits:
    """What actions are clipped to, and how long one lasts."""

    low: Float[np.ndarray, "A"]
    high: Float[np.ndarray, "A"]
    dtype: str
    """Of the action space: an env is sent what it declares."""
    control_period: float
    """Seconds between two actions."""

    @classmethod
    def of(cls, env: Env, spec: EnvSpec) -> "Limits":
        """Read the limits off an env; raises `ConfigError` like `robo_al.tasks.describe`."""
        task = describe(env, spec)
        dtype = np.dtype(env.action_space.dtype).name
        return cls(task.action_low, task.action_high, dtype, task.control_period)

    def check(self, candidate: Candidate) -> None:
        """Raise `UserError` for a candidate that no env with these limits can execute."""
        if candidate.horizon < 1:
            raise UserError(f"candidate {candidate.id}: horizon {candidate.horizon}; at least 1")
        if isinstance(candidate.controller, OpenLoop):
            shape, needed = candidate.controller.actions.shape, (candidate.horizon, len(self.low))
            if shape != needed:
                raise UserError(
                    f"candidate {candidate.id}: actions of shape {shape}; [horizon, action size] "
                    f"is {needed}"
                )

    def clip(self, asked: Float[np.ndarray, "*T A"]) -> Float[np.ndarray, "*T A"]:
        """Return what is sent when `asked` is asked for, in the action space's dtype."""
        sent: np.ndarray = np.clip(asked, self.low, self.high).astype(self.dtype)
        return sent


class Recording:
    """A rollout in progress; `done` when it has ended one way or another."""

    def __init__(self, candidate: Candidate, limits: Limits) -> None:
        self.candidate = candidate
        self._limits = limits
        self._observations: list[Array] = []
        self._sent: list[Array] = []
        self._asked: list[Array] = []
        self._rewards: list[float] = []
        self._terminated = False
        self._fault: Fault | None = None

    @property
    def steps(self) -> int:
        """Steps recorded so far."""
        return len(self._rewards)

    @property
    def done(self) -> bool:
        """Whether nothing may be sent any more."""
        ended = self._terminated or self.steps == self.candidate.horizon
        return ended or self._fault is not None

    @property
    def observation(self) -> Array | None:
        """The last observation that can be trusted, if there is any."""
        return self._observations[-1] if self._observations else None

    def begin(self, first: Float[np.ndarray, "O"] | Fault) -> None:
        """Record the first observation."""
        if isinstance(first, Fault):
            self.fail(first)
        else:
            self._observations.append(first)

    def send(self, asked: Float[np.ndarray, "A"]) -> Float[np.ndarray, "A"] | None:
        """Return what to send when the controller asks for `asked`; None ends the rollout."""
        if not np.isfinite(asked).all():
            self.fail(Fault("quarantined", f"the controller asked for {asked}"))
            return None
        return self._limits.clip(asked)

    def add(self, asked: Float[np.ndarray, "A"], step: Step | Fault) -> None:
        """Record what came of one action; from the first bad step on, nothing."""
        if isinstance(step, Fault):
            self.fail(step)
            return
        self._observations.append(step.observation)
        self._asked.append(np.array(asked, dtype=np.float64))
        self._sent.append(self._limits.clip(asked).astype(np.float64))
        self._rewards.append(float(step.reward))
        self._terminated = step.terminated

    def fail(self, fault: Fault) -> None:
        """End the rollout; the reason is completed by its name and step."""
        where = f"at step {self.steps}" if self._observations else "at its reset"
        self._fault = Fault(fault.kind, f"rollout {self.candidate.id}: {where}: {fault.reason}")

    def outcome(self) -> Outcome:
        """Return the trajectory, or the failure with what was recorded before it."""
        trajectory = None
        if self._rewards:
            trajectory = Trajectory(
                observations=np.array(self._observations),
                actions=np.array(self._sent),
                proposed=np.array(self._asked),
                rewards=np.array(self._rewards),
                terminated=self._terminated,
            )
        seconds = self.steps * self._limits.control_period
        if self._fault is not None:
            failure = Failure(self._fault.kind, self._fault.reason, trajectory)
            return Outcome(self.candidate.id, failure, seconds)
        assert trajectory is not None and self.done
        return Outcome(self.candidate.id, trajectory, seconds)


class Watch:
    """Looks over a MuJoCo env's shoulder; does nothing for any other.

    MuJoCo resets a simulation whose state is not finite without a word, and goes on. So its
    automatic reset is switched off, and each step must leave the warning counters as they were
    and the time risen.
    """

    def __init__(self, env: Env) -> None:
        self._env = mujoco_env(env)
        if self._env is not None:
            import mujoco

            self._env.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self._time, self._counts = 0.0, b""

    def before_step(self) -> None:
        """Remember time and counters."""
        if self._env is not None:
            self._time = self._env.data.time
            self._counts = self._env.data.warning.number.tobytes()

    def fault(self) -> Fault | None:
        """Return what the step did that it must not."""
        if self._env is None:
            return None
        data, number = self._env.data, self._env.data.warning.number
        if number.tobytes() != self._counts:
            risen = np.flatnonzero(number > np.frombuffer(self._counts, number.dtype))
            if len(risen):
                import mujoco

                names = ", ".join(mujoco.mjtWarning(int(i)).name for i in risen)
                return Fault("quarantined", f"MuJoCo warned: {names}")
        if not data.time - self._time > 0.5 * self._env.dt:
            times = f"its time went from {self._time} to {data.time} s"
            return Fault("quarantined", f"the simulator was reset silently: {times}")
        return None


def mujoco_env(env: Env) -> Any:
    """Return the `gymnasium.envs.mujoco.MujocoEnv` inside an env, or None."""
    module = sys.modules.get("gymnasium.envs.mujoco.mujoco_env")  # not loaded: it cannot be one
    inner = env.unwrapped
    return inner if module is not None and isinstance(inner, module.MujocoEnv) else None


def reset_env(env: Env, context: Context) -> Array | Fault:
    """Reset an env; return its first observation [O], or why there is none."""
    try:
        observation, _ = env.reset(seed=context.seed, options=dict(context.options) or None)
    except Exception as error:
        return Fault("failed", f"the env raised {type(error).__name__}: {error}")
    first = np.array(observation, dtype=np.float64)
    if not np.isfinite(first).all():
        return Fault("quarantined", f"the first observation is not finite: {first}")
    return first


def step_env(env: Env, watch: Watch, action: Float[np.ndarray, "A"]) -> Step | Fault:
    """Step an env through its public API; what it raises is a `Fault`."""
    watch.before_step()
    try:
        observation, reward, terminated, _, _ = env.step(action)
    except Exception as error:
        return Fault("failed", f"the env raised {type(error).__name__}: {error}")
    return watch.fault() or checked(observation, reward, terminated)


def checked(observation: Any, reward: Any, terminated: Any) -> Step | Fault:
    """Return a step whose numbers are finite."""
    observation, reward = np.array(observation, dtype=np.float64), float(reward)
    if not (np.isfinite(observation).all() and np.isfinite(reward)):
        what = f"observation {observation}, reward {reward}"
        return Fault("quarantined", f"the env answered with numbers that are not finite: {what}")
    return Step(observation, reward, bool(terminated))
