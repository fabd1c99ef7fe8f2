"""Stands in for Gym 0.21: its API, as far as an env needs it. Not a line needs our libraries."""

import numpy as np

__version__ = "0.21.0"


class Box:
    def __init__(self, low, high, shape, dtype=np.float32):
        self.low = np.full(shape, low, dtype)
        self.high = np.full(shape, high, dtype)
        self.shape = shape
        self.dtype = np.dtype(dtype)


class Env:
    spec = None

    @property
    def unwrapped(self):
        return self

    def seed(self, seed=None):
        raise NotImplementedError

    def close(self):
        pass


class Spec:
    max_episode_steps = 12
    reward_threshold = -3.0


class TimeLimit:
    """Passes everything on, as Gym's wrappers do, and breaks the episode off after 12 steps."""

    spec = Spec()

    def __init__(self, env):
        self.env = env

    def __getattr__(self, name):
        return getattr(self.env, name)

    def reset(self, **kwargs):
        self.elapsed = 0
        return self.env.reset(**kwargs)

    def step(self, action):
        observation, reward, done, info = self.env.step(action)
        self.elapsed += 1
        if self.elapsed >= self.spec.max_episode_steps:
            info["TimeLimit.truncated"] = not done
            done = True
        return observation, reward, done, info


class Drift(Env):
    """Adds up its actions, from a start that its seed gives; done beyond `edge`."""

    observation_space = Box(-np.inf, np.inf, (2,))
    action_space = Box(-1.0, 1.0, (2,))

    def __init__(self, edge=100.0):
        self.edge = edge
        self.random = np.random.RandomState()

    def seed(self, seed=None):
        self.random = np.random.RandomState(seed)
        return [seed]

    def reset(self):
        self.state = self.random.uniform(-1, 1, 2).astype(np.float32)
        return self.state

    def step(self, action):
        assert action.dtype == np.float32
        self.state = self.state + action
        return self.state, float(-abs(self.state).sum()), bool(abs(self.state[0]) > self.edge), {}


def make(identity, **parameters):
    if identity != "Drift-v0":
        raise KeyError("no env " + identity)
    return TimeLimit(Drift(**parameters))
