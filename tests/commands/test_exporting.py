from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from robo_al import open_policy

Run = Callable[..., tuple[int, str, str]]
SMALL = (
    "--policy", "sb3", "--policy.hidden", "[16]", "--policy.worlds", "32",
    "--policy.updates_per_transition", "1", "--policy.policies", "1",
)  # fmt: skip


def test_a_policy_of_networks_is_exported(robo_al: Run, tmp_path: Path) -> None:
    assert robo_al("run", "fake.yaml", "--out", "here", *SMALL)[0] == 0
    code, out, err = robo_al("export", "here", "--policy", "policy.onnx")
    assert (code, err) == (0, "") and "policy: policy.onnx, from observation" in out
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx")
    observation = np.array([0.1, -0.2, 0.3])
    (action,) = session.run(None, {"observation": observation[None].astype(np.float32)})
    np.testing.assert_allclose(action[0], open_policy("here").act(observation), atol=1e-5)
    code, out, err = robo_al("export", "here", "--policy", "again.onnx", "--distil")
    assert code == 2 and "is a network already" in err and not (tmp_path / "again.onnx").exists()


@pytest.mark.proof
def test_a_policy_that_plans_is_distilled_only_on_request(robo_al: Run, tmp_path: Path) -> None:
    assert robo_al("run", "fake.yaml", "--out", "here")[0] == 0
    code, _, err = robo_al("export", "here", "--policy", "policy.onnx")
    assert code == 2 and "--distil trains a network to imitate it" in err
    assert not (tmp_path / "policy.onnx").exists()
    code, out, err = robo_al("export", "here", "--policy", "policy.onnx", "--distil")
    assert (code, err) == (0, "")
    assert "in simulation, the mean of 2 starts: the policy returns " in out
    assert ", which loses " in out
    assert (tmp_path / "policy.onnx").stat().st_size > 1000


def test_what_cannot_be_exported_is_refused(robo_al: Run, tmp_path: Path) -> None:
    code, _, err = robo_al("export", "nothing", "--policy", "policy.onnx")
    assert code == 2 and "nothing: no run here" in err
    assert robo_al("run", "fake.yaml", "--out", "here", *SMALL)[0] == 0
    for place in ("no/folder/policy.onnx", "here"):  # told before anything is loaded
        code, out, err = robo_al("export", "here", "--policy", place)
        assert (code, out) == (2, "") and f"--policy {place}: no file can be written there" in err
