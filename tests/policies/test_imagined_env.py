"""The imagined worlds: that they are the model's, step as one batch, and end as SB3 expects."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from robo_al.models.true_dynamics import TrueDynamics
from robo_al.plugins import make_env
from robo_al.tasks import describe
from robo_al.testing import FakeEnv, FakeModel, fake_task, random_transitions
from robo_al.types import EnvSpec
from robo_al_policies.imagined_env import ImaginedEnv
from robo_al_policies.observer import Observer

HOPPER = EnvSpec("gymnasium:Hopper-v5")


class Counting(FakeModel):
    """Counts its steps, and how many worlds took each."""

    def step(self, observations, actions, members):
        self.sizes = [*getattr(self, "sizes", []), observations.shape[0] * observations.shape[1]]
        return super().step(observations, actions, members)


def imagined(model, task, worlds=12, length=3, seed=0, starts=None):
    env = ImaginedEnv(task, Observer(task), worlds, length, "cpu")
    if starts is None:
        starts = random_transitions(np.random.default_rng(1)).observations
    env.imagine(model, torch.as_tensor(starts), np.random.default_rng(seed))
    return env


def test_thousands_of_worlds_step_as_one_batch():
    task = fake_task()
    model = Counting(task)
    env = imagined(model, task, worlds=4096)
    seen = env.reset()
    assert seen.shape == (4096, 3) and seen.dtype == np.float32
    for _ in range(4):
        seen, rewards, dones, infos = env.step(np.zeros((4096, 2), np.float32))
    assert seen.shape == (4096, 3) and rewards.shape == dones.shape == (4096,)
    assert len(infos) == 4096
    assert len(model.sizes) == 4 and min(model.sizes) >= 4096


def test_worlds_begin_where_something_was_recorded_and_move_as_the_task_does():
    task, truth = fake_task(), FakeEnv()
    starts = random_transitions(np.random.default_rng(1)).observations
    env = imagined(TrueDynamics(task), task, starts=starts)
    before = env.reset()
    assert all(np.isclose(starts, row, atol=1e-6).all(1).any() for row in before)
    actions = np.random.default_rng(2).uniform(-1, 1, (12, 2))
    after, rewards, _, _ = env.step(actions)
    scaled = actions * task.action_high  # limits of 1 and 2
    expected = truth.dynamics(before.astype(np.float64), scaled)
    np.testing.assert_allclose(after, expected, atol=1e-5)
    np.testing.assert_allclose(rewards, truth.reward(before, scaled, expected), atol=1e-5)


def test_every_member_has_its_share_of_the_worlds():
    task = fake_task()
    model = FakeModel(task, members=5)
    model.fit(random_transitions(np.random.default_rng(0)), np.random.default_rng(0))
    env = imagined(model, task, worlds=13, starts=np.array([[0.1, 0.2, 0.3]]))
    env.reset()
    after, _, _, _ = env.step(np.zeros((13, 2)))
    found, counts = np.unique(after.round(6), axis=0, return_counts=True)
    assert len(found) == 5 and counts.max() <= 3


def test_a_branch_is_cut_off_at_its_length_and_starts_anew():
    task = fake_task()
    env = imagined(TrueDynamics(task), task, starts=np.array([[0.0, 1.0, 0.5]]))
    env.reset()
    for t in range(1, 7):
        after, _, dones, infos = env.step(np.zeros((12, 2)))
        assert dones.all() == dones.any() == (t % 3 == 0)
        if t % 3 == 0:
            np.testing.assert_allclose(after, np.tile([0.0, 1.0, 0.5], (12, 1)), atol=1e-6)
            last = infos[0]["terminal_observation"]
            np.testing.assert_allclose(last, [0.3, 1.0, 0.5], atol=1e-6)
            assert infos[0]["TimeLimit.truncated"]


def test_a_world_that_ends_by_itself_is_not_taken_for_cut_off():
    task = describe(make_env(HOPPER), HOPPER)

    class Falling(FakeModel):
        def step(self, observations, actions, members):
            lower = observations - 0.2 * torch.nn.functional.one_hot(torch.tensor(0), 11)
            return lower, torch.ones(observations.shape[:2])

    starts = np.zeros((1, 11)) + np.eye(11)[0] * 1.25
    env = imagined(Falling(task), task, length=10, starts=starts)
    env.reset()
    ends = []
    for _ in range(3):
        _, rewards, dones, infos = env.step(np.zeros((12, 3)))
        ends.append(dones.all())
    assert ends == [False, False, True]
    assert not infos[0]["TimeLimit.truncated"] and infos[0]["terminal_observation"][0] < 0.7
    assert (rewards == 1).all()  # the model's, where the task's is not known


def test_a_world_that_leaves_the_numbers_is_cut_off_where_it_was():
    task = fake_task()

    class Broken(FakeModel):
        def step(self, observations, actions, members):
            after = observations.clone()
            after[0] = float("nan")
            return after, None

    env = imagined(Broken(task, members=2), task)
    before = env.reset()
    after, rewards, dones, infos = env.step(np.zeros((12, 2)))
    assert np.isfinite(after).all() and np.isfinite(rewards).all()
    assert dones.tolist() == [True] * 6 + [False] * 6
    np.testing.assert_array_equal(infos[0]["terminal_observation"], before[0])
    assert infos[0]["TimeLimit.truncated"] and rewards[0] == 0


def test_equal_generators_imagine_equal_worlds():
    task = fake_task()
    seen = [imagined(FakeModel(task), task, seed=seed).reset() for seed in (0, 0, 1)]
    np.testing.assert_array_equal(seen[0], seen[1])
    assert (seen[0] != seen[2]).any()


def test_it_answers_what_sb3_asks_of_an_env():
    task = fake_task()
    env = imagined(FakeModel(task), task)
    assert env.action_space == spaces.Box(-1.0, 1.0, (2,), np.float32)
    assert env.render_mode is None and env.env_is_wrapped(object, [0, 3]) == [False, False]
    assert env.get_attr("length", 0) == [3]
    env.set_attr("length", 5)
    assert env.length == 5
    with pytest.raises(AttributeError, match="no method"):
        env.env_method("render")
    env.close()


def test_networks_see_angles_as_sine_and_cosine():
    spec = EnvSpec("pendulum")
    task = describe(make_env(spec), spec)
    seen = Observer(task)(torch.tensor([[0.5, 2.0]]))
    np.testing.assert_allclose(seen, [[2.0, np.sin(0.5), np.cos(0.5)]], atol=1e-6)
    assert Observer(task).size == 3
    raw = Observer(task, raw=True)
    np.testing.assert_allclose(raw(torch.tensor([[0.5, 2.0]])), [[0.5, 2.0]])
    assert raw.size == 2
