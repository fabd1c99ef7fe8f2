"""`robo-al-agent serve` and `twin`: the agent, of a robot or of a simulated one."""

import argparse
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from robo_al_agent.config import load_config
from robo_al_agent.errors import SetupError
from robo_al_agent.parent import serve as serve_robot


def serve(options: argparse.Namespace) -> int:
    """Serve the robot until Ctrl-C; return the exit code."""
    return serve_robot(options.config, options.note, lambda text: print(text, flush=True))


def twin(options: argparse.Namespace) -> int:
    """Start the simulated robot, then serve it like any other."""
    with twin_world(options.config, options.model):
        return serve_robot(options.config, options.note, lambda text: print(text, flush=True))


@contextlib.contextmanager
def twin_world(path: Path, model: Path) -> Iterator[None]:
    """Have the simulated robot run that the file AGENT.yaml speaks to."""
    config = load_config(path)
    if config.driver.get("name") != "mujoco_twin":
        raise SetupError(f"{path}: driver.name is not mujoco_twin")
    socket = Path(str(config.driver.get("socket", "")))
    config.journal.mkdir(parents=True, exist_ok=True, mode=0o700)
    world = subprocess.Popen(
        [sys.executable, "-m", "robo_al_agent.twin.world"]
        + ["--model", str(model), "--socket", str(socket)]
        + ["--log", str(config.journal / "twin.jsonl")],
        start_new_session=True,  # Ctrl-C is for the agent, which stops the robot first
    )
    try:
        deadline = time.monotonic() + 30
        while not socket.exists():
            if world.poll() is not None or time.monotonic() > deadline:
                raise SetupError(f"the simulated robot of {model} did not start")
            time.sleep(0.05)
        yield
    finally:
        world.send_signal(signal.SIGTERM)
        world.wait()
