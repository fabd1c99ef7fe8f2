"""Which demonstration next: section G of PLAN.md. `python benchmarks/demonstrations.py FILE`.

One process, one computing thread; each seed's results are written as soon as they are there, and a
file that is there already is gone on with.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from furthest import Furthest

from robo_al.acquisition.joint import JointInformation
from robo_al.acquisition.random import Random
from robo_al.acquisition.select import GreedyJoint, TopK
from robo_al.dataset.rollouts import transitions_of
from robo_al.models.imagination import imagine
from robo_al.models.true_dynamics import TrueDynamics
from robo_al.oracles.expert import ExpertOracle
from robo_al.plugins import make_env
from robo_al.protocols import Acting, CandidatePool
from robo_al.tasks import contexts_from, describe
from robo_al.types import (
    MEAN,
    Candidate,
    ClosedLoop,
    Context,
    Demonstration,
    EnvSpec,
    Trajectory,
)
from robo_al_envs.so101 import tip
from robo_al_policies.bc import BehaviouralCloning

TASKS = {
    "so101_reach": ("robo_al_envs.experts:So101ReachExpert", 20),
    "reacher": ("robo_al_envs.experts:ReacherExpert", 50),
}
"""Who demonstrates, and how many steps."""
STRATEGIES = ("uniform", "furthest", "start", "visited")
SEEDS, FIRST, BATCH, MOST, POOL, STARTS = 10, 8, 8, 40, 100, 50
NEAR = 0.02
"""m from the goal at the end, within which a rollout is a success."""
SIZES = {"members": 4, "hidden": 64, "max_steps": 600, "learning_rate": 3e-3, "batch_size": 128}


class Bench:
    """One task: its expert, its starts of evaluations, and the policy that is learned."""

    def __init__(self, name: str) -> None:
        self.name = name
        expert, self.steps = TASKS[name]
        spec = EnvSpec(name)
        self.oracle = ExpertOracle(spec, expert)
        self.env = make_env(spec)
        self.task = describe(self.env, spec)
        self.model = TrueDynamics(self.task)
        self.starts = contexts_from(self.env, range(STARTS))

    def execute(self, contexts: Sequence[Context], controller: Any) -> list[Trajectory]:
        """Return the rollouts from some starts."""
        for i, context in enumerate(contexts):
            self.oracle.submit(Candidate(context, controller, self.steps, context.seed, f"{i}"))
        return [outcome.result for outcome in self.oracle.poll()]

    def learn(self, shown: Sequence[Trajectory], seed: int) -> BehaviouralCloning:
        """Return a policy that has learned from demonstrations."""
        policy = BehaviouralCloning(self.task, **SIZES)
        policy.update(transitions_of(shown), self.model, np.random.default_rng([seed, len(shown)]))
        return policy

    def evaluate(self, policy: BehaviouralCloning) -> dict[str, float]:
        """Return the mean return and the share of successes from starts that are in no pool."""
        self.oracle.resolve = lambda controller: Acting(policy, self.model)
        results = self.execute(self.starts, ClosedLoop(MEAN, "policy"))
        ends = np.stack([result.observations[-1] for result in results])
        apart = ends[:, 6:8] if self.name == "reacher" else tip(ends[:, :5]) - ends[:, 15:18]
        success = np.linalg.norm(apart, axis=-1) < NEAR
        returns = [result.total_reward for result in results]
        return {"return": float(np.mean(returns)), "success": float(success.mean())}

    def select(
        self,
        strategy: str,
        policy: BehaviouralCloning,
        shown: Sequence[Trajectory],
        contexts: Sequence[Context],
        rng: np.random.Generator,
    ) -> list[int]:
        """Return which of the starts are to be demonstrated next."""
        candidates = [Candidate(c, Demonstration(), self.steps, c.seed) for c in contexts]
        if strategy != "visited":  # nobody looks further than the start
            candidates = [Candidate(c, Demonstration(), 1, c.seed) for c in contexts]
        resolve = lambda controller: Acting(policy, self.model)  # noqa: E731
        imagined = imagine(candidates, self.model, self.task, resolve=resolve)
        pool = CandidatePool(tuple(candidates), imagined, self.model, self.task, policy=policy)
        if strategy == "uniform":
            return list(TopK()(Random(), pool, BATCH, rng).indices)
        if strategy == "furthest":
            acquisition: Any = Furthest()
            acquisition.observe(transitions_of(shown), policy)
        else:
            acquisition = JointInformation(steps=10 if strategy == "visited" else 1, about="policy")
        return list(GreedyJoint()(acquisition, pool, BATCH, rng).indices)


def campaign(bench: Bench, seed: int) -> dict[str, list[dict[str, float]]]:
    """Return the evaluations of each strategy, after 8, 16, ... demonstrations."""
    first = contexts_from(bench.env, range(10_000 + 1000 * seed, 10_000 + 1000 * seed + FIRST))
    begun = bench.execute(first, Demonstration())
    policy = bench.learn(begun, seed)
    before, found = bench.evaluate(policy), {}
    for strategy in STRATEGIES:
        shown, learned, found[strategy] = list(begun), policy, [before]
        for turn in range(1, (MOST - FIRST) // BATCH + 1):
            low = 10_000 + 1000 * seed + POOL * turn
            contexts = contexts_from(bench.env, range(low, low + POOL))
            rng = np.random.default_rng([seed, turn])
            picked = bench.select(strategy, learned, shown, contexts, rng)
            shown += bench.execute([contexts[i] for i in picked], Demonstration())
            learned = bench.learn(shown, seed)
            found[strategy].append(bench.evaluate(learned))
    return found


def main(path: Path) -> None:
    """Run what is missing in a file."""
    torch.set_num_threads(1)
    results = json.loads(path.read_text()) if path.exists() else {}
    for name in TASKS:
        for seed in range(SEEDS):
            if str(seed) in results.setdefault(name, {}):
                continue
            bench = Bench(name)
            with closing(bench.oracle):
                results[name][str(seed)] = campaign(bench, seed)
            path.write_text(json.dumps(results, indent=1) + "\n")
            print(name, seed, {k: v[-1] for k, v in results[name][str(seed)].items()}, flush=True)
    tell(results)


def tell(results: dict[str, Any]) -> None:
    """Print means, and paired differences from `uniform` with intervals of 95 %."""
    for name, seeds in results.items():
        for measure in ("return", "success"):
            values = {
                strategy: np.array(
                    [[after[measure] for after in seeds[seed][strategy]] for seed in sorted(seeds)]
                )
                for strategy in STRATEGIES
            }
            print(f"\n{name}, {measure}, mean of {len(seeds)} seeds; difference from uniform")
            for strategy, rows in values.items():
                apart = rows - values["uniform"]
                rng = np.random.default_rng(0)
                drawn = apart[rng.integers(len(apart), size=(10_000, len(apart)))].mean(1)
                low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
                cells = [
                    f"{m:7.3f} ({d:+.3f}, {a:+.3f} to {b:+.3f})"
                    for m, d, a, b in zip(rows.mean(0), apart.mean(0), low, high, strict=True)
                ]
                print(f"{strategy:9s}", *cells)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
