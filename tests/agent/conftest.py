"""Real agents: a server in a process of its own, on a port of its own, with a driver of a file."""

import os
import runpy
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from forked import Forked

from robo_al_agent.errors import AgentError
from robo_al_agent.protocol.client import Client, ask
from robo_al_agent.protocol.keys import make_keys
from robo_al_agent.protocol.session import Job
from robo_al_agent.protocol.wire import Message

leave = runpy.run_path(str(Path(__file__).with_name("person.py")))["leave"]

ROBOTS = Path(__file__).with_name("robots.py")


@dataclass
class Served:
    """A running agent."""

    folder: Path
    config: Path
    address: str
    process: Forked
    clients: list[Client] = field(default_factory=list)

    @property
    def keys(self) -> Path | None:
        return self.folder / "keys" if (self.folder / "keys").exists() else None

    def client(self, **options: Any) -> Client:
        client = Client(self.address, self.keys, **options)
        self.clients.append(client)
        return client

    def operator(self, kind: str, **fields: Any) -> Message:
        who = {"who": "tester"} if kind == "abort" else {"operator": "tester"}
        address = f"ipc://{self.folder / 'journal' / 'operator.sock'}"
        return ask(address, Message(kind, {"request": 0, **who, **fields}), None)

    def status(self) -> dict[str, Any]:
        """Return what the agent says, once it answers: its process may just be replaced."""
        until = time.monotonic() + 60
        while True:
            try:
                return dict(self.operator("status").fields)
            except AgentError:
                assert time.monotonic() < until and self.process.poll() is None

    def fault(self) -> dict[str, str]:
        """Return what is latched, once something is."""
        until = time.monotonic() + 60
        while (found := self.status()["fault"]) is None:
            assert time.monotonic() < until
            time.sleep(0.05)
        return dict(found)

    def robot(self, says: str) -> None:
        leave(self.folder / "faults", says)

    def log(self) -> list[str]:
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []


def content(horizon: int = 10, period: float = 0.05, **changes: Any) -> dict[str, Any]:
    """Return what a rollout of the slider is; its period is long enough for a slow machine."""
    return {
        "controller": "open_loop",
        "joints": ["left", "right"],
        "period": period,
        "horizon": horizon,
        "start": {"joints": [0.0, 0.0]},
        "seed": 0,
    } | changes


def ramp(horizon: int = 10) -> dict[str, np.ndarray]:
    """Return commands that rise slowly."""
    rising = np.arange(1, horizon + 1)[:, None] * np.array([[0.001, 0.002]])
    return {"actions": rising}


def finished(client: Client, id: str, timeout: float = 60.0) -> Job:
    """Wait for a rollout, and return what became of it."""
    assert client.wait(lambda session: session.jobs[id].stage == "done", timeout), (
        client.session.jobs[id],
        client.session.problem,
    )
    return client.session.jobs[id]


def free_port() -> int:
    """Return a port that is free, and whose next one is too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start agents; each is ended after the test."""
    started: list[Served] = []

    def start(with_keys: bool = False, envelope: Any = None, **changes: Any) -> Served:
        port = free_port()
        address = f"tcp://127.0.0.1:{port}"
        limits = {
            "joints": [
                {
                    "name": name,
                    "unit": "rad",
                    "position": [-0.9, 0.9],
                    "velocity": 2.0,
                    "acceleration": 100.0,
                    "jerk": 10_000.0,
                }
                for name in ("left", "right")
            ],
            "duration": 30.0,
            "start_distance": 0.1,
            "tracking_error": 0.2,
            "sample_age": 1.0,
            "missed_deadlines": 50,
        } | (envelope or {})
        limits = {key: value for key, value in limits.items() if value is not None}
        (tmp_path / "envelope.yaml").write_text(yaml.safe_dump(limits))
        if with_keys and not (tmp_path / "keys").exists():
            make_keys(tmp_path / "keys")
        entries = {
            "address": address,
            "driver": {
                "name": f"{ROBOTS}:Slider",
                "faults": str(tmp_path / "faults"),
                "log": str(tmp_path / "log"),
            },
            "envelope": "envelope.yaml",
            "journal": "journal",
            "approval": {"mode": "auto"},
        } | ({"keys": "keys"} if with_keys else {})
        config = tmp_path / "agent.yaml"
        config.write_text(yaml.safe_dump(entries | changes, sort_keys=False))
        served = Served(tmp_path, config, address, run_agent(config))
        started.append(served)
        return served

    yield start
    for served in started:
        for client in served.clients:
            client.close()
        end(served.process)


def run_agent(config: Path, *options: str) -> Forked:
    """Start the agent with its parent; returns when it serves, its robot connected or faulty."""
    process = Forked("robo_al_agent.cli", "serve", config, *options)
    line = process.stdout.readline()
    if not line.startswith("serving"):
        process.wait()
        raise RuntimeError(line + process.stdout.read() + process.stderr.read())
    line = process.stdout.readline()
    assert line.startswith("FAULT") or line.endswith("is connected and ready\n"), line
    os.set_blocking(process.stdout.fileno(), False)
    return process


def end(process: Forked) -> None:
    """End an agent as Ctrl-C does."""
    process.terminate()
    try:
        process.wait(20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.fixture
def helpers() -> Any:
    """Return the functions above: with importlib, tests cannot import a conftest."""

    class Helpers:
        ROBOTS = ROBOTS
        content = staticmethod(content)
        ramp = staticmethod(ramp)
        finished = staticmethod(finished)
        end = staticmethod(end)
        run_agent = staticmethod(run_agent)
        free_port = staticmethod(free_port)

    return Helpers
