"""The agent installed alone, as on a robot's PC, serves a rollout."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SERVE = """
import json, sys
from importlib.metadata import distributions
import numpy as np
from robo_al_agent.protocol.client import Client
client = Client(sys.argv[1])
content = {
    "controller": "open_loop", "joints": ["left", "right"], "period": 0.1, "horizon": 5,
    "start": {"joints": [0.0, 0.0]}, "seed": 0,
}
client.submit("run/r1", content, {"actions": np.full((5, 2), 0.001)})
assert client.wait(lambda s: s.jobs["run/r1"].stage == "done", 60), client.session.problem
job = client.session.jobs["run/r1"]
client.close()
print(json.dumps({
    "kind": job.state.fields["kind"],
    "samples": len(job.result.arrays["positions"]),
    "installed": sorted({d.name.lower() for d in distributions()}),
    "loaded": sorted({name.split(".")[0] for name in sys.modules}),
}))
"""


@pytest.mark.proof
def test_alone_it_serves_a_rollout(tmp_path: Path) -> None:
    def run(*words: object) -> str:
        done = subprocess.run(
            list(map(str, words)), capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    run(python, "-m", "pip", "install", "--quiet", "-c", constraints, ROOT / "agent")
    joint = {"unit": "rad", "position": [-0.9, 0.9], "velocity": 2.0, "acceleration": 100.0}
    joints = [{"name": name, **joint, "jerk": 1e4} for name in ("left", "right")]
    envelope = {"joints": joints, "duration": 30.0, "start_distance": 0.1, "tracking_error": 0.2}
    (tmp_path / "envelope.yaml").write_text(
        json.dumps({**envelope, "sample_age": 1.0, "missed_deadlines": 100})
    )
    robots = Path(__file__).with_name("robots.py")
    config = {
        "address": "tcp://127.0.0.1:25655",
        "driver": {"name": f"{robots}:Slider", "faults": str(tmp_path / "faults")},
        "envelope": "envelope.yaml",
        "journal": "journal",
        "approval": {"mode": "auto"},
    }
    (tmp_path / "agent.yaml").write_text(json.dumps(config))
    agent = subprocess.Popen(
        [tmp_path / "venv" / "bin" / "robo-al-agent", "serve", tmp_path / "agent.yaml"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert agent.stdout is not None
    try:
        assert agent.stdout.readline().startswith("serving")
        said = json.loads(run(python, "-c", SERVE, config["address"]))
    finally:
        agent.terminate()
        agent.wait(30)
        agent.stdout.close()
    assert said["kind"] == "SUCCEEDED" and said["samples"] == 6
    heavy = {"torch", "mujoco", "stable-baselines3", "stable_baselines3", "gymnasium", "robo-al"}
    assert not heavy & set(said["installed"]) and not heavy & set(said["loaded"])
    needed = {"robo-al-agent", "numpy", "pyzmq", "pydantic", "pyyaml"}
    assert needed <= set(said["installed"])
