import numpy as np
import pytest
import torch

from robo_al.plugins import known, known_reward, make_env
from robo_al.types import EnvSpec

SPECS = [
    EnvSpec("gymnasium:Reacher-v5"),
    EnvSpec("gymnasium:Reacher-v5", {"reward_control_weight": 0.3, "reward_dist_weight": 2.0}),
    EnvSpec("gymnasium:Pusher-v5"),
    EnvSpec("gymnasium:Pusher-v5", {"reward_near_weight": 1.5}),
    EnvSpec("gymnasium:InvertedPendulum-v5"),
    EnvSpec("gymnasium:HalfCheetah-v5", {"exclude_current_positions_from_observation": False}),
    EnvSpec(
        "gymnasium:HalfCheetah-v5",
        {"exclude_current_positions_from_observation": False, "frame_skip": 3},
    ),
]


def test_each_entry_is_checked_below():
    checked = {spec.name.removeprefix("gymnasium:") for spec in SPECS}
    assert checked == set(known("rewards"))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_known_reward_is_what_a_step_pays(spec):
    env, reward = make_env(spec), known_reward(spec)
    assert reward is not None
    env.action_space.seed(0)
    before, _ = env.reset(seed=0)
    steps = []
    for _ in range(60):
        action = env.action_space.sample().astype(np.float64)
        after, paid, terminated, *_ = env.step(action)
        steps.append((before, action, after, float(paid)))
        before = env.reset()[0] if terminated else after
    observations, actions, following, rewards = (np.array(x) for x in zip(*steps, strict=True))
    paid = reward(observations, actions, following)
    np.testing.assert_allclose(paid, rewards, rtol=0, atol=1e-9)
    tensors = [torch.as_tensor(x) for x in (observations, actions, following)]
    np.testing.assert_allclose(reward(*tensors).numpy(), rewards, rtol=0, atol=1e-9)
    assert len(np.unique(rewards)) > 1
    env.close()


@pytest.mark.parametrize(
    "spec",
    [
        EnvSpec("gymnasium:HalfCheetah-v5"),
        EnvSpec("gymnasium:Hopper-v5"),
        EnvSpec("gymnasium:Reacher-v5", {"xml_file": "other.xml"}),
        EnvSpec("reacher"),
    ],
    ids=str,
)
def test_a_reward_that_is_not_known_is_none(spec):
    assert known_reward(spec) is None


@pytest.mark.parametrize("parameters", [{"render_mode": "rgb_array"}, {"max_episode_steps": 20}])
def test_how_it_is_shown_and_how_long_it_lasts_do_not_change_the_reward(parameters):
    assert known_reward(EnvSpec("gymnasium:Reacher-v5", parameters)) is not None
