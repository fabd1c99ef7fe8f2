"""From a configuration to the first ask, an env is made once; what makes another one is named."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from robo_al.build import create_campaign, make_oracle
from robo_al.config.load import load_config

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def made(tmp_path: Path) -> Callable[[], list[str]]:
    """Say of each env that was made in between for what: `here`, `a worker` or `a video`."""
    shutil.copy(Path(__file__).with_name("counted_env.py"), tmp_path)

    def why(line: str) -> str:
        process, use, program = line.split()
        if use == "drawn":
            return "a video"
        return "here" if process == str(os.getpid()) else f"a worker, {program}"

    def since() -> list[str]:
        path = tmp_path / "made.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [why(line) for line in lines]

    return since


ONE_WORKER = "a worker, worker.py"


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("name", "oracle", "further"),
    [
        ("Alone", "simulation", []),
        ("Counted", "gymnasium", [ONE_WORKER]),  # the rollouts', with a deadline
    ],
)
def test_run_and_resume_make_one(
    robo_al: Run,
    made: Callable[[], list[str]],
    name: str,
    oracle: str,
    further: list[str],
) -> None:
    words = [f"counted_env.py:{name}", "--oracle.name", oracle]
    code, _, err = robo_al("run", "fake.yaml", "--env", *words, "--out", "run")
    assert code == 0, err
    assert made() == ["here", *further, "a video"]
    code, _, err = robo_al("resume", "run", "--rounds", "+1")
    assert code == 0, err
    assert sorted(made()) == sorted([*further, "a video"])  # of this process there is one


@pytest.mark.parametrize(
    ("parameters", "beside"),
    [
        (["--env.seconds", "0.6"], []),  # one that takes longer than half a second is the only one
        ([], ["here"]),  # of a quick one, rollouts have an instance each: the dry run has two
    ],
)
def test_one_is_made_until_the_first_ask(
    made: Callable[[], list[str]], robo_al: Run, parameters: list[str], beside: list[str]
) -> None:
    words = ["--env", "counted_env.py:Counted", *parameters, "--oracle.name", "simulation"]
    config = load_config("fake.yaml", words)
    with create_campaign(config, "run") as campaign, make_oracle(config) as oracle:
        campaign.connect(oracle)
        campaign.ask()
    assert made() == ["here", *beside]


def test_an_oracle_that_is_made_already_is_tried_and_used(
    made: Callable[[], list[str]], robo_al: Run
) -> None:
    config = load_config(
        "fake.yaml", ["--env", "counted_env.py:Counted", "--oracle.name", "gymnasium"]
    )
    with make_oracle(config) as oracle, create_campaign(config, "run", oracle) as campaign:
        campaign.connect(oracle)
        (candidate,) = campaign.ask()
        oracle.submit(candidate)
        (outcome,) = oracle.poll()
        assert campaign.tell(outcome).state == "recorded"
    assert sorted(made()) == ["a worker, worker.py", "here"]
