import numpy as np
import pytest

from robo_al.plugins import make_env
from robo_al.types import EnvSpec
from robo_al_envs.simulations import Batched, OneByOne

pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")


@pytest.mark.parametrize(
    "name", ["reacher", "cartpole_swingup", "so101_reach", "so101_push", "ur5"]
)
@pytest.mark.parametrize("spoilt", [False, True])
def test_one_after_another_gives_what_a_batch_gives_to_the_last_bit(name, spoilt):
    pytest.importorskip("mujoco.batch")
    model = make_env(EnvSpec(name)).unwrapped.model
    rng = np.random.default_rng(0)
    qpos = rng.normal(size=(40, model.nq)) * 0.3
    qvel, ctrl = rng.normal(size=(40, model.nv)), rng.uniform(-1, 1, (40, model.nu))
    if spoilt:
        qpos[3, 0], qvel[7, -1], ctrl[11, 0] = np.nan, np.inf, np.nan
    fields = ("qpos", "qvel", "xpos", "ctrl", "qacc")
    one, other = Batched(model, fields), OneByOne(model, fields)
    for rows in (slice(0, 5), slice(0, 40), slice(2, 30)):
        given = qpos[rows], qvel[rows], ctrl[rows]
        expected, failed = one.run(*given, 2)
        found, refused = other.run(*given, 2)
        assert failed.tolist() == refused.tolist() == []
        for field in fields:
            np.testing.assert_array_equal(getattr(found, field), getattr(expected, field), field)


def test_rows_that_mujoco_refuses_are_told_and_do_not_spoil_the_next():
    model = make_env(EnvSpec("cartpole_swingup")).unwrapped.model
    simulator = OneByOne(model, ("qpos",))
    states = np.zeros((3, 2)), np.ones((3, 2)), np.ones((3, 1))
    expected, _ = simulator.run(*states, 2)
    integrator = int(model.opt.integrator)
    model.opt.integrator = 99
    _, refused = simulator.run(*states, 2)
    assert refused.tolist() == [0, 1, 2]
    model.opt.integrator = integrator
    again, refused = simulator.run(*states, 2)
    assert refused.tolist() == []
    np.testing.assert_array_equal(again.qpos, expected.qpos)
