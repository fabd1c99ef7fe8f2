"""How busy a robot is kept, and what the later feedback costs in rollouts.

    python benchmarks/overlap.py --out benchmarks/results/overlap.json

Two parts, sequential and overlapped side by side in both. A rollout lasts as long as the host
computes for one (fit, propose, imagine, select) on average, measured first, in an overlapped
campaign (for *busy*, of that campaign itself: it is repeated until computing took no longer).
*Busy*: a simulated robot in real time; busy is the share of the time from the first
rollout's beginning to the last one's end in which it moves. *Solving*: rollouts until a task is
solved, for each seed. Here the robot's time is counted and not waited for: the time is what the
host computes, evaluations left out, and what it would have waited.

What is in the results already is not run again.
"""

import argparse
import json
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from statistics import median
from typing import Any, Self
from unittest import mock

from robo_al import loop
from robo_al.build import create_campaign
from robo_al.campaign.campaign import Campaign
from robo_al.config.load import load_config
from robo_al.config.schema import Config
from robo_al.dataset.ledger import EvaluationRow
from robo_al.loop import overlapped
from robo_al.oracles.simulation import SimulationOracle
from robo_al.protocols import Resolver
from robo_al.types import Candidate, EnvSpec, Outcome

MODES = ("sequential", "overlapped")
CALIBRATION = 8
COMPUTING = ("train", "propose", "imagine", "select")
BASE = "--device cpu --candidates 8 --imagination_members 2 --evaluation.starts 8"
SHORT = "--policy.samples 64 --policy.iterations 3 --policy.planning_horizon 20"
TASKS = {
    "pendulum, 5 steps": ("pendulum", f"{SHORT} --rollout_steps 5 --rounds 16"),
    "cartpole, 15 steps": (
        "cartpole",
        "--policy.samples 100 --policy.iterations 4 --rollout_steps 15 --rounds 16",
    ),
    "pendulum_penalty, 20 steps": (
        "pendulum_penalty",
        "--rollout_steps 20 --rounds 16 --evaluation.starts 3",
    ),
    "pendulum, 2 steps": ("pendulum", f"{SHORT} --rollout_steps 2 --rounds 32"),
}
"""Tasks whose rollouts until solved are counted: env, and what differs from its configuration."""


class _Robot:
    """A simulated robot that does one rollout after the other."""

    capacity = 64
    repeatable = True

    def __init__(self, config: Config) -> None:
        self._inner = SimulationOracle(EnvSpec(config.env.name, config.env.parameters))
        self.moves: list[tuple[float, float]] = []
        """Beginning and end of each training rollout (s)."""

    @property
    def busy(self) -> float:
        """Share of the time in which it moved."""
        moving = sum(end - begin for begin, end in self.moves)
        return moving / (self.moves[-1][1] - self.moves[0][0])

    @property
    def resolve(self) -> Resolver:
        """What finds the policies that candidates name; set by the campaign."""
        return self._inner.resolve

    @resolve.setter
    def resolve(self, resolve: Resolver) -> None:
        self._inner.resolve = resolve

    def now(self) -> float:
        """Return the time (s)."""
        return time.monotonic()

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _execute(self, candidate: Candidate) -> list[Outcome]:
        self._inner.submit(candidate)
        return self._inner.poll()


class RealTime(_Robot):
    """A robot that takes its time.

    Args:
        config: of the campaign.
        seconds: that a training rollout lasts.
    """

    def __init__(self, config: Config, seconds: float) -> None:
        super().__init__(config)
        self._seconds = seconds
        self._jobs: SimpleQueue[Candidate | None] = SimpleQueue()
        self._done: SimpleQueue[Outcome] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def submit(self, candidate: Candidate) -> None:
        """Queue a rollout."""
        self._jobs.put(candidate)

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        """Wait for an outcome, and return all that have come."""
        outcomes = []
        with suppress(Empty):
            outcomes.append(self._done.get(timeout=timeout))
        while not self._done.empty():
            outcomes.append(self._done.get())
        return outcomes

    def close(self) -> None:
        """End the thread."""
        self._jobs.put(None)
        self._thread.join()
        super().close()

    def _work(self) -> None:
        while (candidate := self._jobs.get()) is not None:
            training, begin = candidate.id.startswith("r"), time.monotonic()
            outcomes = self._execute(candidate)
            if training:
                time.sleep(max(0.0, begin + self._seconds - time.monotonic()))
                self.moves.append((begin, time.monotonic()))
            for outcome in outcomes:
                self._done.put(replace(outcome, robot_seconds=self._seconds))


class CountedTime(_Robot):
    """A robot whose time is counted and not waited for; evaluations take none.

    Args:
        config: of the campaign.
        seconds: that a training rollout lasts.
        campaign: whose computing is what else takes time.
    """

    def __init__(self, config: Config, seconds: float, campaign: Campaign) -> None:
        super().__init__(config)
        self._seconds, self._clock, self._waited = seconds, campaign.clock, 0.0
        self._queue: list[Candidate] = []
        self._evaluating = 0

    def now(self) -> float:
        """Return what was computed and waited until now (s)."""
        spent = self._clock.seconds
        return self._waited + sum(spent[name] for name in (*COMPUTING, "other"))

    def submit(self, candidate: Candidate) -> None:
        """Queue a rollout."""
        if not candidate.id.startswith("r"):
            self._inner.submit(candidate)
            self._evaluating += 1
            return
        begin = max(self.now(), self.moves[-1][1] if self.moves else 0.0)
        self.moves.append((begin, begin + self._seconds))
        self._queue.append(candidate)

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        """Wait for an outcome, and return all that have come."""
        if self._evaluating:
            self._evaluating = 0
            return self._inner.poll()
        ends = [end for _, end in self.moves[len(self.moves) - len(self._queue) :]]
        now = self.now()
        if ends and now < ends[0]:
            until = ends[0] if timeout is None else min(ends[0], now + timeout)
            self._waited += until - now
            now = until
        come = sum(end <= now for end in ends)
        done, self._queue = self._queue[:come], self._queue[come:]
        outcomes = [outcome for candidate in done for outcome in self._execute(candidate)]
        return [replace(outcome, robot_seconds=self._seconds) for outcome in outcomes]


def run(
    env: str,
    words: str,
    mode: str,
    seed: int,
    seconds: float,
    real: bool = False,
) -> dict[str, Any]:
    """Run a campaign; return how busy the robot was, and when the task was solved.

    `crossed` and `solved` are the rollouts that the policy had learned from at the first
    evaluation at the threshold, and at the second in a row; `rollouts` are all that were executed.
    """
    settings = f"{BASE} {words} --loop.mode {mode} --seed {seed}"
    config = load_config(env, settings.split())
    with (
        tempfile.TemporaryDirectory() as folder,
        create_campaign(config, Path(folder) / "run") as campaign,
        RealTime(config, seconds) if real else CountedTime(config, seconds, campaign) as robot,
        mock.patch.object(overlapped, "monotonic", robot.now),
    ):
        loop.run(campaign, robot, lambda event: None)
        evaluations = campaign.dataset.ledger.rows(EvaluationRow)
        good = [row for row in evaluations if reached(row, campaign)]
        spent, solved, rollouts = campaign.clock.seconds, campaign.solved, len(robot.moves)
        spent_computing = sum(spent[name] for name in COMPUTING)
        return {
            "busy": round(robot.busy, 3),
            "rollouts": rollouts,
            "computing": round(spent_computing / max(1, rollouts - 1), 3),
            "crossed": good[0].rollouts if good else None,
            "solved": None if solved is None else solved.rollouts,
        }


def seconds_of_computing(env: str, words: str) -> float:
    """Return how long the host computes for a rollout, where one lasts about as long (s)."""
    alone = run(env, words, "sequential", 0, 0.0)["computing"]
    return float(run(env, words, "overlapped", 0, alone)["computing"])


def reached(row: EvaluationRow, campaign: Campaign) -> bool:
    """Whether an evaluation is at or above the task's threshold."""
    threshold = campaign.parts.task.threshold
    return threshold is not None and row.mean_return is not None and row.mean_return >= threshold


def summary(runs: list[dict[str, Any]], budget: int) -> dict[str, Any]:
    """Return medians of both modes over seeds, a run that did not solve counted as the budget."""
    found: dict[str, Any] = {"seeds": len(runs)}
    for key in ("crossed", "solved", "rollouts"):
        values = {
            mode: [budget if one[mode][key] is None else one[mode][key] for one in runs]
            for mode in MODES
        }
        medians = {mode: median(values[mode]) for mode in MODES}
        means = {mode: sum(values[mode]) / len(runs) for mode in MODES}
        found[key] = {
            "medians": medians,
            "ratio_of_medians": round(medians["overlapped"] / medians["sequential"], 3),
            "ratio_of_means": round(means["overlapped"] / means["sequential"], 3),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=32, help="of the part in real time")
    parser.add_argument("--seeds", type=int, default=5, help="of the part that solves")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    options = parser.parse_args()
    result: dict[str, Any] = {}
    if options.out and options.out.exists():
        result = json.loads(options.out.read_text())

    def note() -> None:
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n")

    env, words = TASKS["pendulum, 5 steps"]
    words += f" --rounds {options.rounds} --evaluation.every 0"
    if "busy" not in result and options.rounds:
        seconds = 0.0
        computed = run(env, words, "sequential", 0, 0.0, real=True)["computing"]
        while computed > seconds:  # the machine's speed varies: until computing took no longer
            seconds = computed
            print(f"a rollout lasts {seconds:.2f} s", flush=True)
            one = run(env, words, "overlapped", 0, seconds, real=True)
            computed = one["computing"]
        busy = {
            "sequential": run(env, words, "sequential", 0, seconds, real=True)["busy"],
            "overlapped": one["busy"],
        }
        result |= {
            "seconds": seconds,
            "computing": computed,
            "rollouts": options.rounds,
            "busy": busy,
        }
        print("busy", busy, flush=True)
        note()
    solving = result.setdefault("solving", {})
    for task in options.tasks:
        env, words = TASKS[task]
        found = solving.setdefault(task, {"runs": []})
        if "seconds" not in found:
            alone = f"{words} --rounds {CALIBRATION} --evaluation.every 0"
            found["seconds"] = seconds_of_computing(env, alone)
        for seed in range(len(found["runs"]), options.seeds):
            runs = {mode: run(env, words, mode, seed, found["seconds"]) for mode in MODES}
            found["runs"].append(runs)
            budget = int(words.split("--rounds ")[1].split()[0])
            found |= summary(found["runs"], budget)
            print(
                task, {name: value for name, value in found.items() if name != "runs"}, flush=True
            )
            note()


if __name__ == "__main__":
    main()
