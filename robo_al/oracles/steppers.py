"""Three ways to step B rollouts of one env, each bit for bit what stepping them alone gives."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium import wrappers
from jaxtyping import Float
from numpy.typing import NDArray

from robo_al.oracles.recording import (
    Fault,
    Step,
    Watch,
    checked,
    mujoco_env,
    reset_env,
    step_env,
)
from robo_al.plugins import make_env
from robo_al.protocols import SupportsDynamics, SupportsReward
from robo_al.tasks import Env
from robo_al.types import Context, EnvSpec

Array = NDArray[np.float64]


def make_stepper(env: EnvSpec, threads: int) -> "tuple[Stepper, Env]":
    """Make the fastest stepper that an env allows, and its first env."""
    first = make_env(env)
    if mujoco_env(first) is not None:
        return Physics(first, env, threads), first
    return Formula(first) if is_formula(first) else Separate(first, env), first


@runtime_checkable
class Stepper(Protocol):
    """B rollouts of one env, stepped together."""

    def reset(self, contexts: Sequence[Context]) -> Sequence[Array | Fault]:
        """Start B rollouts; return their first observations [O]."""

    def step(
        self, rows: Sequence[int], actions: Float[np.ndarray, "B A"]
    ) -> Sequence[Step | Fault]:
        """Advance some of the rollouts by one action each."""

    def close(self) -> None:
        """Free the envs."""


class Separate:
    """Any env: one instance for each rollout, kept for the next batch, stepped in turn."""

    def __init__(self, first: Env, spec: EnvSpec) -> None:
        self._spec = spec
        self._envs: list[Env] = []
        self._watches: list[Watch] = []
        self._take(first)

    def _take(self, env: Env) -> None:
        self._envs.append(env)
        self._watches.append(Watch(env))

    def reset(self, contexts: Sequence[Context]) -> Sequence[Array | Fault]:
        """Reset one env for each context."""
        while len(self._envs) < len(contexts):
            self._take(make_env(self._spec))
        return [reset_env(env, context) for env, context in zip(self._envs, contexts, strict=False)]

    def step(
        self, rows: Sequence[int], actions: Float[np.ndarray, "B A"]
    ) -> Sequence[Step | Fault]:
        """Step each env."""
        return [
            step_env(self._envs[row], self._watches[row], action)
            for row, action in zip(rows, actions, strict=True)
        ]

    def close(self) -> None:
        """Close each env."""
        for env in self._envs:
            env.close()


class Formula:
    """An analytic task: its dynamics and reward on whole batches.

    Equal to the last bit where `step` applies the same formula to a batch of one; on a single
    observation, NumPy's scalars round some powers otherwise than its arrays.
    """

    def __init__(self, env: Env) -> None:
        self._env = env
        self._formula: Any = env.unwrapped
        self._observations: list[Array | Fault] = []

    def reset(self, contexts: Sequence[Context]) -> Sequence[Array | Fault]:
        """Let the env say where each context starts."""
        self._observations = [reset_env(self._env, context) for context in contexts]
        return self._observations

    def step(
        self, rows: Sequence[int], actions: Float[np.ndarray, "B A"]
    ) -> Sequence[Step | Fault]:
        """Apply the formulas to all rows at once."""
        before = np.array([self._observations[row] for row in rows])
        actions = actions.astype(np.float64)
        with np.errstate(all="ignore"):  # one rollout's overflow is found when it is recorded
            after = self._formula.dynamics(before, actions)
            rewards = self._formula.reward(before, actions, after)
        for row, observation in zip(rows, after, strict=True):
            self._observations[row] = observation
        return [checked(o, r, False) for o, r in zip(after, rewards, strict=True)]

    def close(self) -> None:
        """Close the env."""
        self._env.close()


def is_formula(env: Env) -> bool:
    """Whether stepping the env is its formula and nothing else: no wrapper that changes it."""
    transparent = (wrappers.TimeLimit, wrappers.OrderEnforcing, wrappers.PassiveEnvChecker)
    outer: Any = env
    while isinstance(outer, gymnasium.Wrapper):
        if not isinstance(outer, transparent):
            return False
        outer = outer.env
    return isinstance(outer, SupportsDynamics) and isinstance(outer, SupportsReward)


class Physics(Separate):
    """A `MujocoEnv`: the envs' own `step` around physics that ran in one batch on threads.

    Before each tick the batch takes over every env's state and control, and steps them all. Then
    each env's `step` runs as it is, except that its `do_simulation` fetches the result. An env that
    asks for something else than the action for `frame_skip` substeps from the state that it was in
    simulates it by itself: its own data are still where the batch began. One that changes its model
    does so in `reset`, or in `step` after the simulation; a change before it counts from the next
    step on.
    """

    def __init__(self, first: Env, spec: EnvSpec, threads: int) -> None:
        import mujoco
        from gymnasium.envs.mujoco.mujoco_env import MujocoEnv

        inner = type(first.unwrapped)
        self._batched = all(
            getattr(inner, name) is getattr(MujocoEnv, name)
            for name in ("do_simulation", "_step_mujoco_simulation")
        )
        self._threads = threads
        self._batch: Any = None
        self._simulated: dict[int, tuple[bytes, Array]] = {}
        """State and control of the rows whose result waits in the batch."""
        self._inner: list[Any] = []
        """The envs without their wrappers."""
        self._state = int(mujoco.mjtState.mjSTATE_INTEGRATION)
        """Everything of `MjData` that a `MujocoEnv`'s next step depends on."""
        inner_first: Any = first.unwrapped
        self._now = np.empty(mujoco.mj_stateSize(inner_first.model, self._state))
        super().__init__(first, spec)

    def _take(self, env: Env) -> None:
        inner: Any = env.unwrapped
        self._inner.append(inner)
        if self._batched:
            inner.do_simulation = partial(self._fetch, len(self._envs))
        super()._take(env)

    def step(
        self, rows: Sequence[int], actions: Float[np.ndarray, "B A"]
    ) -> Sequence[Step | Fault]:
        """Advance the physics of all rows on threads, then step each env around it."""
        errors = self._advance(rows, actions) if self._batched else {}
        steps = [
            errors.get(row) or step_env(self._envs[row], self._watches[row], action)
            for row, action in zip(rows, actions, strict=True)
        ]
        self._simulated.clear()
        return steps

    def _advance(self, rows: Sequence[int], actions: Float[np.ndarray, "B A"]) -> dict[int, Fault]:
        """Run the batch from the envs' states; return what MuJoCo raised, by row."""
        import mujoco
        from mujoco.batch import Batch, SimulationError

        inner = self._inner
        if self._batch is None or self._batch.nsim < len(inner):
            self._batch = Batch(inner[0].model, len(inner), self._threads, persistent=True)
        batch, ids = self._batch, np.array(rows)
        if actions.shape[1] != inner[0].model.nu:
            self._batched = False  # its actions are no controls
            return {}
        batch.set_models([env.model for env in inner])  # again: an env may have changed its own
        state, warning = batch.state, batch.warning
        for row, action in zip(rows, actions.copy(), strict=True):
            mujoco.mj_getState(inner[row].model, inner[row].data, state[row], self._state)
            warning[row, :, 1] = inner[row].data.warning.number
            self._simulated[row] = (state[row].tobytes(), action)
        batch.ctrl[ids] = actions
        try:
            batch.step(ids=ids, nstep=inner[0].frame_skip)
        except SimulationError as error:
            failed = [int(row) for row in error.ids]
            return {row: Fault("quarantined", f"MuJoCo: {batch.error(row)}") for row in failed}
        return {}

    def _fetch(self, row: int, control: Any, substeps: int) -> None:
        """Stand in for `do_simulation` of the env of one row."""
        import mujoco

        env = self._inner[row]
        state, action = self._simulated.pop(row, (b"", np.zeros(0)))
        if (
            substeps == env.frame_skip
            and np.array_equal(action, control)
            and self._is_at(env, state)
        ):
            self._batch.get_data(row, env.data)
            mujoco.mj_rnePostConstraint(env.model, env.data)  # as MujocoEnv does after stepping
        else:
            self._batched = False
            type(env).do_simulation(env, control, substeps)

    def _is_at(self, env: Any, state: bytes) -> bool:
        import mujoco

        mujoco.mj_getState(env.model, env.data, self._now, self._state)
        return self._now.tobytes() == state
