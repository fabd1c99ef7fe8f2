"""One simulator a process: there is none beside the first, nor after it; copied to be used."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Alone(gymnasium.Env):
    """A point that its action moves."""

    observation_space = spaces.Box(-9, 9, (2,), np.float64)
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    horizon = 6
    running = False

    def __init__(self):
        if Alone.running:
            raise RuntimeError("a simulator runs in this process already")
        Alone.running = True

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-1, 1, 2)
        return self.state.copy(), {}

    def step(self, action):
        self.state = self.state + 0.1 * action.sum(dtype=np.float64)
        return self.state.copy(), -float(self.state @ self.state), False, False, {}
