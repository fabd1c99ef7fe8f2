"""What torch's users set for the whole process changes no result, and is as it was afterwards."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from robo_al import loop, plugins
from robo_al.build import create_campaign, make_oracle, open_campaign
from robo_al.config.load import load_config

SMALL = ["--rounds", "2", "--candidates", "4", "--contexts", "2", "--rollout_steps", "6"]
SMALL += ["--evaluation.starts", "1", "--initial_rollouts", "2", "--horizon", "6"]
SMALL += ["--imagination_members", "2"]
ICEM = ["--policy", "icem", "--policy.planning_horizon", "3", "--policy.samples", "8"]
ICEM += ["--policy.iterations", "2", "--policy.elites", "2"]
GP = ["--model", "gp", "--model.samples", "2", "--model.frequencies", "16"]
GP += ["--model.max_points", "20", "--model.fit_steps", "3"]
ENSEMBLE = ["--model", "ensemble", "--model.members", "2", "--model.hidden", "8"]
ENSEMBLE += ["--model.layers", "1", "--model.max_steps", "20"]
SB3 = ["--policy", "sb3", "--policy.hidden", "[8]", "--policy.worlds", "8"]
SB3 += ["--policy.imagined_steps", "2", "--policy.updates_per_transition", "0.2"]


def selected(kind: str, *words: str) -> list[list[str]]:
    """Return the words of a configuration for each acquisition function or selector there is."""
    names = [name for name in plugins.known(f"{kind}s") if name != "botorch"]
    return [[f"--strategy.{kind}", name, *words] for name in names]


def needed(selector: str) -> list[str]:
    """Return the words for the acquisition function of a selector that looks at scores."""
    alone = getattr(plugins.load("selectors", selector), "without_scores", False)
    return [] if alone else ["--strategy.acquisition", "variance"]


CASES = [
    [*ICEM, *ENSEMBLE, "--strategy", "jensen_renyi"],
    ["--policy", "random", *ENSEMBLE, "--evaluation.every", "0"],
    ["--policy", "primitives", *GP, "--evaluation.every", "0"],
    *[[*SB3, *GP, "--policy.algorithm", name] for name in ("sac", "td3", "ppo")],
    *[[*ICEM, *GP, *words] for words in selected("acquisition") if "jensen_renyi" not in words],
    *[
        [*ICEM, *GP, *words, *needed(words[1])]
        for words in selected("selector")
        if not {"greedy_joint", "stochastic"} & set(words)
    ],
]


@contextmanager
def default(kind: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(kind)
    try:
        yield
        assert torch.get_default_dtype() == kind
    finally:
        torch.set_default_dtype(torch.float32)


def record(folder: Path, words: list[str]) -> str:
    config = load_config("pendulum", [*SMALL, *words])
    with create_campaign(config, folder) as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, lambda event: None)
        assert campaign.learner.fitted
        return campaign.dataset.ledger.digest()  # with the hashes of weights and of every file


@pytest.mark.first(1)
@pytest.mark.parametrize("words", CASES, ids=lambda words: " ".join(words)[-60:])
def test_a_default_of_double_precision_changes_nothing(tmp_path: Path, words: list[str]) -> None:
    with default(torch.float32):
        expected = record(tmp_path / "single", words)
    with default(torch.float64):
        assert record(tmp_path / "double", words) == expected


BY_HAND = """
import sys
from pathlib import Path
import torch
from robo_al import create_campaign, load_config, make_oracle
from robo_al import loop
from robo_al.build import open_campaign
torch.set_num_threads(int(sys.argv[2]))
inside = []
factored = torch.linalg.cholesky_ex
def watched(*arguments, **named):
    inside.append(torch.get_num_threads())
    return factored(*arguments, **named)
torch.linalg.cholesky_ex = watched
config = load_config("pendulum", sys.argv[3:])
with create_campaign(config, sys.argv[1]) as campaign, make_oracle(config) as oracle:
    assert torch.get_num_threads() == int(sys.argv[2])
    campaign.connect(oracle)
    for _ in range(2):
        for candidate in campaign.ask():
            oracle.submit(candidate)
        for outcome in oracle.poll():
            campaign.tell(outcome)
    campaign.learn()
    assert torch.get_num_threads() == int(sys.argv[2])
with open_campaign(sys.argv[1]) as campaign, make_oracle(config) as oracle:
    loop.run(campaign, oracle, lambda event: None)
    assert torch.get_num_threads() == int(sys.argv[2])
    print(set(inside), campaign.dataset.ledger.digest())
"""


@pytest.mark.proof
def test_threads_are_as_they_were_and_change_nothing(tmp_path: Path) -> None:
    said = []
    for threads in (1, 3):
        words = [str(tmp_path / str(threads)), str(threads), *SMALL, *ICEM, *GP]
        done = subprocess.run(
            [sys.executable, "-c", BY_HAND, *words],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "3"},
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said[0] == said[1] and said[0].startswith("{1} ")


def test_an_opened_campaign_leaves_threads_as_they_were(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    create_campaign(load_config("pendulum", [*SMALL, *ICEM, *GP]), tmp_path / "run").close()
    open_campaign(tmp_path / "run").close()
    assert torch.get_num_threads() == before
