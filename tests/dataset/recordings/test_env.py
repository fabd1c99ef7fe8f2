from contextlib import closing

import numpy as np
import pytest

from robo_al.checks import check_env
from robo_al.dataset.recordings.env import RecordedEnv
from robo_al.dataset.recordings.reading import read_recording
from robo_al.errors import UserError
from robo_al.plugins import make_env
from robo_al.tasks import describe
from robo_al.testing import fake_task
from robo_al.types import EnvSpec

NAME = "robo_al.dataset.recordings.env:RecordedEnv"


def contents(episodes):
    return {episode.observations.tobytes() for episode in episodes}


def test_it_keeps_the_contract_of_a_task(make_run, write_lerobot):
    states = [np.random.default_rng(i).normal(size=(2 + i, 2)) for i in range(4)]
    actions = [np.linspace(-1, 1, 2 + i) for i in range(4)]
    for folder in (make_run("run"), write_lerobot(states, actions, actions)):
        spec = EnvSpec(NAME, {"path": str(folder)})
        with closing(make_env(spec)) as env:
            check_env(env, spec)


def test_the_task_is_the_one_that_was_recorded(make_run):
    spec = EnvSpec(NAME, {"path": str(make_run("run", rollouts=10)), "held_out": 0.3})
    with closing(make_env(spec)) as env:
        task = describe(env, spec)
    expected = fake_task()
    assert (task.channels, task.control_period) == (expected.channels, expected.control_period)
    assert np.array_equal(task.action_low, expected.action_low)
    assert (task.starts, len(task.held_out), task.horizon, task.threshold) == (7, 3, 5, None)
    batch = np.ones((2, 3)), np.ones((2, 2)), np.zeros((2, 3))
    assert task.reward is not None and expected.reward is not None
    assert np.array_equal(task.reward(*batch), expected.reward(*batch))


def test_every_episode_is_either_held_out_or_to_be_chosen(make_run):
    folder = make_run("run", rollouts=10)
    recorded = contents(read_recording(folder).episodes)
    for share in (0.01, 0.2, 0.5, 0.9):
        env, again = RecordedEnv(str(folder), share), RecordedEnv(str(folder), share)
        assert len(env.held_out) == max(1, round(share * 10))
        assert contents(env.held_out).isdisjoint(contents(env.episodes))
        assert contents(env.held_out) | contents(env.episodes) == recorded
        assert contents(env.held_out) == contents(again.held_out)


def test_it_plays_what_was_recorded(make_run):
    env = RecordedEnv(str(make_run("run")))
    assert env.reset(seed=1)[0] is not env.episodes[1].observations[0]
    for seed in (0, 3, 1 + len(env.episodes)):
        episode = env.episodes[seed % len(env.episodes)]
        observation, _ = env.reset(seed=seed)
        assert np.array_equal(observation, episode.observations[0])
        for step, action in enumerate(episode.actions):
            observation, reward, terminated, truncated, _ = env.step(action)
            assert np.array_equal(observation, episode.observations[step + 1])
            assert reward == pytest.approx(episode.rewards[step], abs=1e-12)
            assert (terminated, truncated) == (False, step + 1 == episode.steps)


def test_a_changed_recording_is_noticed(make_run):
    folder = make_run("run")
    sha256 = read_recording(folder).sha256
    RecordedEnv(str(folder), sha256=sha256)
    with pytest.raises(UserError, match=f"its sha256 is {sha256}, not 0000"):
        RecordedEnv(str(folder), sha256="0000")


def test_too_little_is_refused(make_run, write_lerobot):
    folder = str(make_run("run", rollouts=1))
    with pytest.raises(UserError, match="1 different rollouts, of which 1 would be held out"):
        RecordedEnv(folder)
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(UserError, match="a share of the rollouts is needed"):
            RecordedEnv(folder, share)
    with pytest.raises(UserError, match="none is left"):
        RecordedEnv(str(make_run("two", rollouts=2)), 0.9)
    still = [np.full((3, 2), float(i)) for i in range(3)]
    with pytest.raises(UserError, match="no channel of the held-out rollouts ever changes"):
        RecordedEnv(str(write_lerobot(still, [np.arange(3.0)] * 3)))


def test_each_split_holds_out_other_rollouts(make_run):
    folder = str(make_run("run", rollouts=10))
    splits = [contents(RecordedEnv(folder, split=split).held_out) for split in (0, 0, 1, 2)]
    assert splits[0] == splits[1]
    assert len({frozenset(split) for split in splits}) == 3
    with pytest.raises(UserError, match="split is -1"):
        RecordedEnv(folder, split=-1)


def test_a_rollout_whose_file_is_damaged_is_named_and_can_be_left_out(make_run):
    folder = make_run("run", rollouts=6)
    file = sorted((folder / "episodes").iterdir())[2]
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match=r'leave_out: \["run/r0001-02"\]'):
        RecordedEnv(str(folder))
    env = RecordedEnv(str(folder), leave_out=["run/r0001-02"])
    assert len(env.episodes) + len(env.held_out) == 5
