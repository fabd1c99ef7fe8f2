"""An env that starts wherever it likes, as most robots and many simulators do."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box


class Wandering(gymnasium.Env):
    observation_space = Box(-9, 9, (2,), np.float64)
    action_space = Box(-1, 1, (1,), np.float32)
    horizon = 6
    threshold = 1.0
    resets = 0

    def __init__(self):
        self.rng = np.random.default_rng()

    def reset(self, *, seed=None, options=None):
        type(self).resets += 1
        self.state = self.rng.uniform(-1, 1, 2)
        return self.state.copy(), {}

    def step(self, action):
        self.state = self.state + 0.1 * action
        return self.state.copy(), -float(self.state @ self.state), False, False, {}
