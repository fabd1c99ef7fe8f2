"""A campaign on the twin, in real time, while everything around it is killed, cut and garbled.

    python benchmarks/robot_faults.py --agent-kills 200 --host-kills 50

The robot (a MuJoCo world in a process of its own) keeps a log that nobody else writes. The agent is
killed (SIGKILL) as soon as its journal has a record of each kind, and at random moments in motion;
the host is killed at random moments; between them a proxy loses, doubles, delays and reorders
messages and cuts the link; both see a clock that jumps by a day. A "person" clears faults. In the
end the three records are held against each other: the robot's log, the agent's journal, the ledger.

All that is done with rollouts of 2 s whose steps the host commands, and then, with a quarter of the
kills, with rollouts of 5 s that the robot's own controller executes as whole trajectories.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import zmq

from robo_al_agent.errors import WireError
from robo_al_agent.protocol.client import ask
from robo_al_agent.protocol.wire import Message

ROOT = Path(__file__).parent.parent
KINDS = ("accepted", "started", "ended", "acknowledged", "lease", "fault", "cleared")
JUMP = """
import time
_began, _time, _ns = time.monotonic(), time.time, time.time_ns
time.time = lambda: _time() + (86400 if time.monotonic() - _began > 8 else 0)
time.time_ns = lambda: _ns() + (86400 * 10**9 if time.monotonic() - _began > 8 else 0)
"""
STOP_NS = 200_000_000
"""Within which a robot has to be stopped whose agent is dead."""
IN_MOTION_NS = 150_000_000
"""Since its last command, at most."""
IDLE_SECONDS = 60.0
"""Without a rollout, after which an agent is killed that is not in motion."""


class Proxy(threading.Thread):
    """Forwards messages between a host and the agent, badly."""

    def __init__(self, front: str, back: str, draw: random.Random) -> None:
        super().__init__(daemon=True)
        self.calm = self.ended = False
        self.counts: Counter[str] = Counter()
        self._draw, self._back = draw, back
        self._context = zmq.Context()
        self._front = self._context.socket(zmq.ROUTER)
        self._front.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._front.bind(front)
        self._backs: dict[bytes, zmq.Socket[bytes]] = {}
        self._late: list[tuple[float, Any]] = []
        self._cut_until = 0.0

    def run(self) -> None:
        """Forward until told to end."""
        while not self.ended:
            if not self.calm and self._draw.random() < 0.0005:
                self._cut_until = time.monotonic() + self._draw.uniform(0.1, 2.0)
                self.counts["cuts"] += 1
            for identity, back in list(self._backs.items()):
                while back.poll(0):
                    frames = back.recv_multipart()
                    self._pass(lambda i=identity, f=frames: self._front.send_multipart([i, *f]))
            while self._front.poll(2):
                identity, *frames = self._front.recv_multipart()
                if identity not in self._backs:
                    self._backs[identity] = self._context.socket(zmq.DEALER)
                    self._backs[identity].setsockopt(zmq.IDENTITY, identity)
                    self._backs[identity].connect(self._back)
                back = self._backs[identity]
                self._pass(lambda b=back, f=frames: b.send_multipart(f))
            now = time.monotonic()
            due = [act for at, act in self._late if at <= now]
            self._late = [(at, act) for at, act in self._late if at > now]
            for act in due:
                act()
        self._context.destroy(linger=0)

    def _pass(self, act: Any) -> None:
        if self.calm:
            act()
            return
        if time.monotonic() < self._cut_until or self._draw.random() < 0.02:
            self.counts["lost"] += 1
            return
        for _ in range(1 + (self._draw.random() < 0.05)):
            if self._draw.random() < 0.05:
                self.counts["delayed"] += 1
                self._late.append((time.monotonic() + self._draw.uniform(0.02, 1.0), act))
            else:
                act()


class Scene:
    """The processes.

    Args:
        folder: to work in.
        seed: of what goes wrong when.
        whole: whether rollouts are trajectories that the robot's controller executes.
    """

    def __init__(self, folder: Path, seed: int, whole: bool) -> None:
        self.folder, self.draw = folder, random.Random(seed)
        self.whole = whole
        self.steps = 50 if whole else 20
        """Of a rollout, at 10 Hz."""
        driver = f"{Path(__file__).with_name('twin_controller.py')}:TwinController"
        name = driver if whole else "mujoco_twin"
        self.port = 21000 + self.draw.randrange(2000) * 4
        shutil.copy(ROOT / "configs" / "robots" / "so101_twin" / "envelope.yaml", folder)
        text = (folder / "envelope.yaml").read_text()
        lines = [line for line in text.splitlines() if not line.startswith("missed_deadlines")]
        (folder / "envelope.yaml").write_text("\n".join([*lines, "missed_deadlines: 15"]) + "\n")
        (folder / "agent.yaml").write_text(
            f"address: tcp://127.0.0.1:{self.port}\n"
            f"driver: {{name: '{name}', socket: {folder}/twin.sock}}\n"
            "envelope: envelope.yaml\njournal: journal\napproval: {mode: auto}\n"
        )
        (folder / "jump").mkdir()
        (folder / "jump" / "sitecustomize.py").write_text(JUMP)
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.environment["PYTHONPATH"] = os.pathsep.join(
            [str(folder / "jump"), os.environ.get("PYTHONPATH", "")]
        )
        self.world = self._start(
            "robo_al_agent.twin.world",
            *("--model", ROOT / "envs" / "robo_al_envs" / "assets" / "so101.xml"),
            *("--socket", folder / "twin.sock", "--log", folder / "world.jsonl"),
        )
        while not (folder / "twin.sock").exists():
            time.sleep(0.1)
        self.agent = self._start("robo_al_agent.cli", "serve", folder / "agent.yaml")
        self.proxy = Proxy(
            f"tcp://127.0.0.1:{self.port + 2}", f"tcp://127.0.0.1:{self.port}", self.draw
        )
        self.proxy.start()
        self.host: subprocess.Popen[str] | None = None
        self.cleared = self.hosts_killed = 0
        self._kill_host_at: float | None = None
        self.ended = False
        threading.Thread(target=self._person, daemon=True).start()

    def _start(self, module: str, *words: object) -> "subprocess.Popen[str]":
        log = (self.folder / f"{module}.log").open("a")
        return subprocess.Popen(
            [sys.executable, "-m", module, *map(str, words)],
            stdout=log,
            stderr=log,
            text=True,
            env=self.environment,
            start_new_session=True,
        )

    def start_host(self) -> None:
        """Begin the campaign, or go on with it."""
        run = self.folder / "run"
        if (run / "config.yaml").exists():
            words: list[object] = ["resume", run]
        else:
            shutil.rmtree(run, ignore_errors=True)
            words = ["run", "so101_reach", "--out", run, "--oracle.name", "robot"]
            words += ["--oracle.address", f"tcp://127.0.0.1:{self.port + 2}"]
            words += ["--oracle.start_timeout", "60.0", "--evaluation.every", "0"]
            words += ["--rounds", "2000", "--candidates", "4", "--stop_when_solved", "false"]
            words += ["--rollout_steps", str(self.steps)]
            if self.whole:
                words += ["--policy", "random", "--policy.scale", "0.2"]
        self.host = self._start("robo_al.cli", *words)

    def keep_host(self, kills: int) -> None:
        """Let there be a host, and kill it when it is time."""
        if self.host is None or self.host.poll() is not None:
            self.start_host()
            self._kill_host_at = None  # not before it has done something
        due = self._kill_host_at
        if self.hosts_killed < kills and due is not None and time.monotonic() > due:
            assert self.host is not None
            self.host.kill()
            self.host.wait()
            self.hosts_killed += 1

    def host_did_something(self) -> None:
        """Let it be killed some time after this."""
        if self._kill_host_at is None:
            self._kill_host_at = time.monotonic() + self.draw.uniform(0.2, 15)

    def child(self) -> int | None:
        """Return the agent's process, which its parent watches."""
        with contextlib.suppress(OSError, IndexError):
            path = Path(f"/proc/{self.agent.pid}/task/{self.agent.pid}/children")
            return int(path.read_text().split()[0])
        return None

    def _person(self) -> None:
        address = f"ipc://{self.folder / 'journal' / 'operator.sock'}"
        while not self.ended:
            time.sleep(0.3)
            with contextlib.suppress(WireError, zmq.ZMQError):
                who = {"request": 0, "operator": "a person"}
                if ask(address, Message("status", who), None, 1.0).fields["fault"]:
                    ask(address, Message("clear", who), None, 1.0)
                    self.cleared += 1

    def end(self) -> None:
        """End all processes."""
        self.ended = self.proxy.ended = True
        for process in (self.host, self.agent, self.world):
            if process is not None and process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                process.kill()


def journal(folder: Path) -> list[dict[str, Any]]:
    """Return the agent's records."""
    path = folder / "journal" / "journal.log"
    return parsed(path.read_bytes().splitlines() if path.exists() else [])


def parsed(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return the records of lines that are whole."""
    whole = (line.rstrip(b"\n") for line in lines)
    return [json.loads(line[9:]) for line in whole if line[:8] == b"%08x" % zlib.crc32(line[9:])]


def trouble(scene: Scene, agent_kills: int, host_kills: int) -> list[str]:
    """Kill until it is enough; return after what the agent was killed each time."""
    kills: list[str] = []
    size, counts = 0, Counter(dict.fromkeys(KINDS, 0))
    path = scene.folder / "journal" / "journal.log"
    random_at, rested, moved = None, 0.0, time.monotonic()
    while len(kills) < agent_kills or scene.hosts_killed < host_kills:
        time.sleep(0.002)
        now = time.monotonic()
        scene.keep_host(host_kills)
        if not path.exists():
            continue
        grown = path.stat().st_size
        # A busy machine may have let the agent measure a rate that no rollout may have.
        if len(kills) < agent_kills and now - moved > IDLE_SECONDS:
            why = "idle"
        elif grown == size:
            if random_at is None or now < random_at:
                continue
            why = "in motion"
        else:
            with path.open("rb") as file:
                file.seek(size)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]  # a line that is being written: next time
            size += len(whole)
            names = [record["record"] for record in parsed(whole.splitlines())]
            if "started" in names:
                moved = now
                scene.host_did_something()
            if "started" in names and scene.draw.random() < 0.6:
                random_at = now + scene.draw.uniform(0.05, 2.2)
                continue
            rarest = min(names, key=lambda name: counts.get(name, 10**6), default="")
            if rarest not in counts or counts[rarest] > min(counts.values()) + 6:
                continue
            why = rarest
        child = scene.child()
        if child is None or len(kills) >= agent_kills or now < rested:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
            kills.append(why)
            print(
                f"{len(kills)} kills of the agent (last: {why}), {scene.hosts_killed} of the host",
                flush=True,
            )
        moved = now
        random_at, rested = None, now + scene.draw.uniform(3, 6)
        counts[why] += why in counts
    return kills


def violations(scene: Scene, kills: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Hold the three records against each other."""
    folder, wrong = scene.folder, []
    world = [json.loads(line) for line in (folder / "world.jsonl").read_text().splitlines()]
    starts = Counter(
        json.dumps(event["options"], sort_keys=True) for event in world if event["event"] == "reset"
    )
    ledger = sqlite3.connect(folder / "run" / "ledger.sqlite")
    columns = "id, state, context, steps, reason"
    rows = ledger.execute(f"SELECT {columns} FROM rollouts").fetchall()
    states = Counter(state for _, state, *_ in rows)
    records = journal(folder)
    started = {r["id"].rsplit("/")[-1] for r in records if r["record"] == "started"}
    ended = {r["id"].rsplit("/")[-1] for r in records if r["record"] == "ended"}
    executed = 0
    for name, state, context, steps, _ in rows:
        options = json.dumps(json.loads(context)["options"], sort_keys=True)
        times = starts[options]
        executed += times > 0
        if times > 1:
            wrong.append(f"{name} was executed {times} times")
        if state == "recorded" and (times == 0 or steps != scene.steps):
            wrong.append(f"{name} is recorded with {steps} steps, and was executed {times} times")
        if times and state in ("selected", "dispatched"):
            wrong.append(f"{name} was executed, and is {state} at the host")
        if times and name not in started:
            wrong.append(f"{name} moved the robot before it was in the journal")
    for name in started - ended:
        wrong.append(f"{name} has no end in the journal")
    delays = stops(world)
    for at, delay in delays:
        if delay > STOP_NS:
            wrong.append(f"left alone in motion at {at}: stopped after {delay / 1e6:.0f} ms")
    known = sorted(delay / 1e6 for _, delay in delays)
    figures = {
        "rollouts": len(rows),
        "executed": executed,
        "states": dict(states),
        "agent_kills": dict(Counter(kills)),
        "kills_in_motion": len(known),
        "stop_ms": {
            "p50": known[len(known) // 2] if known else None,
            "largest": known[-1] if known else None,
        },
        "messages": dict(scene.proxy.counts),
        "faults_cleared_by_a_person": scene.cleared,
        "violations": len(wrong),
    }
    return wrong, figures


def stops(world: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Return when the robot was left alone in motion, and how long it then was until a stop (ns).

    By its own log: a client that had just commanded it is gone, and had not stopped it before.
    """
    found = []
    commanded: dict[int, int] = {}
    for i, event in enumerate(world):
        client, at = event.get("client"), event["time_ns"]
        if event["event"] == "command":
            commanded[client] = at
        elif event["event"] == "stop":
            commanded.clear()
        elif event["event"] == "gone" and at - commanded.pop(client, 0) < IN_MOTION_NS:
            later = (e["time_ns"] for e in world[i:] if e["event"] == "stop")
            found.append((at, next(later, 10**18) - at))
    return found


def campaign(folder: Path, seed: int, whole: bool, agent_kills: int, host_kills: int) -> Any:
    """Play one campaign; return what was violated, and figures."""
    folder.mkdir(exist_ok=True, parents=True)
    began = time.monotonic()
    scene = Scene(folder.resolve(), seed, whole)
    try:
        kills = trouble(scene, agent_kills, host_kills)
        scene.proxy.calm = True
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:  # what was under way comes to its end
            if scene.host is None or scene.host.poll() is not None:
                scene.start_host()
            time.sleep(1)
            last = journal(scene.folder)[-6:]
            if [r["record"] for r in last].count("acknowledged") >= 2 and not any(
                r["record"] == "fault" for r in last
            ):
                break
        assert scene.host is not None
        scene.host.send_signal(signal.SIGINT)
        scene.host.terminate()
        scene.host.wait(30)
        time.sleep(2)
    finally:
        scene.end()
    wrong, figures = violations(scene, kills)
    figures |= {"host_kills": host_kills, "minutes": (time.monotonic() - began) / 60}
    return wrong, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent-kills", type=int, default=200)
    parser.add_argument("--host-kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", type=Path, help="a new folder to work in")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="robot-faults-"))
    figures: dict[str, Any] = {}
    wrong: list[str] = []
    for name, whole in (("streamed", False), ("trajectories", True)):
        share = [n // 4 if whole else n - n // 4 for n in (options.agent_kills, options.host_kills)]
        found, figures[name] = campaign(folder / name, options.seed, whole, *share)
        wrong += [f"{name}: {line}" for line in found]
        print(json.dumps({name: figures[name]}, indent=1), flush=True)
    print("\n".join(wrong))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
