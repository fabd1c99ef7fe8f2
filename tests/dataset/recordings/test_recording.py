from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robo_al.dataset.recordings.recording import Recording, task_of
from robo_al.errors import UserError
from robo_al.types import Channel, Trajectory

HERE = Path("data")
CHANNELS = (Channel("x", "m"), Channel("v", "m/s"))


def episode(steps: int, seed: int = 0) -> Trajectory:
    rng = np.random.default_rng(seed)
    actions = rng.uniform(-1, 1, (steps, 1))
    return Trajectory(rng.normal(size=(steps + 1, 2)), actions, actions, rng.normal(size=steps))


def recording(*episodes: Trajectory) -> Recording:
    named = {str(i): episode for i, episode in enumerate(episodes)}
    return Recording.of(HERE, task_of(HERE, CHANNELS, 0.1, True, named), named)


def test_the_same_rollout_is_kept_once():
    one, two = episode(3, 1), episode(3, 2)
    assert len(recording(one, two, episode(3, 1)).episodes) == 2
    assert len(recording(one, replace(one, rewards=one.rewards + 1)).episodes) == 2


def test_the_hash_is_of_the_content():
    one, two = episode(3, 1), episode(4, 2)
    assert recording(one, two).sha256 == recording(one, two).sha256
    assert recording(one, two).sha256 != recording(one).sha256
    changed = replace(two, rewards=np.nextafter(two.rewards, 9))
    assert recording(one, two).sha256 != recording(one, changed).sha256


def test_limits_are_those_of_the_data_and_never_without_width():
    actions = np.array([[0.5, 2.0], [-0.25, 2.0]])
    named = {"0": Trajectory(np.zeros((3, 2)), actions, actions, np.zeros(2))}
    task = task_of(HERE, CHANNELS, 0.1, True, named)
    assert task.action_low.tolist() == [-0.25, 1.0]
    assert task.action_high.tolist() == [0.5, 3.0]
    assert (task.horizon, task.control_period) == (2, 0.1)


def test_a_reward_that_was_not_recorded_is_zero_and_known():
    torch = pytest.importorskip("torch")
    named = {"0": episode(3)}
    assert task_of(HERE, CHANNELS, 0.1, True, named).reward is None
    reward = task_of(HERE, CHANNELS, 0.1, False, named).reward
    assert reward is not None
    assert np.array_equal(reward(np.ones((4, 2)), np.ones((4, 1)), np.ones((4, 2))), np.zeros(4))
    assert torch.equal(reward(None, None, torch.ones(3, 5, 2)), torch.zeros(3, 5))


def test_what_no_model_can_learn_from_is_refused_with_its_name():
    good = episode(3)
    bad = replace(good, observations=good.observations.copy())
    bad.observations[2, 1] = np.nan
    with pytest.raises(
        UserError, match="learned from:\n  rollout 1: observation is not finite at step 2"
    ):
        recording(good, bad)
    with pytest.raises(UserError, match="rollout 1: it has no steps"):
        recording(good, episode(0))
    with pytest.raises(UserError, match="reward has shape"):
        recording(good, replace(good, rewards=np.zeros(2)))
    with pytest.raises(UserError, match="no recorded rollouts"):
        recording()
    with pytest.raises(UserError, match="have no steps"):
        recording(episode(0))


def test_unequal_sizes_are_refused():
    wide = replace(episode(3), observations=np.zeros((4, 3)))
    with pytest.raises(UserError, match=r"observations of rollout 1 have shape \(4, 3\)"):
        recording(episode(3), wide)
    flat = replace(episode(3), actions=np.zeros(3), requested=np.zeros(3))
    with pytest.raises(UserError, match=r"actions of rollout 0 have shape \(3,\)"):
        recording(flat)
