"""Environments of people who never heard of robo-al, each with a habit that a campaign meets."""

import os
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium import spaces, wrappers


class Plain(gymnasium.Env):
    """A point that its action moves, towards the origin if it is wise; checks what it is sent."""

    observation_space = spaces.Box(-9, 9, (2,), np.float64)
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    horizon = 6

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-1, 1, 2)
        return self.state.copy(), {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.state = self.state + 0.1 * action.sum(dtype=np.float64)
        return self.state.copy(), -float(self.state @ self.state), False, False, {}


class Buffer(Plain):
    """Returns one array of its own, and writes into it."""

    def __init__(self):
        self.buffer = np.zeros(2)

    def reset(self, **asked):
        self.buffer[:] = super().reset(**asked)[0]
        return self.buffer, {}

    def step(self, action):
        self.buffer[:], *rest = super().step(action)
        action *= 0  # and spoils what it was given
        return self.buffer, *rest


class Truncating(Plain):
    """Is broken off after 3 steps, and must then be reset."""

    action_space = spaces.Box(-1, 1, (1,), np.float64)

    def reset(self, **asked):
        self.count = 0
        return super().reset(**asked)

    def step(self, action):
        assert self.count < 3, "step() after the episode was truncated"
        self.count += 1
        observation, reward, *_ = super().step(action)
        return observation, reward, False, self.count == 3, {}


class Locked(Plain):
    """The second of its joints is locked."""

    action_space = spaces.Box(np.array([-1, 0.3]), np.array([1, 0.3]), dtype=np.float64)


class Untold(Truncating):
    """Has no horizon, and needs none."""

    horizon = None


class Falling(Plain):
    """Ends by itself alone, after 4 steps."""

    horizon = None

    def reset(self, **asked):
        self.count = 0
        return super().reset(**asked)

    def step(self, action):
        self.count += 1
        observation, reward, *_ = super().step(action)
        return observation, reward, self.count == 4, False, {}


class Endless(Plain):
    """Has no horizon, and needs one."""

    horizon = None


class Namesake(Truncating):
    """Has an attribute of every name that means something to robo-al, and to it something else."""

    channels = 3
    answer = [42]
    constraint = True
    dt = [0.1]
    dynamics = "rigid"
    episodes = [3, 4]
    held_out = 0.2
    joints = 2
    reward = 0.5
    starts = 7
    termination = False
    threshold = "high"

    def context(self, what):
        return what

    def horizon(self, difficulty):
        return difficulty


class Similar(Plain):
    """Its `reward` and `dynamics` take our arguments, and are none of ours."""

    def reward(self, before, action, after):
        return -((after[..., 0] - before[..., 0]) ** 2)

    def dynamics(self, observation, action):
        return observation + 5

    def context(self):
        return {"state": [0.0, 0.0]}


class Honest(Plain):
    """Offers a reward function, as robo-al means it."""

    threshold = -0.5

    def reward(self, observation, action, next_observation):
        return -(next_observation**2).sum(-1)


class Spaceless(gymnasium.Env):
    """Says nothing of its spaces."""

    def reset(self, *, seed=None, options=None):
        return np.zeros(2), {}

    def step(self, action):
        return np.zeros(2), 0.0, False, False, {}


class Counted(Plain):
    """Counts constructions, resets and steps in the folder that COUNTS names."""

    def __init__(self):
        self.count("made")

    def count(self, what):
        with (Path(os.environ["COUNTS"]) / what).open("a") as file:
            file.write(".")

    def reset(self, **asked):
        self.count("reset")
        return super().reset(**asked)

    def step(self, action):
        self.count("step")
        return super().step(action)


def rescaled():
    return wrappers.RescaleAction(Honest(), np.float32(-2), np.float32(2))


def discounted():
    return wrappers.TransformReward(Honest(), lambda reward: 0.5 * reward)


def stacked():
    return wrappers.FlattenObservation(wrappers.FrameStackObservation(Honest(), 2))


def limited():
    return wrappers.RescaleAction(wrappers.TimeLimit(Endless(), 4), np.float32(-2), np.float32(2))


def named():
    env = wrappers.RescaleAction(Endless(), np.float32(-2), np.float32(2))
    env.horizon = 5
    env.reward = lambda observation, action, next_observation: -(next_observation**2).sum(-1)
    return env


gymnasium.register("elsewhere/Plain-v0", Plain, max_episode_steps=5)
