import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.env_checker import check_env

from robo_al.errors import ConfigError, PluginError, UserError
from robo_al.plugins import make_env
from robo_al.tasks import describe
from robo_al.types import EnvSpec
from robo_al_envs.dmc import DeepMindControl
from robo_al_envs.dmc_rewards import REWARDS

suite = pytest.importorskip("dm_control.suite")

OTHERS = ["walker-walk", "cheetah-run", "quadruped-fetch"]
"""Of other domains, with heights as bare numbers and dozens of sensors."""


def flat(observation):
    return np.concatenate([np.ravel(part) for part in observation.values()])


@pytest.mark.parametrize("name", [*REWARDS, *OTHERS])
def test_a_rollout_is_the_suites_own_step_by_step(name):
    env, seed = make_env(EnvSpec(f"dmc:{name}")), 5
    theirs = suite.load(*name.split("-", 1), task_kwargs={"random": seed})
    env.reset(seed=99)
    env.step(env.action_space.high)
    observation, _ = env.reset(seed=seed)
    assert np.array_equal(observation, flat(theirs.reset().observation))
    rng, before = np.random.default_rng(0), observation
    for _ in range(60):
        action = rng.uniform(env.action_space.low, env.action_space.high)
        after, reward, terminated, truncated, _ = env.step(action)
        answer = theirs.step(action)
        assert np.array_equal(after, flat(answer.observation)) and reward == answer.reward
        if env.reward is not None:
            assert env.reward(before, action, after) == pytest.approx(reward, abs=1e-6)
        if terminated or truncated:
            assert answer.last() and terminated == (answer.discount == 0)
            break
        before = after
    env.close()


def test_a_model_that_is_drawn_is_the_same_in_every_env():
    starts, steps = [], []
    for _ in range(2):
        env = DeepMindControl("lqr-lqr_2_1")  # springs of random stiffness
        starts.append(env.reset(seed=5)[0].tolist())
        steps.append([env.step(np.ones(1))[0].tolist() for _ in range(5)])
    assert starts[0] == starts[1] and steps[0] == steps[1]


def test_an_episode_has_a_thousand_control_steps():
    for repeat, steps in ((1, 1000), (2, 500)):
        env = DeepMindControl("pendulum-swingup", repeat)
        assert (env.horizon, env.dt) == (steps, 0.02 * repeat)
        env.reset(seed=0)
        ends = [env.step(env.action_space.high)[2:4] for _ in range(steps)]
        assert ends == [(False, False)] * (steps - 1) + [(False, True)]
        with pytest.raises(gymnasium.error.ResetNeeded):
            env.step(env.action_space.high)


def test_an_action_that_is_held_earns_all_its_rewards():
    once, twice = (DeepMindControl("cartpole-swingup", repeat) for repeat in (1, 2))
    once.reset(seed=3), twice.reset(seed=3)
    for action in np.random.default_rng(0).uniform(-1, 1, (20, 1)):
        first, second, both = once.step(action), once.step(action), twice.step(action)
        assert np.array_equal(both[0], second[0])
        assert both[1] == first[1] + second[1]
    assert twice.reward is None, "it depends on what was observed in between"


@pytest.mark.parametrize("name", REWARDS)
def test_is_a_task_with_a_known_reward(name):
    spec = EnvSpec(f"dmc:{name}")
    task = describe(make_env(spec), spec)
    assert task.reward is REWARDS[name]
    assert task.horizon == 1000 and not task.notes
    assert task.action_low.tolist() == [-1] * len(task.action_low)


def test_numbers_have_the_suites_names():
    env = DeepMindControl("finger-spin")
    names = [f"{key}[{i}]" for key, n in (("position", 4), ("velocity", 3)) for i in range(n)]
    names += ["touch[0]", "touch[1]"]
    assert [channel.name for channel in env.channels] == names
    pendulum = DeepMindControl("pendulum-swingup")
    names = [channel.name for channel in pendulum.channels]
    assert names == ["orientation[0]", "orientation[1]", "velocity"]


def test_passes_stable_baselines_checker():
    check_env(DeepMindControl("reacher-easy"), warn=False)


def test_pictures_show_the_state():
    env = make_env(EnvSpec("dmc:cartpole-swingup", {"render_mode": "rgb_array"}))
    env.reset(seed=0)
    first = env.render()
    assert first.shape == (480, 480, 3) and first.dtype == np.uint8
    for _ in range(20):
        env.step(env.action_space.high)
    assert (env.render() != first).any()
    env.close()


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("cartpole-swing_up", {}, "nearest: cartpole-swingup"),
        ("cartpole", {}, "domain-task"),
        ("cartpole-swingup", {"action_repeat": 3}, "divisor"),
        ("cartpole-swingup", {"action_repeat": 0}, "divisor"),
        ("cartpole-swingup", {"repeat": 2}, "no parameter repeat"),
        ("cartpole-swingup", {"render_mode": "human"}, "rgb_array"),
    ],
)
def test_what_cannot_be_is_refused(name, parameters, said):
    with pytest.raises((PluginError, ConfigError, UserError), match=said):
        make_env(EnvSpec(f"dmc:{name}", parameters))


def test_bad_actions_and_options_are_refused():
    env = DeepMindControl("cartpole-swingup")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(1))
    env.reset(seed=0)
    for action in (np.array([np.nan]), np.zeros(2)):
        with pytest.raises(UserError):
            env.step(action)
    with pytest.raises(UserError, match="not known"):
        env.reset(options={"state": [0.0]})
