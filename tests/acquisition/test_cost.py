import dataclasses

import pytest
import torch

from robo_al.acquisition.cost import Seconds
from robo_al.errors import ConfigError
from robo_al.testing import fake_task, random_imagined


def test_seconds_are_those_of_execution_reset_and_expected_failure(rng):
    imagined, task = random_imagined(rng, candidates=4, steps=4), fake_task()  # lengths 4 3 4 3
    assert task.control_period == 0.1
    plain = Seconds()(imagined, task, None)
    torch.testing.assert_close(plain, torch.tensor([0.4, 0.3, 0.4, 0.3], dtype=torch.float64))
    risks = torch.tensor([0.0, 0.5, 1.0, 0.25], dtype=torch.float64)
    seconds = Seconds(reset=5.0, failure=60.0)(imagined, task, risks)
    expected = torch.tensor([5.4, 35.3, 65.4, 20.3], dtype=torch.float64)
    torch.testing.assert_close(seconds, expected)


def test_padding_takes_no_time(rng):
    imagined = random_imagined(rng, candidates=3, steps=6)
    shorter = dataclasses.replace(imagined, mask=imagined.mask * (torch.arange(6) < 2))
    assert Seconds()(shorter, fake_task(), None).tolist() == pytest.approx([0.2] * 3)


def test_an_end_saves_time_in_the_members_that_it_is_imagined_in(rng):
    imagined = random_imagined(rng, members=2, candidates=1, steps=6)
    mask = imagined.mask * (torch.arange(6) < torch.tensor([6, 3])[:, None, None])
    ending = dataclasses.replace(imagined, mask=mask)
    assert Seconds()(ending, fake_task(), None).tolist() == pytest.approx([0.45])


@pytest.mark.parametrize(
    "wrong", [{"budget": 0.0}, {"budget": -1.0}, {"reset": -1.0}, {"failure": -0.1}]
)
def test_times_must_be_possible(wrong):
    with pytest.raises(ConfigError, match=f"cost seconds: {next(iter(wrong))} is"):
        Seconds(**wrong)
