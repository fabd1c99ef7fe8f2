"""How busy a robot is kept, and what the later feedback costs in rollouts.

    python benchmarks/overlap.py --out benchmarks/results/overlap.json

The robot is a simulation whose rollouts last as long as the host computes for one (fit, propose,
imagine, select: measured first, in the same run). Busy is the share of the time from the first
rollout's beginning to the last one's end in which it moves. Evaluations cost it no time: in a
lab they are not made after every round.
"""

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from statistics import median
from typing import Any

from robo_al import loop
from robo_al.config import load_config
from robo_al.oracles.simulation import SimulationOracle
from robo_al.run import create_campaign
from robo_al.types import Candidate, EnvSpec, Outcome

SETTINGS = [
    *("--rollout_steps", "5", "--candidates", "12", "--imagination_members", "3"),
    *("--policy.samples", "64", "--policy.iterations", "3", "--policy.planning_horizon", "20"),
    *("--device", "cpu"),
]
NEVER = 99
"""In place of the rollouts until a task is solved, where it was not."""


class RealTime:
    """A simulated robot that takes its time, one rollout after the other.

    Args:
        seconds: that a training rollout lasts.
    """

    capacity = 64
    repeatable = True

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._inner = SimulationOracle(EnvSpec("pendulum", {}))
        self._jobs: SimpleQueue[Candidate | None] = SimpleQueue()
        self._done: SimpleQueue[Outcome] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self.moves: list[tuple[float, float]] = []
        """Beginning and end of each training rollout (s)."""

    @property
    def busy(self) -> float:
        """Share of the time in which it moved."""
        moving = sum(end - begin for begin, end in self.moves)
        return moving / (self.moves[-1][1] - self.moves[0][0])

    def submit(self, candidate: Candidate) -> None:
        """Queue a rollout."""
        self._jobs.put(candidate)

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        """Wait for an outcome, and return all that have come."""
        outcomes = [self._done.get()]
        while not self._done.empty():
            outcomes.append(self._done.get())
        return outcomes

    def close(self) -> None:
        """End the thread."""
        self._jobs.put(None)
        self._thread.join()
        self._inner.close()

    def __enter__(self) -> "RealTime":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _work(self) -> None:
        while (candidate := self._jobs.get()) is not None:
            training, begin = candidate.id.startswith("r"), time.monotonic()
            self._inner.submit(candidate)
            outcomes = self._inner.poll()
            if training:
                time.sleep(max(0.0, begin + self._seconds - time.monotonic()))
                self.moves.append((begin, time.monotonic()))
            for outcome in outcomes:
                self._done.put(outcome)


def run(mode: str, seconds: float, seed: int, *words: str) -> dict[str, Any]:
    """Run a campaign; return how busy the robot was, and when the task was solved."""
    config = load_config("pendulum", [*SETTINGS, "--loop.mode", mode, "--seed", str(seed), *words])
    with (
        tempfile.TemporaryDirectory() as folder,
        create_campaign(config, Path(folder) / "run") as campaign,
        RealTime(seconds) as robot,
    ):
        loop.run(campaign, robot, lambda event: None)
        spent = campaign.clock.seconds
        solved = campaign.solved
        computing = sum(spent.get(name, 0.0) for name in ("train", "propose", "imagine", "select"))
        return {
            "busy": round(robot.busy, 4),
            "rollouts": len(robot.moves),
            "computing": computing / max(1, len(robot.moves) - 1),
            "solved_at": None if solved is None else solved.rollouts,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    length = ["--rounds", str(options.rounds), "--evaluation.every", "0"]
    seconds = run("sequential", 0.0, 0, *length)["computing"]
    print(f"the host computes for {seconds:.2f} s a rollout: so long does one last", flush=True)
    result: dict[str, Any] = {"seconds": round(seconds, 3), "rollouts": options.rounds}
    modes = ("sequential", "overlapped")

    def note(key: str, value: Any) -> None:
        result[key] = value
        print(key, value, flush=True)
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n")

    note("busy", {mode: run(mode, seconds, 0, *length)["busy"] for mode in modes})
    solved: dict[str, list[int]] = {mode: [] for mode in modes}
    for seed in range(options.seeds):
        for mode in modes:
            words = ["--rounds", "16", "--evaluation.starts", "8"]
            solved[mode].append(run(mode, seconds, seed, *words)["solved_at"] or NEVER)
        note("solved_at", solved)
        note("ratio_of_medians", median(solved["overlapped"]) / median(solved["sequential"]))


if __name__ == "__main__":
    main()
