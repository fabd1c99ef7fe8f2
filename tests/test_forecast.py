from pathlib import Path
from typing import Any

import pytest

from robo_al.config import Config
from robo_al.forecast import foresee, measure, said, sentence
from robo_al.run import create_campaign, load_run_config, parts_of

FAKES: dict[str, Any] = {
    "env": "robo_al.testing:FakeEnv",
    "policy": {"name": "robo_al.testing:FakePolicy", "streamed": True},
    "explorer": "robo_al.testing:FakePolicy",
    "model": "robo_al.testing:FakeModel",
    "device": "cpu",
    "candidates": 4,
}


def recorded(folder: Path, **changes: Any) -> Config:
    with create_campaign(Config.model_validate(FAKES | changes), folder / "run"):
        pass
    return load_run_config(folder / "run")


def test_every_part_of_a_round_is_really_timed(tmp_path: Path) -> None:
    config = recorded(tmp_path, horizon=1000, rollout_steps=20)
    seconds = measure(config, *parts_of(config))
    assert set(seconds) == {"retraining", "imagining", "executing", "evaluating"}
    assert all(value > 0 for value in seconds.values())
    assert foresee(config).startswith("A round takes ")


def test_a_sentence_names_the_parts_the_longest_first_and_what_to_write_for_less(
    tmp_path: Path,
) -> None:
    config = recorded(tmp_path, horizon=1000, evaluation={"starts": 20})
    seconds = {"evaluating": 31.2, "imagining": 5.04, "executing": 0.01, "retraining": 2.0}
    assert sentence(config, *parts_of(config), seconds) == (
        "A round takes about 38 s at first (31 s for evaluating 20 starts x 1,000 steps, 5.0 s "
        "for imagining 4 candidates x 50 steps, 2.0 s for retraining), and longer as the model "
        "grows; for less: --evaluation.starts 10 or --evaluation.every 5."
    )
    seconds |= {"imagining": 100.0}
    assert sentence(config, *parts_of(config), seconds).endswith("for less: --candidates 2.")


def test_of_less_than_a_second_nothing_more_is_said(tmp_path: Path) -> None:
    config = recorded(tmp_path)
    seconds = dict.fromkeys(("evaluating", "imagining", "executing", "retraining"), 0.2)
    assert sentence(config, *parts_of(config), seconds) == (
        "A round takes less than a second at first, and longer as the model grows."
    )


def test_without_evaluations_none_is_foreseen(tmp_path: Path) -> None:
    config = recorded(tmp_path, evaluation={"every": 0})
    assert measure(config, *parts_of(config))["evaluating"] == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.26, "0.3 s"), (9.4, "9.4 s"), (40.4, "40 s"), (3000.0, "50 min")]
)
def test_times_are_said_as_people_do(seconds: float, text: str) -> None:
    assert said(seconds) == text
