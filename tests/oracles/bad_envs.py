"""Envs that misbehave, as a lab's may: loaded by path, in this process and in workers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mujoco
import numpy as np
from gymnasium import spaces
from gymnasium.envs.mujoco.reacher_v5 import ReacherEnv

from robo_al.testing import FakeEnv
from robo_al_envs.reacher import Reacher


class Moody(FakeEnv):
    """Does `mood` at the third step of rollouts whose goal is negative."""

    def __init__(self, mood="none", folder=None):
        super().__init__()
        self.mood = mood
        if folder is not None:
            (Path(folder) / f"pid-{os.getpid()}").touch()
        if mood == "hang when made":
            time.sleep(1e6)
        if mood == "raise when made":
            raise RuntimeError("no cable")
        if mood == "talk":
            print("hello from the env")

    dynamics = None  # not a formula: the env itself is to be stepped

    def reset(self, *, seed=None, options=None):
        self.count = 0
        first, info = super().reset(seed=seed, options=options)
        if self.mood == "hang in reset" and first[2] < 0:
            time.sleep(1e6)
        if self.mood == "nan at start" and first[2] < 0:
            first[0] = np.nan
        return first, info

    def step(self, action):
        self.count += 1
        before, sent = self._state, np.asarray(action)
        self._state = FakeEnv.dynamics(self, before[None], sent[None])[0]
        after = self._state.copy()
        reward = float(self.reward(before[None], sent[None], after[None])[0])
        if self.mood == "talk":
            print("step", self.count)
            os.write(1, b"\x00\x01\x02 raw bytes")
            sys.stdin.read()
        if self.count == 3 and before[2] < 0:
            match self.mood:
                case "hang":
                    subprocess.Popen(["sleep", "100000"])  # dies with its worker
                    time.sleep(1e6)
                case "exit":
                    os._exit(3)
                case "die":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "raise":
                    raise ValueError("the arm came off")
                case "nan":
                    after[1] = np.nan
                case "infinite reward":
                    reward = np.inf
                case "end":
                    return after, reward, True, False, {}
        return after, reward, False, False, {}


class Strict(FakeEnv):
    """Takes only what its action space contains, and that is float32."""

    dynamics = None

    def __init__(self):
        super().__init__()
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def step(self, action):
        assert self.action_space.contains(action)
        return self._state.copy(), float(action.sum()), False, False, {}


class Short(FakeEnv):
    """Answers with fewer numbers than it says, at its start or later."""

    dynamics = None

    def __init__(self, at_start):
        super().__init__()
        self.at_start = at_start

    def reset(self, *, seed=None, options=None):
        first, info = super().reset(seed=seed, options=options)
        return (first[:1] if self.at_start else first), info

    def step(self, action):
        return self._state[:1].copy(), 0.0, False, False, {}


class Heavy(Reacher):
    """Changes its model where it starts: what is derived of a batched task says so itself."""

    def place(self, start):
        self.model.body_mass[1:] = 0.01 + abs(start["state"][0])
        return super().place(start)


class Raising(Reacher):
    """Its formulas raise, for some rollouts or for all."""

    batched = True

    def __init__(self, where):
        super().__init__()
        self.where = where

    def observe(self, qpos, qvel, data):
        if self.where == "observe":
            tip = data.body("tip").xpos  # of one simulation
            assert tip.shape == (3,)
        return super().observe(qpos, qvel, data)

    def reward(self, observation, action, next_observation):
        if self.where == "reward" and (observation[..., 2] > 0.05).any():
            raise ValueError("too far")
        return super().reward(observation, action, next_observation)


class BadReacher(ReacherEnv):
    """Gymnasium's Reacher; options {"bad": [what, step]} spoil one rollout."""

    horizon = 20

    def reset(self, *, seed=None, options=None):
        self.count, (self.what, self.when) = 0, (options or {}).get("bad", (0, 0))
        self.model.opt.integrator = 0
        return super().reset(seed=seed)

    def step(self, action):
        self.count += 1
        bad = self.count == self.when
        result = super().step(action)
        if bad and self.what == 1:
            self.data.qvel[0] = np.nan  # the next step starts there
        if bad and self.what == 2:
            mujoco.mj_resetData(self.model, self.data)
        if bad and self.what == 3:
            self.model.opt.integrator = 99  # the next step raises in MuJoCo
        return result


class Pushed(ReacherEnv):
    """Simulates something else than the action from the state it was in, each in its way."""

    horizon = 20

    def __init__(self, how):
        super().__init__()
        self.how = how
        if how == "one action":
            self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def step(self, action):
        match self.how:
            case "scaled":
                return super().step(0.5 * action)
            case "one action":
                return super().step(np.array([action[0], -action[0]]))
            case "force":
                self.data.qfrc_applied[0] = 0.01 * np.sin(self.data.time)
            case "twice":
                super().step(action)
        result = super().step(action)
        if self.how == "heavier":
            self.model.body_mass[1] *= 1.01
        return result

    def reset(self, *, seed=None, options=None):
        self.model.body_mass[1] = 0.01 + (seed % 7) / 100
        return super().reset(seed=seed)
