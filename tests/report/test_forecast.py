import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from robo_al.build import create_campaign, load_run_config, parts_of
from robo_al.config.schema import Config
from robo_al.report.forecast import foresee, measure, said, sentence
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


def recorded(folder: Path, **changes: Any) -> Config:
    with create_campaign(Config.model_validate(FAKES | changes), folder / "run"):
        pass
    return load_run_config(folder / "run")


def test_every_part_of_a_round_is_really_timed(tmp_path: Path) -> None:
    config = recorded(tmp_path, horizon=1000, rollout_steps=20)
    seconds = measure(config, *parts_of(config))
    assert set(seconds) == {"retraining", "imagining", "executing", "evaluating", "resetting"}
    assert all(value > 0 for value in seconds.values())
    assert foresee(config).startswith("A round takes ")


def test_a_sentence_names_the_parts_the_longest_first_and_what_to_write_for_less(
    tmp_path: Path,
) -> None:
    config = recorded(tmp_path, horizon=1000, evaluation={"starts": 20})
    seconds = {"evaluating": 31.2, "imagining": 5.04, "executing": 0.01, "retraining": 2.0}
    seconds["resetting"] = 0.0
    assert sentence(config, *parts_of(config), seconds) == (
        "A round takes about 38 s at first (31 s for evaluating 20 starts x 1,000 steps, 5.0 s "
        "for imagining 4 candidates x 50 steps, 2.0 s for retraining), and longer as the model "
        "grows: 10 rounds in 6 min or more, unless the task is solved before; for less: "
        "--evaluation.starts 10 or --evaluation.every 5."
    )
    seconds |= {"imagining": 100.0}
    assert sentence(config, *parts_of(config), seconds).endswith("for less: --candidates 2.")
    seconds |= {"resetting": 200.0}
    text = sentence(config, *parts_of(config), seconds)
    assert "(200 s for resetting the env, 100 s for imagining" in text
    assert text.endswith("for less: --evaluation.starts 10 or --evaluation.every 5.")
    config = recorded(tmp_path / "unevaluated", evaluation={"every": 0})
    assert sentence(config, *parts_of(config), seconds).endswith("for less: --contexts 2.")


def test_resets_count_as_often_as_a_round_has_them(tmp_path: Path) -> None:
    numbers = {"contexts": 3, "rollouts_per_round": 2, "evaluation": {"starts": 4}}
    config = recorded(tmp_path, env=f"{Path(__file__)}:Sluggish", **numbers)
    parts, settings = parts_of(config)
    assert measure(config, parts, settings)["resetting"] >= Sluggish.seconds * (3 + 2 + 4)


def test_an_env_that_ends_after_its_first_step_is_foreseen(tmp_path: Path) -> None:
    model = {"name": "gp", "samples": 2, "frequencies": 16, "max_points": 20, "fit_steps": 3}
    config = recorded(tmp_path, env=f"{Path(__file__)}:Short", model=model, rollout_steps=5)
    assert foresee(config).startswith("A round takes ")


def test_of_less_than_a_second_nothing_more_is_said(tmp_path: Path) -> None:
    config = recorded(tmp_path)
    names = ("evaluating", "imagining", "executing", "retraining", "resetting")
    seconds = dict.fromkeys(names, 0.1)
    assert sentence(config, *parts_of(config), seconds) == (
        "A round takes less than a second at first, and longer as the model grows: 10 rounds in "
        "5 s or more, unless the task is solved before."
    )


def test_all_rounds_are_foreseen_with_the_evaluations_that_there_are(tmp_path: Path) -> None:
    seconds = dict.fromkeys(("imagining", "executing", "retraining", "resetting"), 10.0)
    seconds["evaluating"] = 100.0
    config = recorded(tmp_path, rounds=30, evaluation={"every": 5}, stop_when_solved=False)
    text = sentence(config, *parts_of(config), seconds)
    assert "grows: 30 rounds in 30 min or more; for less" in text


def test_without_evaluations_none_is_foreseen(tmp_path: Path) -> None:
    config = recorded(tmp_path, evaluation={"every": 0})
    assert measure(config, *parts_of(config))["evaluating"] == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.26, "0.3 s"), (9.4, "9.4 s"), (40.4, "40 s"), (3000.0, "50 min")]
)
def test_times_are_said_as_people_do(seconds: float, text: str) -> None:
    assert said(seconds) == text
