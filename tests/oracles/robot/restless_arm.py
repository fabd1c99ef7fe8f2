"""An arm whose starts cannot be asked for: no seed and no options bring its pose back."""

from typing import Any

import numpy as np
from gymnasium import spaces

from robo_al_envs.so101 import HIGH, LOW, So101Reach


class RestlessArm(So101Reach):
    """It is slow, so that random actions keep it off the table."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.action_space = spaces.Box(-0.2, 0.2, (5,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed, options=options)
        pose = np.random.default_rng().uniform(0.2 * LOW, 0.2 * HIGH)
        return super().reset(seed=seed, options={**(options or {}), "joints": pose.tolist()})
