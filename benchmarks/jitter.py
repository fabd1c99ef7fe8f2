"""How regularly the agent moves a robot, on an idle machine and with a training process beside it.

    python benchmarks/jitter.py --out benchmarks/results/jitter.json

The robot is one without a device (the driver of tests/agent/robots.py), so that what is measured is
the agent: the time between two readings against the period, over 1000 steps each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from robo_al_agent.protocol.client import Client

ROBOTS = Path(__file__).parent.parent / "tests" / "agent" / "robots.py"
TRAIN = """
import torch
a = torch.randn(800, 800)
while True:
    a = torch.linalg.qr(a @ a.T / 800 + torch.eye(800))[0]
"""


def serve(folder: Path, port: int) -> "subprocess.Popen[str]":
    """Start an agent for two joints that are at their targets at once."""
    limits = {"unit": "rad", "position": [-0.9, 0.9], "velocity": 2.0, "acceleration": 1e3}
    joints = [{"name": name, **limits, "jerk": 1e6} for name in ("left", "right")]
    envelope = {"joints": joints, "duration": 600.0, "start_distance": 0.1, "tracking_error": 0.2}
    (folder / "envelope.yaml").write_text(
        json.dumps({**envelope, "sample_age": 5.0, "missed_deadlines": 1000})
    )
    config = {
        "address": f"tcp://127.0.0.1:{port}",
        "driver": {"name": f"{ROBOTS}:Slider", "faults": str(folder / "faults")},
        "envelope": "envelope.yaml",
        "journal": "journal",
        "approval": {"mode": "auto"},
    }
    (folder / "agent.yaml").write_text(json.dumps(config))
    agent = subprocess.Popen(
        [sys.executable, "-m", "robo_al_agent.cli", "serve", str(folder / "agent.yaml")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert agent.stdout is not None
    assert agent.stdout.readline().startswith("serving")
    return agent


def measure(port: int, rate: float, steps: int) -> dict[str, Any]:
    """Execute one rollout; return how late its steps were."""
    client = Client(f"tcp://127.0.0.1:{port}")
    content = {
        "controller": "open_loop",
        "joints": ["left", "right"],
        "period": 1 / rate,
        "horizon": steps,
        "start": {"joints": [0.0, 0.0]},
        "seed": 0,
    }
    name = f"jitter/{time.monotonic_ns()}"
    client.submit(name, content, {"actions": np.zeros((steps, 2))})
    assert client.wait(lambda s: s.jobs[name].stage == "done", steps / rate * 3 + 60)
    job = client.session.jobs[name]
    client.close()
    if job.result is None:
        return {"refused": job.refused or job.state.fields["reason"]}
    times = job.result.arrays["time_ns"] / 1e6
    off = np.abs(np.diff(times) - 1e3 / rate)
    p50, p99 = np.percentile(off, [50, 99])
    return {
        "steps": steps,
        "off_p50_ms": round(float(p50), 3),
        "off_p99_ms": round(float(p99), 3),
        "off_largest_ms": round(float(off.max()), 3),
        "missed_deadlines": int(job.result.fields["misses"]),
        "outcome": job.state.fields["kind"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        agent = serve(Path(name), 25755)
        try:
            for beside in (0, os.cpu_count() or 1):
                training = [subprocess.Popen([sys.executable, "-c", TRAIN]) for _ in range(beside)]
                time.sleep(8 if beside else 0)
                for rate in (50.0, 100.0):
                    row = {"training_processes": beside, "rate": rate}
                    rows.append({**row, **measure(25755, rate, options.steps)})
                    print(rows[-1], flush=True)
                for process in training:
                    process.kill()
                    process.wait()
        finally:
            agent.terminate()
            agent.wait()
    if options.out:
        options.out.write_text(json.dumps({"cpus": os.cpu_count(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
