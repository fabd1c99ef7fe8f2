import gymnasium
import numpy as np

from robo_al.checks import check_env
from robo_al.tasks.offers import offers_of
from robo_al.types import EnvSpec
from robo_al_envs.recorded_pendulum import RecordedPendulum


def test_the_pool_is_the_same_each_time_and_what_the_env_does() -> None:
    env, other = RecordedPendulum(), RecordedPendulum()
    assert (len(env.episodes), len(env.held_out)) == (100, 25)
    for episode, same in zip(env.episodes, other.episodes, strict=True):
        np.testing.assert_array_equal(episode.observations, same.observations)
    for index in (0, 99, 100):
        episode = env.episodes[index % 100]
        start, _ = env.reset(seed=index)
        np.testing.assert_array_equal(start, episode.observations[0])
        for action, after in zip(episode.actions, episode.observations[1:], strict=True):
            seen, *_ = env.step(action)
            np.testing.assert_allclose(seen, after, atol=1e-6)


def test_it_moves_as_gymnasium_s_pendulum_does() -> None:
    env, theirs = RecordedPendulum(), gymnasium.make("Pendulum-v1").unwrapped
    env.reset(seed=3)
    cosine, sine, speed = env.episodes[3].observations[0]
    theirs.reset(seed=0)
    theirs.state = np.array([np.arctan2(sine, cosine), speed])
    for action in env.episodes[3].actions:
        mine, *_ = env.step(action)
        other, *_ = theirs.step(action)
        np.testing.assert_allclose(mine, other, atol=1e-5)


def test_it_is_a_task_of_recorded_rollouts() -> None:
    env = RecordedPendulum()
    check_env(env, EnvSpec("robo_al_envs.recorded_pendulum:RecordedPendulum"))
    assert offers_of(env).episodes is not None
