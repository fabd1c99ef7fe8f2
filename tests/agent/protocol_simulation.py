"""The protocol in a simulated time: one agent, a host, a network that loses, doubles and delays.

Everything runs in one thread, from one seed. The agent's process is killed at any moment, also
before and after each record of its journal; the host's too; the link is cut for a while. The robot
keeps a log of its own, which neither side can touch: which rollout began to move it, and when it
was told to stop. What must hold at the end, Jepsen fashion:

- no rollout moved the robot twice;
- every rollout that moved it has an outcome at the host, and none that did not move it has data;
- every rollout that the host wants has exactly one outcome;
- whenever the agent was killed in motion, the robot was told to stop.

    python tests/agent/protocol_simulation.py --seeds 10000
"""

import argparse
import heapq
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robo_al_agent.agent import Agent
from robo_al_agent.answers.served import Robot
from robo_al_agent.devices.calibration import Rate
from robo_al_agent.devices.door import Door
from robo_al_agent.envelope.envelope import Envelope
from robo_al_agent.journal.records import Records, Rollout
from robo_al_agent.protocol import wire
from robo_al_agent.protocol.session import Job, Session
from robo_al_agent.protocol.wire import Message
from robo_al_agent.queue.approval import Approval
from robo_al_agent.robot import Joint, RobotSpec, Sample

SPEC = RobotSpec("simulated", (Joint("a", -1.0, 1.0),), 100.0, "none", None, 0.1)
ENVELOPE = Envelope.model_validate(
    {
        "joints": [
            {
                "name": "a",
                "unit": "rad",
                "position": [-1.0, 1.0],
                "velocity": 10.0,
                "acceleration": 1e4,
                "jerk": 1e6,
            }
        ],
        "duration": 60.0,
        "start_distance": 1.0,
        "tracking_error": 1.0,
        "sample_age": 10.0,
        "missed_deadlines": 1000,
    }
)
PERIOD, STEPS, ROLLOUTS = 0.05, 4, 4
PATIENCE = 60 * 10**9
"""Simulated ns after the last trouble within which everything must have come to an end."""


class Killed(BaseException):
    """The agent's process ends here."""


@dataclass
class World:
    """The robot, and its log."""

    clock: Callable[[], int]
    position: float = 0.0
    sequence: int = 0
    moved: list[tuple[int, str]] = field(default_factory=list)
    """When each rollout began to move it: time, token."""
    stops: list[int] = field(default_factory=list)
    commands: list[int] = field(default_factory=list)


class SimulatedDriver:
    """One connection to the world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def describe(self) -> RobotSpec:
        return SPEC

    def connect(self) -> None: ...

    def reset(self, options: Any, seed: int) -> None:
        self._world.moved.append((self._world.clock(), f"token-{int(options['token'][0])}"))

    def read(self) -> Sample:
        world = self._world
        world.sequence += 1
        position, zero = np.array([world.position]), np.zeros(1)
        return Sample(world.clock(), world.sequence, position, zero, zero, np.zeros(0))

    def command(self, target: Any, seconds: float) -> Any:
        self._world.position = float(target[0])
        self._world.commands.append(self._world.clock())
        return target

    def safe_stop(self) -> None:
        self._world.stops.append(self._world.clock())

    def release(self) -> None: ...

    def fault(self) -> None:
        return None

    def clear_fault(self, operator: str) -> None: ...

    def close(self) -> None: ...


class MemoryJournal(Records):
    """A disk that survives the process: a record is there, or not, when the process is killed."""

    def __init__(self, kill: Callable[[], None]) -> None:
        super().__init__()
        self._kill = kill
        self.requests: dict[str, Message] = {}
        self.results: dict[str, Message] = {}
        self.rows: dict[str, list[bytes]] = {}
        self.log: list[dict[str, Any]] = []

    def _append(self, **record: Any) -> None:
        self._kill()
        self.log.append(record)
        self.apply(record)
        self._kill()

    def accept(self, rollout: Rollout, request: Message) -> None:
        self._kill()
        self.requests[rollout.id] = wire.unpack(wire.pack(request))
        self._append(record="accepted", id=rollout.id, hash=rollout.hash)

    def start(self, id: str, approved: bool) -> None:
        self.rows[id] = []
        self._append(record="started", id=id, approved=approved)

    def end(self, id: str, kind: Any, reason: str, fraction: float, result: Any) -> None:
        if result is not None:
            self.results[id] = wire.unpack(wire.pack(result))
        sha256 = None if result is None else "there"
        self._append(
            record="ended", id=id, kind=kind, reason=reason, fraction=fraction, sha256=sha256
        )

    def acknowledge(self, id: str) -> None:
        self._append(record="acknowledged", id=id)
        self.requests.pop(id, None)
        self.results.pop(id, None)

    def request(self, id: str) -> Message:
        return self.requests[id]

    def result(self, id: str) -> Message | None:
        return self.results[id] if self.rollouts[id].sha256 else None

    def sample(self, id: str, row: bytes) -> None:
        self.rows[id].append(row)

    def samples(self, id: str) -> bytes:
        return b"".join(self.rows.get(id, []))


class Simulation:
    """One history.

    Args:
        seed: of everything.
        make: makes the agent; another one for agents that are broken on purpose.
        hurried: whether the host acknowledges before it has recorded: a broken host.
    """

    def __init__(
        self, seed: int, make: Callable[..., Agent] = Agent, hurried: bool = False
    ) -> None:
        self.random = random.Random(seed)
        self._make, self._hurried = make, hurried
        self.now = 10**12
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self.world = World(lambda: self.now)
        self._killing = 0.0
        self.journal = MemoryJournal(self._perhaps_kill)
        self.agent: Agent | None = None
        self._born = 0
        self.session: Session | None = None
        self.recorded: dict[str, tuple[str, int]] = {}
        """At the host, on its disk: how each rollout ended, and its steps."""
        self.tokens = {f"run/r{i}": f"token-{i}" for i in range(ROLLOUTS)}
        self._loss, self._doubling = self.random.choice([(0.0, 0.0), (0.1, 0.1), (0.3, 0.3)])
        self._cut_until = 0
        self.kills: list[tuple[int, bool]] = []
        """When the agent was killed, and whether in motion."""

    def at(self, delay: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + int(delay * 1e9), self._count, act))

    def run(self) -> list[str]:
        """Play the history to its end; return what was violated."""
        self._start_agent()
        self._start_host()
        trouble = 0.0
        for _ in range(self.random.randint(0, 6)):
            trouble += self.random.expovariate(1.0)
            self.at(trouble, self.random.choice([self._kill_agent, self._kill_host, self._cut]))
        self._killing = self.random.choice([0.0, 0.0, 0.02, 0.1])
        self.at(trouble + 3.0, self._calm)
        end = self.now + int((trouble + 3.0) * 1e9) + PATIENCE
        while self._events and self.now < end and len(self.recorded) < ROLLOUTS:
            due, _, act = heapq.heappop(self._events)
            self.now = max(self.now, due)
            try:
                act()
            except Killed:
                self._agent_died()
            except Exception as error:  # a broken agent
                return [*self._violations(), f"{type(error).__name__}: {error}"]
        return self._violations()

    def _violations(self) -> list[str]:
        wrong = []
        moved = [token for _, token in self.world.moved]
        for name, token in self.tokens.items():
            if moved.count(token) > 1:
                wrong.append(f"{name} moved the robot {moved.count(token)} times")
            if name not in self.recorded:
                wrong.append(f"{name} has no outcome at the host; it moved: {token in moved}")
            elif self.recorded[name][1] and token not in moved:
                wrong.append(f"{name} has data, and never moved the robot")
            elif self.recorded[name][0] == "lost":
                wrong.append(f"{name}'s result is gone, and was never recorded")
        for at, moving in self.kills:
            stopped = [stop for stop in self.world.stops if at <= stop <= at + 200 * 10**6]
            if moving and not stopped:
                wrong.append(
                    f"the agent was killed in motion at {at}, and nobody stopped the robot"
                )
        return wrong

    # ---------------------------------------------------------------- the agent's machine

    def _start_agent(self) -> None:
        self._born += 1
        born = self._born
        door = Door(SimulatedDriver(self.world), None, lambda: self.now, self._sleep)
        rate = Rate(1e-4, 1e-4, 1e-4, 0, 1, 0.01)
        robot = Robot(door, ENVELOPE, Approval(mode="auto"), {}, rate)
        try:
            self.agent = self._make(
                robot,
                self.journal,
                f"epoch {born}",
                lambda client, message: None,
                self.journal.sample,
            )
        except Killed:
            self._agent_died()
            return
        self.at(0, lambda: self._tick(born))
        if self.journal.fault is not None:
            self.at(self.random.uniform(0.1, 1.0), self._clear)

    def _sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)

    def _tick(self, born: int) -> None:
        if born != self._born or self.agent is None:
            return
        next_ns = self.agent.tick(self.now)
        self.at(
            (next_ns - self.now) / 1e9 + self.random.choice([0, 0, 0.001, 0.01]),
            lambda: self._tick(born),
        )

    def _clear(self) -> None:
        """A person looks at the robot, and clears the fault."""
        if self.agent is not None:
            message = Message("clear", {"request": 0, "operator": "a person"})
            self.agent.handle(message, self.now, operator=True)

    def _perhaps_kill(self) -> None:
        if self.random.random() < self._killing:
            raise Killed

    def _kill_agent(self) -> None:
        raise Killed

    def _agent_died(self) -> None:
        agent = self.agent
        moving = agent is not None and agent.motion.execution is not None
        self.kills.append((self.now, moving))
        self.agent = None
        self._born += 1
        self.at(0.05, SimulatedDriver(self.world).safe_stop)  # the parent
        self.at(self.random.uniform(0.1, 1.0), self._start_agent)

    def _calm(self) -> None:
        self._killing = 0.0
        self._loss = self._doubling = 0.0

    # ---------------------------------------------------------------- the network

    def _cut(self) -> None:
        self._cut_until = self.now + int(self.random.uniform(0.05, 2.0) * 1e9)

    def _send(self, message: Message, arrive: Callable[[Message], None]) -> None:
        frames = wire.encode(message)
        copies = 1 + (self.random.random() < self._doubling)
        for _ in range(copies):
            if self.now < self._cut_until or self.random.random() < self._loss:
                continue
            late = self.random.random() < 0.05 and self._doubling > 0
            delay = self.random.uniform(0.5, 5.0) if late else self.random.uniform(0.0002, 0.02)
            self.at(delay, lambda: arrive(wire.decode(frames)))

    def _at_agent(self, host: Session) -> Callable[[Message], None]:
        def arrive(message: Message) -> None:
            if self.agent is not None:
                answer = self.agent.handle(message, self.now)
                assert answer is not None  # it asks for nothing that takes time
                self._send(answer, lambda reply: self._at_host(host, reply))

        return arrive

    # ---------------------------------------------------------------- the host

    def _start_host(self) -> None:
        session = Session(f"host {self.random.random()}")
        self.session = session
        order = [name for name in self.tokens if name not in self.recorded]
        for name in order[:1]:
            self._want(session, name)
        self.at(0, lambda: self._host(session))

    def _want(self, session: Session, name: str) -> None:
        content = {
            "controller": "open_loop",
            "joints": ["a"],
            "period": PERIOD,
            "horizon": STEPS,
            "start": {"token": [float(self.tokens[name].split("-")[1])]},
            "seed": 0,
        }
        actions = np.full((STEPS, 1), 0.01)
        session.jobs[name] = Job(name, content, {"actions": actions})

    def _host(self, session: Session) -> None:
        if session is not self.session:
            return
        for message in session.outgoing(self.now):
            self._send(message, self._at_agent(session))
        for job in list(session.jobs.values()):
            if job.stage == "fetch" and self._hurried:
                job.stage = "acknowledge"
            if job.stage == "done" and job.id not in self.recorded:
                kind = "lost" if job.state is None else str(job.state.fields["kind"])
                if job.refused:
                    kind = "lost" if job.gone else "refused"
                steps = 0 if job.result is None else len(job.result.arrays.get("sent", ()))
                self.recorded[job.id] = (kind, steps)
            if job.stage == "done":
                job.stage = "acknowledge"
                job.sent_ns = -(10**18)
                left = [name for name in self.tokens if name not in self.recorded]
                if left and left[0] not in session.jobs:
                    self._want(session, left[0])
        self.at(0.02, lambda: self._host(session))

    def _at_host(self, session: Session, message: Message) -> None:
        if session is self.session:
            session.incoming(message, self.now)

    def _kill_host(self) -> None:
        self.session = None
        self.at(self.random.uniform(0.05, 2.0), self._start_host)


# ---------------------------------------------------------------- broken on purpose


class WithoutDeduplication(Agent):
    """Takes every request for a new one."""

    def _submit(self, fields: Any, message: Message, now_ns: int) -> Message:
        self._journal.rollouts.pop(fields.id, None)
        return super()._submit(fields, message, now_ns)


class WithoutMemory(Agent):
    """Forgets a rollout's id when its result was acknowledged."""

    def _acknowledge(self, fields: Any, message: Message, now_ns: int) -> Message:
        answer = super()._acknowledge(fields, message, now_ns)
        self._journal.rollouts.pop(fields.id, None)
        return answer


class RunsAgain(Agent):
    """Takes what was interrupted for what has not begun."""

    def _recover(self) -> None:
        for rollout in list(self._journal.rollouts.values()):
            if rollout.state == "started":
                self._journal.apply({"record": "accepted", "id": rollout.id, "hash": rollout.hash})


def violations(
    seeds: range, make: Callable[..., Agent] = Agent, hurried: bool = False
) -> list[str]:
    """Return what was violated, over many histories."""
    return [
        f"seed {seed}: {line}" for seed in seeds for line in Simulation(seed, make, hurried).run()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    began, wrong, kills, moved = time.monotonic(), [], 0, 0
    for seed in range(options.first, options.first + options.seeds):
        simulation = Simulation(seed)
        wrong += [f"seed {seed}: {line}" for line in simulation.run()]
        kills += len(simulation.kills)
        moved += len(simulation.world.moved)
    seconds = time.monotonic() - began
    print("\n".join(wrong[:50]))
    print(
        f"{options.seeds} histories, {moved} rollouts executed, {kills} kills of the agent, "
        f"{len(wrong)} violations, {seconds:.0f} s"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
