"""Campaigns killed at random moments, at every durability call, and by power cuts."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

RUNNER = Path(__file__).with_name("runner.py")


class Server:
    """Asks the runner for one trial after another."""

    def __init__(self, base: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(RUNNER), f"{base}/trial"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def ask(self, deaths=(), **request):
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"deaths": list(deaths)} | request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the runner died"
        return json.loads(answer)


@pytest.fixture(scope="module")
def server():
    # Memory, where there is some: a killed process does not lose what it wrote there.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as base:
        server = Server(base)
        yield server
        server.process.stdin.close()
        server.process.wait(60)
        server.process.stdout.close()


@pytest.fixture(scope="module")
def undisturbed(server):
    result = server.ask()
    assert "error" not in result, result["error"]
    assert len(result["rollouts"]) == 3 and result["rounds"] == [1, 2]
    return result


def wrong(result, undisturbed):
    """Return what an interruption changed, or None."""
    if "error" in result:
        return result["error"]
    for rollout, sha256 in result["acknowledged"]:
        if result["rollouts"].get(rollout) != sha256:
            return f"{rollout} was acknowledged and is lost"
    told = [rollout for rollout, _ in result["acknowledged"]]
    if len(set(told)) != len(told):
        return f"recorded twice: {told}"
    changed = [
        key for key in ("digest", "rollouts", "files", "rounds") if result[key] != undisturbed[key]
    ]
    return f"not as undisturbed: {changed}" if changed else None


def test_undisturbed_campaigns_are_equal(server, undisturbed):
    assert wrong(server.ask(), undisturbed) is None


@pytest.mark.first(1)
@pytest.mark.parametrize("kills", [8, 50])
def test_killed_at_random_moments(server, undisturbed, kills):
    rng = np.random.default_rng(kills)
    for seconds in rng.uniform(0, undisturbed["seconds"], size=kills):
        result = server.ask([{"seconds": float(seconds)}])
        assert wrong(result, undisturbed) is None, f"killed after {seconds} s"


@pytest.mark.proof
@pytest.mark.parametrize("power_cut", [False, True])
def test_killed_at_every_durability_call(server, undisturbed, power_cut):
    assert undisturbed["points"] > 40
    for point in range(1, undisturbed["points"] + 1):
        result = server.ask([{"point": point}], power_cut=power_cut)
        assert wrong(result, undisturbed) is None, f"death at durability call {point}"


@pytest.mark.first(1)
@pytest.mark.parametrize("trials", [2, 10])
def test_killed_again_while_resuming(server, undisturbed, trials):
    rng = np.random.default_rng(trials)
    for _ in range(trials):
        deaths = [{"point": int(point)} for point in rng.integers(1, 25, size=4)]
        assert wrong(server.ask(deaths), undisturbed) is None, deaths


@pytest.mark.proof
@pytest.mark.parametrize(
    ("variant", "power_cut"),
    [
        ("no_file_sync", True),
        ("no_folder_sync", True),
        ("no_rename", True),
        ("commit_first", False),
        ("no_film_sync", True),
    ],
)
def test_broken_order_of_writes_is_caught(server, undisturbed, variant, power_cut):
    points = server.ask(variant=variant)["points"]
    found = (
        wrong(server.ask([{"point": n}], power_cut=power_cut, variant=variant), undisturbed)
        for n in range(1, points + 1)
    )
    assert any(problem is not None for problem in found)
