"""A lab's envs, which run in a Python that has NumPy and Gymnasium and nothing else of ours."""

import ctypes
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium import spaces


class Cart(gymnasium.Env):
    """A cart with a goal that does `mood` at the third step of rollouts whose goal is negative."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = spaces.Box(np.float32([-1, -2]), np.float32([1, 2]))
    horizon = 10
    dt = 0.1
    threshold = -5.0
    channels = (("position", "m"), ("velocity", "m/s"), ("goal", "m", "constant"))

    def __init__(self, mood="none", folder=None):
        self.mood = mood
        if folder is not None:
            (Path(folder) / f"pid-{os.getpid()}").touch()
        if mood == "hang when made":
            time.sleep(1e6)
        if mood == "raise when made":
            raise RuntimeError("no cable")
        if mood == "alone":
            there = [n for n in ("torch", "jaxtyping", "pydantic") if importlib.util.find_spec(n)]
            assert not there, there

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        state, goal = [self.np_random.uniform(-0.1, 0.1), 0.0], [self.np_random.uniform(-1, 1)]
        state, goal = (options or {}).get("state", state), (options or {}).get("goal", goal)
        self.state = self.start = np.array([*state, *goal])
        if self.mood == "hang in reset" and goal[0] < 0:
            time.sleep(1e6)
        if self.mood == "nan at start" and goal[0] < 0:
            self.state[0] = np.nan
        return self.state, {}

    def context(self):
        return {"state": self.start[:2], "goal": self.start[2:]}

    def step(self, action):
        assert self.action_space.contains(action)
        self.count += 1
        position, velocity, goal = self.state
        velocity += 0.1 * (float(action[0]) + 0.5 * float(action[1]))
        self.state = np.array([position + 0.1 * velocity, velocity, goal])
        reward = -((self.state[0] - goal) ** 2)
        if self.mood == "talk":
            print("hello from the env")
            os.write(1, b"\x00\x01\x02 raw bytes")
            assert sys.stdin.read() == ""
        if self.count == 3 and goal < 0:
            return self.third(reward)
        return self.state, reward, False, False, {}

    def third(self, reward):
        if self.mood == "hang":
            subprocess.Popen(["sleep", "100000"])  # dies with its worker
            time.sleep(1e6)
        elif self.mood == "hold":
            subprocess.Popen(["sleep", "100000"])
            ctypes.PyDLL(None).sleep(100000)  # as C code that keeps the interpreter to itself
        elif self.mood == "exit":
            os._exit(3)
        elif self.mood == "leave":
            sys.exit(4)
        elif self.mood == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.mood == "raise":
            raise ValueError("the arm came off")
        elif self.mood == "nan":
            self.state[1] = np.nan
        elif self.mood == "infinite reward":
            reward = np.inf
        elif self.mood == "short":
            return self.state[:2], reward, False, False, {}
        ends = self.mood in ("end", "success"), self.mood == "cut"
        info = {"is_success": np.bool_(True)} if self.mood == "success" else {}
        return self.state, reward, *ends, info


class Picture(gymnasium.Env):
    observation_space = spaces.Box(0, 255, (4, 4, 3), np.uint8)
    action_space = spaces.Box(-1.0, 1.0, (1,))


class Switch(Cart):
    action_space = spaces.Discrete(2)


class Wordy(Cart):
    observation_space = spaces.Text(3)


def no_env():
    return 7
