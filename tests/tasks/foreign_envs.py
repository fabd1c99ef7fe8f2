"""Environments of people who never heard of robo-al, each with a habit that a campaign meets."""

import os
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium import spaces, wrappers

try:  # in a Python of their own, these envs have nothing of ours beside them
    from robo_al.types import Channel
except ImportError:
    Channel = None


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


class Turning(Plain):
    """Has an angle that starts again after a turn, and a number with other limits."""

    observation_space = spaces.Box(
        np.array([-np.pi, -np.pi], np.float32), np.array([np.pi, 9.0], np.float32)
    )


class Endless(Plain):
    """Has no horizon, and needs one."""

    horizon = None


class Namesake(Truncating):
    """Has an attribute of every name that means something to robo-al, and to it something else."""

    action_limits = 5
    channels = 3
    control_period = "slow"
    encoder = "utf-8"
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


class Goals(Plain):
    """Has a goal for each rollout, as the envs of robotics suites have it."""

    observation_space = spaces.Dict(
        {key: spaces.Box(-9, 9, (2,), np.float64) for key in ("achieved_goal", "desired_goal")}
        | {"observation": spaces.Box(-9, 9, (3,), np.float32)}
    )

    def reset(self, **asked):
        super().reset(**asked)
        self.goal = self.np_random.uniform(-1, 1, 2)
        return self.shown(), {}

    def step(self, action):
        super().step(action)
        return self.shown(), -float(abs(self.state - self.goal).sum()), False, False, {}

    def shown(self):
        seen = np.append(self.state, self.state.sum()).astype(np.float32)
        return {
            "achieved_goal": self.state.copy(),
            "desired_goal": self.goal.copy(),
            "observation": seen,
        }


class Chasing(Goals):
    """Its goal runs away."""

    def step(self, action):
        self.goal = self.goal + 0.1
        return super().step(action)


class Everything(Plain):
    """Shows something of every space of numbers, nested."""

    observation_space = spaces.Dict(
        {
            "arm": spaces.Tuple([spaces.Box(-9, 9, (2, 2), np.float64), spaces.Discrete(3)]),
            "lamps": spaces.MultiBinary(2),
            "gears": spaces.MultiDiscrete([2, 3]),
            "time": spaces.Box(0, 99, (), np.float32),
        }
    )

    def reset(self, **asked):
        super().reset(**asked)
        self.count = 0
        return self.shown(), {}

    def step(self, action):
        self.count += 1
        _, *rest = super().step(action)
        return self.shown(), *rest

    def shown(self):
        shown = {
            "arm": (np.outer(self.state, [1.0, 2.0]), self.count % 3),
            "lamps": (self.state > 0).astype(np.int8),
            "gears": np.array([self.count % 2, self.count % 3]),
            "time": np.array(self.count, np.float32),
        }
        assert self.observation_space.contains(shown)
        return shown


class Stateful(Goals):
    """Of a maker who knows robo-al: says its reward on the flat numbers, and where it starts."""

    def reset(self, *, seed=None, options=None):
        shown, info = super().reset(seed=seed)
        if options:
            self.state, self.goal = map(np.array, (options["state"], options["goal"]))
            shown = self.shown()
        self.start = {"state": self.state.copy(), "goal": self.goal.copy()}
        return shown, info

    def context(self):
        return self.start

    def reward(self, observation, action, next_observation):
        return -abs(next_observation[..., 0:2] - next_observation[..., 2:4]).sum(-1)


class Choosing(Plain):
    """Has a choice, and a motion without limits."""

    action_space = spaces.Dict(
        {"gear": spaces.Discrete(3, start=-1), "push": spaces.Box(-np.inf, np.inf, (1, 1))}
    )

    def step(self, action):
        assert self.action_space.contains(action), action
        self.chosen = [*getattr(self, "chosen", []), action]
        self.state = self.state + 0.1 * int(action["gear"]) + 0.1 * float(action["push"][0, 0])
        return self.state.copy(), -float(self.state @ self.state), False, False, {}


class Boundless(Plain):
    """Says no limits of its actions, nor anything else of itself."""

    action_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    horizon = None


class Picturing(Plain):
    """Shows a picture: the square that it stands on is bright."""

    observation_space = spaces.Box(0, 255, (12, 12, 3), np.uint8)

    def reset(self, **asked):
        super().reset(**asked)
        return self.shown(), {}

    def step(self, action):
        _, *rest = super().step(action)
        return self.shown(), *rest

    def shown(self):
        picture = np.zeros((12, 12, 3), np.uint8)
        row, column = np.clip((self.state + 2) * 3, 0, 11).astype(int)
        picture[row, column] = 255
        return picture


class Sum:
    """An encoder: one number of an observation of goals, and of no more than so many in a row."""

    channels = (Channel("sum", "m"),) if Channel else ()

    def __init__(self, space, scale: float = 1.0, most: int | None = None):
        self.scale, self.most, self.first = scale, most, None

    def encode(self, observation):
        goal = observation["desired_goal"].tolist()
        self.count = self.count + 1 if goal == self.first else 1
        self.first = goal
        if self.most is not None and self.count > self.most:
            self.first = None
            raise ValueError("enough")
        return np.array([self.scale * float(np.sum(observation["observation"]))])


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


def unnamed():
    return wrappers.FlattenObservation(Goals())


def limited():
    return wrappers.RescaleAction(wrappers.TimeLimit(Endless(), 4), np.float32(-2), np.float32(2))


def named():
    env = wrappers.RescaleAction(Endless(), np.float32(-2), np.float32(2))
    env.horizon = 5
    env.reward = lambda observation, action, next_observation: -(next_observation**2).sum(-1)
    return env


gymnasium.register("elsewhere/Plain-v0", Plain, max_episode_steps=5)
