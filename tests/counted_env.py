"""An env that counts its instances, in a file that their processes share; copied to be used."""

import os
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium import spaces

COUNT = Path(__file__).with_name("made.txt")


class Counted(gymnasium.Env):
    """A point that its action moves; the process of each instance is noted."""

    observation_space = spaces.Box(-9, 9, (2,), np.float64)
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    metadata = {"render_modes": ["rgb_array"]}
    horizon = 6

    def __init__(self, render_mode=None, seconds=0.0):
        time.sleep(seconds)
        with COUNT.open("a") as file:
            drawn = "drawn" if render_mode else "stepped"
            file.write(f"{os.getpid()} {drawn} {Path(sys.argv[0]).name}\n")
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-1, 1, 2)
        return self.state.copy(), {}

    def step(self, action):
        self.state = self.state + 0.1 * action.sum(dtype=np.float64)
        return self.state.copy(), -float(self.state @ self.state), False, False, {}

    def render(self):
        return np.zeros((32, 32, 3), np.uint8)


class Alone(Counted):
    """A simulator of which a process can have one, ever."""

    running = False

    def __init__(self, render_mode=None):
        if Alone.running:
            raise RuntimeError("a simulator runs in this process already")
        Alone.running = True
        super().__init__(render_mode)
