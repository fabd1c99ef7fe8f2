from pathlib import Path

import numpy as np
import pytest

from robo_al import create_campaign, load_config, loop, make_oracle, open_policy
from robo_al.dataset.folders import LEDGER
from robo_al.errors import IntegrityError, RunFolderError, UserError
from robo_al.plugins import make_env
from robo_al.types import MEAN

PARTS = [
    "--policy", "robo_al.testing:FakePolicy", "--policy.streamed", "true",
    "--explorer", "robo_al.testing:FakePolicy", "--model", "robo_al.testing:FakeModel",
    "--oracle", "robo_al.testing:FakeOracle", "--candidates", "4", "--rounds", "2",
    "--evaluation.starts", "2", "--device", "cpu",
]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    config = load_config("robo_al.testing:FakeEnv", PARTS)
    with create_campaign(config, tmp_path / "run") as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, lambda event: None)
    return tmp_path / "run"


def test_a_runs_policy_acts_in_a_loop_of_ones_own(run: Path) -> None:
    policy = open_policy(run)
    env = make_env(policy.task.env)
    observation, _ = env.reset(seed=0)
    for _ in range(5):
        action = policy.act(observation)
        assert action.shape == policy.task.action_low.shape
        observation, *_ = env.step(action.astype(np.float32))


def test_it_acts_as_the_campaign_s_own_does(run: Path) -> None:
    from robo_al.build import open_campaign

    policy = open_policy(run, "cpu")
    observations = np.random.default_rng(0).uniform(-0.5, 0.5, (4, 3))
    with open_campaign(run) as campaign:
        actor = campaign.parts.policy.start(campaign.parts.model, [MEAN], [7])
        wanted = [actor.act(row[None])[0] for row in observations]
    for _ in range(2):  # a rollout after another begins anew
        policy.reset(7)
        found = [policy.act(row) for row in observations]
        low, high = policy.task.action_low, policy.task.action_high
        np.testing.assert_array_equal(found, np.clip(wanted, low, high))


def test_the_folder_is_neither_locked_nor_changed(run: Path) -> None:
    from robo_al.build import open_campaign

    before = {path: path.read_bytes() for path in run.rglob("*.*")}
    with open_campaign(run):  # another process may be at work
        open_policy(run).act(np.zeros(3))
    open_policy(run)
    after = {path: path.read_bytes() for path in run.rglob("*.*") if path.name != LEDGER}
    assert after.items() <= before.items()


@pytest.mark.parametrize("wrong", [np.zeros(2), np.zeros((1, 3)), np.array([0.0, np.nan, 0.0])])
def test_what_is_no_observation_is_refused(run: Path, wrong: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"a finite observation of shape \[3\]"):
        open_policy(run).act(wrong)


def test_what_has_learned_nothing_is_refused(run: Path, tmp_path: Path) -> None:
    config = load_config("robo_al.testing:FakeEnv", PARTS)
    create_campaign(config, tmp_path / "new").close()
    with pytest.raises(UserError, match="learned nothing yet"):
        open_policy(tmp_path / "new")
    with pytest.raises(RunFolderError, match="no run here"):
        open_policy(tmp_path / "nothing")
    for weights in (run / "models").iterdir():
        weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(IntegrityError):
        open_policy(run)
