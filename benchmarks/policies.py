"""Returns of the `sb3` policy in campaigns, beside SAC and CrossQ alone on the same tasks.

python benchmarks/policies.py --tasks reacher_v5 pusher --seeds 0 1 --out results.jsonl
python benchmarks/policies.py --tasks reacher_v5 --seeds 0 --marks 1000 2000 \
    --policy.updates_per_transition 2
python benchmarks/policies.py --tasks halfcheetah hopper --methods "CrossQ alone" sb3 \
    --policy.algorithm crossq

Runs one after the other; what is in the results already is not run again, and a campaign that was
stopped goes on. A run's result is one line more, so several processes can share the file. All have
the same seeds and are evaluated on the same fixed starts, at no more transitions than each mark
says. Any entry of the campaigns' configuration can be overridden, and is noted with the result.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sb3_contrib import CrossQ
from stable_baselines3 import SAC

from robo_al.build import create_campaign, make_oracle, open_campaign
from robo_al.config.load import load_config
from robo_al.config.schema import Config
from robo_al.dataset.events import Event, RoundDone
from robo_al.dataset.folders import CONFIG
from robo_al.dataset.ledger import EvaluationRow
from robo_al.loop.sequential import run
from robo_al.plugins import make_env
from robo_al.torch_defaults import one_thread
from robo_al.types import EnvSpec
from robo_al_policies.sb3_kernels import hasten

ROOT = Path(__file__).parent.parent
TASKS = ("halfcheetah", "hopper", "reacher_v5", "pusher")
RESULTS = ROOT / "benchmarks" / "results" / "policies.jsonl"
MARKS = (5_000, 10_000, 20_000)
VERSIONS_OF = ("robo-al", "stable-baselines3", "sb3-contrib", "torch", "gymnasium", "mujoco")
ALONE: dict[str, Callable[..., Any]] = {
    "SAC alone": partial(SAC, "MlpPolicy"),
    "CrossQ alone": partial(CrossQ, "MlpPolicy"),
    "CrossQ alone, critics of 256": partial(
        CrossQ, "MlpPolicy", policy_kwargs={"net_arch": [256, 256]}
    ),
}
"""Algorithms with their libraries' parameters; CrossQ's critics have 1024 units a layer there."""
CAMPAIGN = "sb3"
"""The method that is a campaign of the policy `sb3`."""

Found = dict[str, dict[str, Any]]
"""By mark: at how many `transitions`, the `mean_return` and all `returns`."""


class Enough(Exception):
    """The last mark is reached."""


def campaign_returns(config: Config, marks: Sequence[int], folder: Path) -> tuple[Found, float]:
    """Run a campaign, or go on with it; return what was found and the CPU seconds it took."""

    def emit(event: Event) -> None:
        if isinstance(event, RoundDone) and event.record["transitions"] >= max(marks):
            raise Enough

    started = (folder / CONFIG).exists()
    campaign = open_campaign(folder) if started else create_campaign(config, folder)
    with campaign, make_oracle(config) as oracle:
        if campaign.dataset.ledger.totals()[1] < max(marks):
            with suppress(Enough):
                run(campaign, oracle, emit)
        found: Found = {}
        for row in campaign.dataset.ledger.rows(EvaluationRow):
            for mark in marks:
                if row.transitions <= mark and row.mean_return is not None:
                    found[str(mark)] = entry(row.transitions, json.loads(row.returns))
        return found, campaign.clock.cpu_seconds


@one_thread
def alone_returns(method: str, config: Config, marks: Sequence[int]) -> tuple[Found, float]:
    """Train one of `ALONE` on the env itself, by the operations that `sb3` has, too."""
    began = time.process_time()
    env, other = (make_env(EnvSpec(config.env.name, config.env.parameters)) for _ in range(2))
    model = ALONE[method](env, seed=config.seed, device="cpu")
    hasten(model)
    found: Found = {}
    for mark in sorted(marks):
        model.learn(mark - model.num_timesteps, reset_num_timesteps=False)
        returns = [episode(model, other, seed) for seed in range(config.evaluation.starts)]
        found[str(mark)] = entry(model.num_timesteps, returns)
    return found, time.process_time() - began


def episode(model: Any, env: Any, seed: int) -> float:
    """Return the return of the most likely actions from the start that a seed gives."""
    observation, _ = env.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        action, _ = model.predict(observation, deterministic=True)
        observation, reward, terminated, truncated, _ = env.step(action)
        total, over = total + float(reward), terminated or truncated
    return total


def entry(transitions: int, returns: Sequence[float]) -> dict[str, Any]:
    """Return one evaluation as JSON values."""
    return {
        "transitions": transitions,
        "mean_return": round(float(np.mean(returns)), 2),
        "returns": [round(value, 2) for value in returns],
    }


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records that there are."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether another record has all that one asks for."""
    equal = all(one[key] == other[key] for key in ("task", "seed", "method", "overrides"))
    return equal and set(one["marks"]) <= set(other["marks"])


def table(records: Sequence[dict[str, Any]]) -> str:
    """Return the records as Markdown."""
    lines = ["| task | seed | method | overrides | mean return at transitions | CPU s |"]
    lines.append("|---|---|---|---|---|---|")
    for record in records:
        found = record["found"].values()
        returns = ", ".join(f"{at['mean_return']:.1f} at {at['transitions']}" for at in found)
        cells = [record["task"], str(record["seed"]), record["method"]]
        cells += [" ".join(record["overrides"]), returns, f"{record['cpu_seconds']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is asked for and not there yet; print everything that is."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    methods = [*ALONE, CAMPAIGN]
    parser.add_argument("--methods", nargs="+", default=["SAC alone", CAMPAIGN], choices=methods)
    parser.add_argument("--marks", nargs="+", type=int, default=MARKS, help="transitions")
    parser.add_argument("--runs", type=Path, default=Path("runs/policies"), help="run folders")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options, overrides = parser.parse_known_args()
    marks = sorted(options.marks)
    for task in options.tasks:
        for seed in options.seeds:
            config = load_config(task, [*overrides, "--seed", str(seed)])
            folder = options.runs / f"{task}-{seed}-{config.sha256()[:8]}"
            for method in options.methods:
                record: dict[str, Any] = {"task": task, "seed": seed, "method": method}
                record |= {"marks": marks, "overrides": overrides if method == CAMPAIGN else []}
                if any(same(record, known) for known in read(options.out)):
                    continue
                if method == CAMPAIGN:
                    found, seconds = campaign_returns(config, marks, folder)
                else:
                    found, seconds = alone_returns(method, config, marks)
                versions = {name: version(name) for name in VERSIONS_OF}
                record |= {"found": found, "cpu_seconds": round(seconds), "versions": versions}
                options.out.parent.mkdir(parents=True, exist_ok=True)
                with options.out.open("a") as lines:
                    lines.write(json.dumps(record) + "\n")
                print(table([record]), flush=True)
    print(table(read(options.out)))


if __name__ == "__main__":
    main()
