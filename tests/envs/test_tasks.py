"""What holds for all tasks."""

import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from robo_al.errors import UserError
from robo_al.plugins import known, make_env
from robo_al.tasks import describe, sample_contexts
from robo_al.types import EnvSpec
from robo_al_envs import TASKS

IDS = [task.__name__ for task in TASKS]
all_tasks = pytest.mark.parametrize("task", TASKS, ids=IDS)


def random_actions(env, count, rng):
    low, high = env.action_space.low, env.action_space.high
    return rng.uniform(low, high, (count, len(low)))


def rollout(env, seed, steps=30):
    """Observations [T+1,O], actions [T,A] and rewards [T] of random actions."""
    observation, _ = env.reset(seed=seed)
    observations, rewards = [observation], []
    actions = random_actions(env, steps, np.random.default_rng(seed))
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        assert not terminated and not truncated
        observations.append(observation)
        rewards.append(reward)
    return np.array(observations), actions, np.array(rewards)


def test_every_entry_point_is_a_task():
    places = {f"{task.__module__}:{task.__name__}" for task in TASKS}
    recorded = known("envs")["replay"]
    assert set(known("envs").values()) - {recorded} == places


@all_tasks
def test_passes_gymnasiums_checker(task):
    env = gymnasium.make(f"robo_al/{task.__name__}-v0", disable_env_checker=True).unwrapped
    with warnings.catch_warnings():
        # what has no limit is said to have none, and actions are in units
        warnings.filterwarnings("ignore", ".*A Box observation space m")
        warnings.filterwarnings("ignore", ".*we recommend using a symmetric and normalized")
        check_env(env)


@all_tasks
def test_passes_stable_baselines_checker(task):
    from stable_baselines3.common.env_checker import check_env

    check_env(task(render_mode="rgb_array"), warn=False, skip_render_check=False)


@all_tasks
def test_is_registered_with_its_horizon_and_threshold(task):
    env = gymnasium.make(f"robo_al/{task.__name__}-v0")
    assert isinstance(env.unwrapped, task)
    assert env.spec.max_episode_steps == task.horizon
    assert env.spec.reward_threshold == task.threshold
    env.reset(seed=0)
    env.action_space.seed(0)
    ends = [env.step(env.action_space.sample())[2:4] for _ in range(task.horizon)]
    assert ends == [(False, False)] * (task.horizon - 1) + [(False, True)]
    env.close()


@all_tasks
def test_is_described_as_a_task_with_a_known_reward(task):
    env = task()
    described = describe(env, EnvSpec(task.__name__))
    assert described.channels == task.channels
    assert described.horizon == task.horizon
    assert described.threshold == task.threshold
    assert described.control_period == pytest.approx(env.dt)
    assert described.reward is not None
    assert all(channel.name and channel.unit for channel in described.channels)


@all_tasks
def test_observations_are_float64_and_finite(task):
    observations, _, rewards = rollout(task(), seed=1)
    assert observations.dtype == np.float64
    assert np.isfinite(observations).all() and np.isfinite(rewards).all()


@all_tasks
def test_the_same_seed_gives_the_same_rollout(task):
    first, second, other = rollout(task(), 3), rollout(task(), 3), rollout(task(), 4)
    for one, two in zip(first, second, strict=True):
        assert np.array_equal(one, two)
    assert not np.array_equal(first[0], other[0])


@all_tasks
def test_step_is_the_batched_dynamics_bit_for_bit(task):
    env = task()
    observations, actions, _ = rollout(env, seed=2)
    alone = observations[1:]
    assert np.array_equal(env.dynamics(observations[:-1], actions), alone)
    strided = env.dynamics(np.asfortranarray(observations[:-1]), np.asfortranarray(actions))
    assert np.array_equal(strided, alone)
    grid = env.dynamics(observations[:-1].reshape(5, 6, -1), actions.reshape(5, 6, -1))
    assert np.array_equal(grid.reshape(alone.shape), alone)


@all_tasks
def test_step_pays_the_batched_reward_bit_for_bit(task):
    env = task()
    observations, actions, rewards = rollout(env, seed=2)
    assert np.array_equal(env.reward(observations[:-1], actions, observations[1:]), rewards)


@all_tasks
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_formulas_are_the_same_on_tensors(task, dtype):
    env = task()
    observations, actions, rewards = rollout(env, seed=5)
    before, sent, after = (
        torch.as_tensor(x, dtype=dtype) for x in (observations[:-1], actions, observations[1:])
    )
    tolerance = {"rtol": 1e-12, "atol": 1e-12} if dtype == torch.float64 else {"rtol": 1e-3}
    tolerance = {"atol": 1e-3, **tolerance}
    predicted, paid = env.dynamics(before, sent), env.reward(before, sent, after)
    assert predicted.dtype == paid.dtype == dtype
    np.testing.assert_allclose(predicted.numpy(), after.numpy(), **tolerance)
    np.testing.assert_allclose(paid.numpy(), rewards, **tolerance)


@all_tasks
def test_a_context_brings_its_start_back(task):
    env = task()
    observation, _ = env.reset(seed=11)
    options = env.context()
    first = env.step(env.action_space.high)
    again, _ = env.reset(seed=12, options=options)
    assert np.array_equal(again, observation)
    second = env.step(env.action_space.high)
    assert np.array_equal(first[0], second[0]) and first[1] == second[1]


@all_tasks
def test_sampled_contexts_differ_and_can_be_asked_for(task):
    env = task()
    rngs = [np.random.default_rng(i) for i in range(3)]
    contexts = sample_contexts(env, rngs)
    for context in contexts:
        observation, _ = env.reset(seed=0, options=dict(context.options))
        assert np.array_equal(observation, context.observation)
    constant = task.__name__ == "PendulumPenalty"
    assert len({context.observation.tobytes() for context in contexts}) == (1 if constant else 3)


@all_tasks
def test_an_action_outside_the_limits_is_clipped(task):
    env = task()
    results = []
    for factor in (1, 7):
        env.reset(seed=0)
        observation, reward, *_ = env.step(factor * env.action_space.high.astype(np.float64))
        results.append((observation.tolist(), reward))
    assert results[0] == results[1]


@all_tasks
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_action_that_is_not_finite_is_refused_and_changes_nothing(task, value):
    env = task()
    env.reset(seed=0)
    action = np.full(env.action_space.shape, value)
    with pytest.raises(UserError, match="not finite"):
        env.step(action)
    after, *_ = env.step(env.action_space.high)
    env.reset(seed=0)
    assert np.array_equal(after, env.step(env.action_space.high)[0])


@all_tasks
def test_an_action_of_a_wrong_shape_is_refused(task):
    env = task()
    env.reset(seed=0)
    with pytest.raises(UserError, match="shape"):
        env.step(np.zeros(99))


@all_tasks
def test_a_step_before_the_first_reset_is_refused(task):
    with pytest.raises(gymnasium.error.ResetNeeded):
        task().step(np.zeros(task().action_space.shape))


@all_tasks
def test_bad_options_are_refused(task):
    env = task()
    env.reset(seed=0)
    name, start = next(iter(env.context().items()))
    size = len(start)
    for options, message in [
        ({name[:-1]: [0.0] * size}, f"did you mean '{name}'"),
        ({name: [0.0] * (size + 1)}, "shape"),
        ({name: [np.nan] * size}, "not within"),
        ({name: "high"}, "no list of numbers"),
    ]:
        with pytest.raises(UserError, match=message):
            env.reset(options=options)


@all_tasks
def test_pictures_show_the_state(task):
    env = make_env(EnvSpec(f"{task.__module__}:{task.__name__}", {"render_mode": "rgb_array"}))
    env.reset(seed=0)
    first = env.render()
    assert first.shape == (480, 480, 3) and first.dtype == np.uint8
    for _ in range(10):
        env.step(env.action_space.high)
    assert (env.render() != first).any()
    env.close()
    with pytest.raises(UserError, match="render_mode"):
        task(render_mode="human")
