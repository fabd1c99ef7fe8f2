import gymnasium
import numpy as np
import pytest

from robo_al_envs import Reacher


@pytest.mark.parametrize("seed", range(5))
def test_equals_gymnasiums_reacher(seed):
    """The same state and the same actions: the same states and rewards."""
    theirs, ours = gymnasium.make("Reacher-v5").unwrapped, Reacher()
    theirs.reset(seed=seed)
    qpos, qvel = theirs.data.qpos, theirs.data.qvel
    ours.reset(options={"state": [*qpos[:2], *qvel[:2]], "goal": qpos[2:].tolist()})
    rng = np.random.default_rng(seed)
    bias = rng.uniform(-0.5, 0.5, 2)  # so that the second joint comes to its limit
    limited = 0
    for _ in range(100):
        action = np.clip(bias + rng.uniform(-0.7, 0.7, 2), -1, 1)
        observed, paid, *_ = theirs.step(action)
        observation, reward, *_ = ours.step(action)
        np.testing.assert_allclose(ours.data.qpos, theirs.data.qpos, rtol=0, atol=1e-12)
        np.testing.assert_allclose(ours.data.qvel, theirs.data.qvel, rtol=0, atol=1e-12)
        np.testing.assert_allclose(observation[6:], observed[8:], rtol=0, atol=1e-12)
        np.testing.assert_allclose(np.cos(observation[:2]), observed[:2], rtol=0, atol=1e-12)
        assert reward == pytest.approx(paid, abs=1e-12)
        limited += ours.data.nefc
    assert limited > 0 or seed != 0


def test_starts_like_gymnasiums():
    """Not only as distributed: a seed draws the same start."""
    theirs, ours = gymnasium.make("Reacher-v5").unwrapped, Reacher()
    for seed in range(20):
        theirs.reset(seed=seed)
        observation, _ = ours.reset(seed=seed)
        assert np.array_equal(observation[:4], theirs.data.qpos)
        assert np.array_equal(observation[4:6], theirs.data.qvel[:2])


def test_reward_is_that_of_the_text():
    env = Reacher()
    env.reset(seed=0)
    action = np.array([0.3, -0.8])
    observation, reward, *_ = env.step(action)
    assert reward == pytest.approx(-np.hypot(*observation[6:8]) - 0.3**2 - 0.8**2, abs=1e-15)


def test_tip_minus_goal_is_exact_at_a_start():
    env = Reacher()
    observation, _ = env.reset(options={"state": [0.7, 1.9, 0.0, 0.0], "goal": [0.1, -0.05]})
    tip = 0.1 * np.array([np.cos(0.7), np.sin(0.7)]) + 0.11 * np.array([np.cos(2.6), np.sin(2.6)])
    np.testing.assert_allclose(observation[6:8], tip - [0.1, -0.05], atol=1e-15)


def test_the_goal_stays_where_it_was_put():
    env = Reacher()
    env.action_space.seed(0)
    first, _ = env.reset(seed=3)
    for _ in range(50):
        last, *_ = env.step(env.action_space.sample())
    kinds = [channel.kind for channel in env.channels]
    constant = [i for i, kind in enumerate(kinds) if kind == "constant"]
    assert constant == [2, 3]
    assert np.array_equal(first[constant], last[constant])


def test_one_option_alone_leaves_the_other_drawn():
    env = Reacher()
    drawn, _ = env.reset(seed=5)
    asked, _ = env.reset(seed=5, options={"goal": [0.1, 0.1]})
    assert np.array_equal(asked[[0, 1, 4, 5]], drawn[[0, 1, 4, 5]])
    assert asked[2:4].tolist() == [0.1, 0.1]


def test_is_solved_at():
    assert (Reacher.horizon, Reacher.threshold, Reacher().dt) == (50, -5, 0.02)
