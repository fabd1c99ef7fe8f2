import numpy as np
import pytest

from robo_al import loop
from robo_al.build import create_campaign, make_oracle
from robo_al.checks import check_policy
from robo_al.config.schema import Config
from robo_al.errors import ConfigError
from robo_al.plugins import make_env
from robo_al.tasks import contexts_from, describe
from robo_al.testing import FakeModel, fake_task, random_transitions
from robo_al.types import EnvSpec, OpenLoop
from robo_al_policies.replay import Replay


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return an env of ten recorded rollouts, and its description."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = Config.model_validate(
        {
            "env": "robo_al.testing:FakeEnv",
            "policy": "random",
            "model": "robo_al.testing:FakeModel",
            "strategy": "random",
            "rounds": 1,
            "initial_rollouts": 10,
            "rollout_steps": 6,
            "evaluation": {"every": 0},
            "device": "cpu",
        }
    )
    with create_campaign(config, folder) as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, lambda event: None)
    spec = EnvSpec("robo_al.dataset.recordings.env:RecordedEnv", {"path": str(folder)})
    env = make_env(spec)
    return env, describe(env, spec)


def test_it_keeps_the_contract_of_a_policy(recorded):
    env, task = recorded
    model = FakeModel(task)
    transitions = random_transitions(np.random.default_rng(0), env=env)
    model.fit(transitions, np.random.default_rng(0))
    check_policy(Replay(task), task, model, contexts_from(env, [0, 5]), transitions)


def test_candidates_are_the_recorded_rollouts_of_different_contexts(recorded):
    env, task = recorded
    contexts = contexts_from(env, [1, 3, 4, 6, 7])
    candidates = Replay(task).propose(4, contexts, 50, None, np.random.default_rng(0))
    seeds = [candidate.context.seed for candidate in candidates]
    assert len(set(seeds)) == 4 and set(seeds) < {1, 3, 4, 6, 7}
    for candidate in candidates:
        episode = env.episodes[candidate.context.seed]
        assert any(candidate.context is context for context in contexts)
        assert np.array_equal(candidate.context.observation, episode.observations[0])
        assert isinstance(candidate.controller, OpenLoop)
        assert np.array_equal(candidate.controller.actions, episode.actions)
        assert candidate.horizon == episode.steps == 6


def test_a_shorter_horizon_is_the_beginning_of_the_rollout(recorded):
    env, task = recorded
    (candidate,) = Replay(task).propose(
        1, contexts_from(env, [2]), 4, None, np.random.default_rng(0)
    )
    assert isinstance(candidate.controller, OpenLoop)
    assert np.array_equal(candidate.controller.actions, env.episodes[2].actions[:4])
    assert candidate.horizon == 4


def test_which_are_proposed_is_drawn(recorded):
    env, task = recorded
    contexts = contexts_from(env, range(8))

    def seeds(seed):
        proposed = Replay(task).propose(3, contexts, 50, None, np.random.default_rng(seed))
        return tuple(candidate.context.seed for candidate in proposed)

    assert seeds(0) == seeds(0)
    assert len({seeds(seed) for seed in range(5)}) > 1


def test_another_task_is_refused():
    with pytest.raises(ConfigError, match="policy replay: the env .*FakeEnv has no recorded"):
        Replay(fake_task())
