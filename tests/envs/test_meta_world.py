import importlib.util

import mujoco
import numpy as np
import pytest

from robo_al.errors import PluginError
from robo_al.plugins import make_env
from robo_al.types import EnvSpec

installed = importlib.util.find_spec("metaworld") is not None
runs = installed and mujoco.__version__ == "3.3.0"


@pytest.mark.skipif(installed, reason="Meta-World is installed")
def test_says_what_to_install():
    with pytest.raises(PluginError, match=r"needs metaworld.*robo-al\[metaworld\].*MuJoCo 3\.3\.0"):
        make_env(EnvSpec("metaworld:reach-v3"))


@pytest.mark.skipif(not installed or runs, reason="Meta-World is missing, or runs here")
def test_says_which_mujoco_it_needs():
    with pytest.raises(PluginError, match=rf"on MuJoCo {mujoco.__version__}.*MuJoCo 3\.3\.0"):
        make_env(EnvSpec("metaworld:reach-v3"))


@pytest.mark.skipif(not installed, reason="Meta-World is not installed")
def test_a_name_that_is_not_known_is_refused():
    with pytest.raises(PluginError, match="nearest: reach-v3"):
        make_env(EnvSpec("metaworld:reach-v2"))


@pytest.mark.skipif(not runs, reason="Meta-World does not run here")
@pytest.mark.filterwarnings("ignore")
def test_a_rollout_is_meta_worlds_own_step_by_step():
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    env = make_env(EnvSpec("metaworld:reach-v3"))
    assert env.horizon == 500
    env.reset(seed=6)
    first, _ = env.reset(seed=5)
    theirs = ALL_V3_ENVIRONMENTS["reach-v3"]()
    theirs._partially_observable, theirs._set_task_called = False, True
    theirs._freeze_rand_vec, theirs.seeded_rand_vec = False, True
    del theirs.sawyer_observation_space
    theirs.seed(5)
    assert np.array_equal(first, theirs.reset()[0])
    assert env.observation_space.shape == first.shape and first[-3:].any(), "its goal is seen"
    for action in np.random.default_rng(0).uniform(-1, 1, (50, 4)).astype(np.float32):
        answer, expected = env.step(action), theirs.step(action)
        assert np.array_equal(answer[0], expected[0]) and answer[1:4] == expected[1:4]
