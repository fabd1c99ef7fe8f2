"""`robo-al next`: from demonstrations that there are to those to ask for."""

import csv
import runpy
from pathlib import Path

import numpy as np
import pytest

from robo_al.advice.ranking import next_demonstrations
from robo_al.dataset.recordings.reading import read_recording
from robo_al.types import Context

write_lerobot = runpy.run_path(
    str(Path(__file__).parent.parent / "dataset/recordings/conftest.py")
)["write_lerobot"]
POLICY = "tiny.py:Tiny"
TINY = """
from robo_al_policies.bc import BehaviouralCloning


class Tiny(BehaviouralCloning):
    def __init__(self, task, device="cpu"):
        super().__init__(task, device, members=2, hidden=16, max_steps=60, learning_rate=1e-2)


class Silent:
    def __init__(self, task, device="cpu"):
        pass
"""
STARTS = "y,x\n0.05,0.1\n-3,3\n3,-3\n3,-3\n"


@pytest.fixture
def data(write_lerobot, robo_al, tmp_path):
    """Return a LeRobot dataset of 12 demonstrations that start near the origin."""
    rng = np.random.default_rng(0)
    states, actions = [], []
    for _ in range(12):
        seen = np.cumsum(rng.normal(scale=0.1, size=(9, 2)), axis=0).astype(np.float32)
        states.append(seen)
        actions.append((-seen[:, 0] - seen[:, 1]).astype(np.float32))
    (tmp_path / "tiny.py").write_text(TINY)
    (tmp_path / "starts.csv").write_text(STARTS)
    return str(write_lerobot(states, actions, names=["x", "y"]))


def test_the_starts_are_listed_each_with_its_reason_and_written(data, robo_al, tmp_path):
    words = ("next", data, "-k", "2", "--pool", "starts.csv", "--policy", POLICY)
    code, out, err = robo_al(*words, "--csv", "list.csv")
    assert (code, err) == (0, "")
    assert "The 2 of 4 starts that tell most together" in out
    assert "times as unsure here" in out.replace("\n", " ")
    rows = list(csv.DictReader((tmp_path / "list.csv").read_text().splitlines()))
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert all(abs(float(row["x"])) == 3.0 for row in rows)  # the starts that are far away
    assert float(rows[0]["information"]) == float(rows[0]["alone"])
    assert float(rows[1]["information"]) <= float(rows[1]["alone"])
    assert float(rows[0]["doubt"]) > 1 and float(rows[0]["distance"]) > 1
    assert rows[0]["nearest_episode"] in map(str, range(12))
    robo_al(*words, "--csv", "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "list.csv").read_bytes()


def test_the_nearest_episode_is_the_one_that_starts_nearest(data, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    recording = read_recording(Path(data))
    third = recording.episodes[3].observations[0]
    (asked,) = next_demonstrations(recording, [Context(third + [0.0, 1e-3], 1)], 1, POLICY)
    assert asked.nearest == "3" and asked.apart == "y"
    assert 0 < asked.distance < 0.02


@pytest.mark.parametrize(
    ("words", "files", "message"),
    [
        (["-k", "5"], {}, "-k 5: there are only 4 starts"),
        (["-k", "0"], {}, "-k 0: at least 1"),
        ([], {"starts.csv": "x,y\n"}, "no starts in it"),
        ([], {"starts.csv": ""}, "no column 'x'"),
        ([], {"starts.csv": "x\n1\n"}, "no column 'y'"),
        ([], {"starts.csv": "x,y,z\n1,2,3\n"}, "'z' is not observed"),
        ([], {"starts.csv": "x,y\n1,here\n"}, "row 1: y is 'here'; no finite number"),
        ([], {"starts.csv": "x,y\n1,2\n1,nan\n"}, "row 2: y is 'nan'"),
        ([], {"starts.csv": "x,y\n1\n"}, "row 1 has not one value for each"),
        ([], {"starts.csv": "x,y\n1,2,3\n"}, "row 1 has not one value for each"),
        (["--policy", "tiny.py:Silent"], {}, "it has no `covariance`"),
        (["--policy", "nothing"], {}, "'nothing' is not known"),
        (["--csv", "nowhere/list.csv"], {}, "no file can be written there"),
        (["--column", "observation.image"], {}, "no feature 'observation.image'"),
    ],
)
def test_what_cannot_be_is_told_in_one_line_and_nothing_is_written(
    data, robo_al, tmp_path, words, files, message
):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    before = written(tmp_path)
    given = ["next", data, "-k", "2", "--pool", "starts.csv", "--policy", POLICY, "--csv", "a.csv"]
    code, _, err = robo_al(*given, *words)
    assert code != 0 and message in err and "Traceback" not in err
    assert written(tmp_path) == before


def written(folder):
    """Return the files in a folder, but for what Python keeps of what it has imported."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


def test_without_a_pool_or_an_env_the_starts_of_a_dataset_are_not_known(data, robo_al):
    _, _, err = robo_al("next", data, "--policy", POLICY)
    assert "the starts to choose from are not known" in err


def test_an_env_that_observes_something_else_is_refused(data, robo_al):
    _, _, err = robo_al("next", data, "--policy", POLICY, "--env", "robo_al.testing:FakeEnv")
    assert "it observes 3 numbers, and 2 were recorded" in err


def test_a_run_has_the_starts_of_its_own_env(robo_al, tmp_path):
    (tmp_path / "tiny.py").write_text(TINY)
    assert robo_al("run", "fake.yaml", "--out", "run")[0] == 0
    code, out, err = robo_al("next", "run", "-k", "1", "--policy", POLICY)
    assert (code, err) == (0, "")
    assert "The 1 of 200 starts" in out and "goal" in out
