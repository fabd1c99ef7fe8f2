import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from robo_al.build import DryRun, dry_run
from robo_al.config.schema import Config
from robo_al.oracles.simulation import SimulationOracle
from robo_al.report.forecast import expected_steps, foresee, measure, said, sentence
from robo_al.testing import FakeEnv

FAKES: dict[str, Any] = {
    "env": "robo_al.testing:FakeEnv",
    "policy": {"name": "robo_al.testing:FakePolicy", "streamed": True},
    "explorer": "robo_al.testing:FakePolicy",
    "model": "robo_al.testing:FakeModel",
    "device": "cpu",
    "candidates": 4,
}


class Sluggish(FakeEnv):
    """Needs a while for each reset."""

    seconds = 0.05

    def reset(self, **given: Any) -> Any:
        time.sleep(self.seconds)
        return super().reset(**given)


class Short(gymnasium.Env[Any, Any]):
    """Ends with its first step."""

    observation_space = Box(-9, 9, (2,), np.float64)
    action_space = Box(-1, 1, (1,), np.float64)
    horizon = 6

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-1, 1, 2)
        return self.state, {}

    def step(self, action: Any) -> Any:
        return self.state + 0.1 * action, 1.0, True, False, {}


class Long(Short):
    """Never ends by itself."""

    def step(self, action: Any) -> Any:
        observation, reward, _, *rest = super().step(action)
        return observation, reward, False, *rest


class Slow(SimulationOracle):
    """Takes its time, and cannot undo what it does: a robot."""

    repeatable = False


@pytest.fixture
def made() -> Iterator[Callable[..., DryRun]]:
    """Try a campaign of fakes; its oracle is closed at the end."""
    with ExitStack() as opened:

        def trial(**changes: Any) -> DryRun:
            tried = dry_run(Config.model_validate(FAKES | changes))
            opened.enter_context(closing(tried.oracle))
            return tried

        yield trial


def measured(tried: DryRun) -> dict[str, float]:
    return measure(tried.parts, tried.config, tried.oracle)


def say(tried: DryRun, seconds: Mapping[str, float]) -> str:
    return sentence(tried.parts, tried.config, seconds)


def test_every_part_of_a_round_is_really_timed(made: Callable[..., DryRun]) -> None:
    tried = made(horizon=1000, rollout_steps=20)
    seconds = measured(tried)
    assert set(seconds) == {"retraining", "imagining", "executing", "evaluating", "resetting"}
    assert all(value > 0 for value in seconds.values())
    assert foresee(tried, "cpu").startswith("A round takes ")


def test_a_sentence_names_the_parts_the_longest_first_and_what_to_write_for_less(
    made: Callable[..., DryRun],
) -> None:
    tried = made(horizon=1000, evaluation={"starts": 20})
    seconds = {"evaluating": 31.2, "imagining": 5.04, "executing": 0.01, "retraining": 2.0}
    seconds["resetting"] = 0.0
    assert say(tried, seconds) == (
        "A round takes about 38 s at first (31 s for evaluating 20 starts x 1,000 steps, 5.0 s "
        "for imagining 4 candidates x 50 steps, 2.0 s for retraining), and longer as the model "
        "grows: 10 rounds in 6 min or more, unless the task is solved before; for less: "
        "--evaluation.starts 10 or --evaluation.every 5."
    )
    seconds |= {"imagining": 100.0}
    assert say(tried, seconds).endswith("for less: --candidates 2.")
    seconds |= {"resetting": 200.0}
    text = say(tried, seconds)
    assert "(200 s for resetting the env, 100 s for imagining" in text
    assert text.endswith("for less: --evaluation.starts 10 or --evaluation.every 5.")
    tried = made(evaluation={"every": 0})
    assert say(tried, seconds).endswith("for less: --contexts 2.")


def test_resets_count_as_often_as_a_round_has_them(made: Callable[..., DryRun]) -> None:
    numbers = {"contexts": 3, "rollouts_per_round": 2, "evaluation": {"starts": 4}}
    tried = made(env=f"{Path(__file__)}:Sluggish", **numbers)
    assert measured(tried)["resetting"] >= Sluggish.seconds * (3 + 2 + 4)


def test_an_env_that_ends_after_its_first_step_is_foreseen(
    made: Callable[..., DryRun],
) -> None:
    model = {"name": "gp", "samples": 2, "frequencies": 16, "max_points": 20, "fit_steps": 3}
    tried = made(env=f"{Path(__file__)}:Short", model=model, rollout_steps=5)
    assert foresee(tried, "cpu").startswith("A round takes ")


@pytest.mark.parametrize(("ending", "rollouts"), [(0.0, 3), (0.2, 1), (0.05, 4), (1.0, 2)])
def test_the_steps_of_the_longest_rollout_are_those_of_many_that_were_drawn(
    ending: float, rollouts: int
) -> None:
    rng, most = np.random.default_rng(0), 30
    ends = rng.random((4000, rollouts, most)) < ending
    lasted = np.where(ends.any(-1), ends.argmax(-1) + 1, most).max(-1)
    assert expected_steps(ending, most, rollouts) == pytest.approx(lasted.mean(), abs=0.5)


def test_rollouts_that_end_by_themselves_are_not_taken_for_whole_horizons(
    made: Callable[..., DryRun],
) -> None:
    oracle = f"{Path(__file__)}:Slow"  # whose control period of 1 s counts for each step
    for env, steps in (("Short", 1), ("Long", 600)):
        tried = made(env=f"{Path(__file__)}:{env}", oracle=oracle, horizon=600)
        assert measured(tried)["evaluating"] == steps * tried.config.evaluation.starts


def test_of_less_than_a_second_nothing_more_is_said(made: Callable[..., DryRun]) -> None:
    tried = made()
    names = ("evaluating", "imagining", "executing", "retraining", "resetting")
    seconds = dict.fromkeys(names, 0.1)
    assert say(tried, seconds) == (
        "A round takes less than a second at first, and longer as the model grows: 10 rounds in "
        "4.8 s or more, unless the task is solved before."
    )


def test_all_rounds_are_foreseen_with_the_evaluations_that_there_are(
    made: Callable[..., DryRun],
) -> None:
    seconds = dict.fromkeys(("imagining", "executing", "retraining", "resetting"), 10.0)
    seconds["evaluating"] = 100.0
    tried = made(rounds=30, evaluation={"every": 5}, stop_when_solved=False)
    text = say(tried, seconds)
    assert "grows: 30 rounds in 30 min or more; for less" in text


def test_without_evaluations_none_is_foreseen(made: Callable[..., DryRun]) -> None:
    tried = made(evaluation={"every": 0})
    assert measured(tried)["evaluating"] == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.26, "0.3 s"), (9.4, "9.4 s"), (40.4, "40 s"), (3000.0, "50 min")]
)
def test_times_are_said_as_people_do(seconds: float, text: str) -> None:
    assert said(seconds) == text
