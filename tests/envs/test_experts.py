"""The scripted experts do their tasks."""

import numpy as np
import pytest

from robo_al.plugins import make_env
from robo_al.types import EnvSpec
from robo_al_envs.experts import ReacherExpert, So101ReachExpert
from robo_al_envs.so101 import tip


@pytest.mark.parametrize(
    ("name", "expert", "steps", "apart"),
    [
        ("so101_reach", So101ReachExpert, 20, lambda seen: tip(seen[:5]) - seen[15:18]),
        ("reacher", ReacherExpert, 50, lambda seen: seen[6:8]),
    ],
)
def test_they_end_at_the_goal(name, expert, steps, apart):
    env = make_env(EnvSpec(name))
    for seed in range(3):
        shows = expert()
        shows.reset(seed)
        seen, _ = env.reset(seed=seed)
        began = np.linalg.norm(apart(seen))
        for _ in range(steps):
            seen, *_ = env.step(shows.act(seen).astype(np.float32))
        assert np.linalg.norm(apart(seen)) < 0.02 < began
