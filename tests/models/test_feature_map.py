import math

import numpy as np
import torch

from robo_al.models.feature_map import FeatureMap
from robo_al.types import Channel, EnvSpec, Task

CHANNELS = (
    Channel("position", "m"),
    Channel("angle", "rad", "angle"),
    Channel("heading", "rad", "wrapped_angle"),
    Channel("goal", "m", "constant"),
)


def inputs(reward=lambda o, a, n: o[..., 0]) -> FeatureMap:
    low, high = np.array([0.0]), np.array([4.0])
    return FeatureMap.of(Task(EnvSpec("t"), CHANNELS, low, high, 5, 0.1, reward, None))


def test_features_are_sines_and_cosines_of_angles_and_scaled_actions():
    observation = torch.tensor([[1.0, 0.5, -0.5, 9.0]])
    features = inputs().features(observation, torch.tensor([[3.0]]))
    sines, cosines = [math.sin(0.5), math.sin(-0.5)], [math.cos(0.5), math.cos(-0.5)]
    torch.testing.assert_close(features, torch.tensor([[1.0, 9.0, *sines, *cosines, 0.5]]))
    assert inputs().size == 7


def test_a_wrapped_angle_changes_the_short_way():
    before = torch.tensor([[0.0, 3.0, 3.0, 1.0]])
    after = torch.tensor([[0.1, 3.4, 3.4 - 2 * math.pi, 1.0]])
    change = inputs().targets(before, after, torch.zeros(1))
    torch.testing.assert_close(change, torch.tensor([[0.1, 0.4, 0.4]]))
    following, reward = inputs().advance(before, change)
    torch.testing.assert_close(following, after)
    assert reward is None


def test_an_unknown_reward_is_one_output_more():
    learned = inputs(reward=None)
    assert learned.outputs == 4
    before, after = torch.zeros(2, 4), torch.ones(2, 4)
    targets = learned.targets(before, after, torch.tensor([5.0, 6.0]))
    assert targets[:, -1].tolist() == [5.0, 6.0]
    _, reward = learned.advance(before, targets)
    assert reward is not None and reward.tolist() == [5.0, 6.0]


def test_scatter_fills_what_is_not_predicted():
    full = inputs().scatter(torch.tensor([[1.0, 2.0, 3.0]]), fill=7.0)
    assert full.tolist() == [[1.0, 2.0, 3.0, 7.0]]
