"""Closed-loop simulated rollouts, beside vector envs and beside physics alone.

256 rollouts of 100 steps under one policy (a product and a tanh), envs made before the clock runs.
The limit is `mujoco.rollout`: the same number of physics steps on as many threads, open loop, with
neither observation nor reward.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import gymnasium
import mujoco
import mujoco.rollout
import numpy as np
from measure import CORES, Result

from robo_al.oracles.simulation import SimulationOracle
from robo_al.plugins import make_env
from robo_al.protocols import Acting
from robo_al.types import MEAN, Candidate, ClosedLoop, Context, EnvSpec

ENVS = ("Reacher-v5", "HalfCheetah-v5")
LIMIT, OURS = "mujoco.rollout, open loop (the limit)", "robo-al SimulationOracle"
SYNC, ASYNC = "gymnasium SyncVectorEnv", "gymnasium AsyncVectorEnv"
SUBPROC, ENVPOOL = "SB3 SubprocVecEnv", "envpool"
WORKERS = 4 * CORES
"""Processes of AsyncVectorEnv and SubprocVecEnv, which run the rollouts in several goes."""
PREDICTED = {"Reacher-v5": ("0.7", "10"), "HalfCheetah-v5": ("0.8", "12")}
"""Of the limit, and times AsyncVectorEnv: made after a run on a busy machine (0.75, 0.84)."""

Run = Callable[[], object]


class Policy:
    """Answers observations with tanh(o W)."""

    def __init__(self, env: Any) -> None:
        size = (env.observation_space.shape[0], env.action_space.shape[0])
        self.weights = np.random.default_rng(0).normal(0, 0.1, size)

    def start(self, model: Any, members: Any, seeds: Any) -> "Policy":
        """Begin rollouts."""
        return self

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Return actions [B,A]."""
        return np.tanh(observations @ self.weights)


def limit(env: Any, rollouts: int, steps: int) -> Run:
    """Return the physics of all rollouts on threads, with random controls."""
    inner = env.unwrapped
    model, data = inner.model, [mujoco.MjData(inner.model) for _ in range(CORES)]
    env.reset(seed=0)
    spec = int(mujoco.mjtState.mjSTATE_FULLPHYSICS)
    state = np.empty(mujoco.mj_stateSize(model, spec))
    mujoco.mj_getState(model, inner.data, state, spec)
    draw = np.random.default_rng(0).uniform(-1, 1, (rollouts, steps, model.nu))
    control = np.repeat(draw, inner.frame_skip, axis=1)
    pool = mujoco.rollout.Rollout(nthread=CORES)
    return lambda: pool.rollout(model, data, np.tile(state, (rollouts, 1)), control)


def ours(oracle: SimulationOracle, policy: Policy, rollouts: int, steps: int) -> None:
    """Submit all rollouts, and poll."""
    start = np.zeros(len(policy.weights))
    oracle.resolve = lambda controller: Acting(policy, None)  # type: ignore[arg-type]
    for i in range(rollouts):
        controller = ClosedLoop(MEAN)
        oracle.submit(Candidate(Context(start, i), controller, steps, i, str(i)))
    outcomes = oracle.poll()
    assert sum(len(outcome.result.actions) for outcome in outcomes) == rollouts * steps


def vector(envs: Any, policy: Policy, rollouts: int, steps: int) -> None:
    """Run the rollouts in a vector env, as many at a time as it has envs."""
    for _ in range(rollouts // envs.num_envs):
        found = envs.reset()
        observations = found[0] if isinstance(found, tuple) else found
        for _ in range(steps):
            observations = envs.step(policy.act(observations))[0]


def run(quick: bool) -> Result:
    """Measure both envs."""
    result = Result()
    rollouts, steps, repeats = (32, 20, 1) if quick else (256, 100, 3)
    for name in ENVS:
        case = f"{name}, {rollouts} rollouts of {steps} steps"
        with ExitStack() as stack:
            alternatives = _alternatives(name, rollouts, steps, stack, result)
            best = result.time(case, alternatives, repeats)
        of_limit, times = PREDICTED[name]
        result.find(case, "of mujoco.rollout's speed", best[LIMIT] / best[OURS], "0.8", of_limit)
        result.find(case, "x AsyncVectorEnv", best[ASYNC] / best[OURS], "10", times)
    return result


def _alternatives(
    name: str, rollouts: int, steps: int, stack: ExitStack, result: Result
) -> dict[str, Run]:
    # silent, also in processes, where MuJoCo would write its warnings into the working folder
    spec = EnvSpec(f"gymnasium:{name}", {"max_episode_steps": steps + 1})
    make = partial(make_env, spec)
    env = make()
    stack.callback(env.close)
    policy, workers = Policy(env), min(WORKERS, rollouts)
    oracle = stack.enter_context(SimulationOracle(spec, CORES))
    vectors: dict[str, Any] = {
        SYNC: gymnasium.vector.SyncVectorEnv([make] * rollouts),
        # not by forking: this process has threads
        ASYNC: gymnasium.vector.AsyncVectorEnv([make] * workers, context="forkserver"),
    }
    try:
        from stable_baselines3.common.vec_env import SubprocVecEnv

        vectors[SUBPROC] = SubprocVecEnv([make] * workers, start_method="forkserver")
    except ImportError as error:
        result.note(f"{SUBPROC}: not measured, because {error}")
    try:
        import envpool

        vectors[ENVPOOL] = _EnvPool(
            envpool.make(
                name,
                env_type="gymnasium",
                num_envs=rollouts,
                num_threads=CORES,
                max_episode_steps=steps + 1,
            ),
            rollouts,
        )
    except Exception as error:  # its imports fail in many ways
        result.note(f"{ENVPOOL}, {name}: not measured, because {type(error).__name__}: {error}")
    runs: dict[str, Run] = {
        LIMIT: limit(env, rollouts, steps),
        OURS: partial(ours, oracle, policy, rollouts, steps),
    }
    for kind, envs in vectors.items():
        stack.callback(envs.close)
        runs[kind] = partial(vector, envs, policy, rollouts, steps)
    return runs


class _EnvPool:
    """An envpool that says how many envs it has."""

    def __init__(self, envs: Any, num_envs: int) -> None:
        self.num_envs = num_envs
        self.reset, self.step, self.close = envs.reset, envs.step, envs.close
