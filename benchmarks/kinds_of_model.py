"""Gaussian process or ensemble: errors on rollouts that neither learned from, by what is recorded.

python benchmarks/kinds_of_model.py [ENV ...]

Rollouts of random actions, 50 steps at most; defaults of both models. Each line of
`benchmarks/results/kinds_of_model.jsonl` is one fit: `nlpd` in nats a channel, of which an error
costs four standard deviations' at most; `rmse` in standard deviations of what a channel changes by;
`seconds` of one thread for the fit and the predictions.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

from robo_al.models.auto import MODELS, MOST
from robo_al.models.feature_map import FeatureMap
from robo_al.models.held_out import surprise
from robo_al.plugins import make_env
from robo_al.tasks import describe
from robo_al.testing import random_transitions
from robo_al.types import EnvSpec

OUT = Path(__file__).parent / "results" / "kinds_of_model.jsonl"
ENVS = (
    "gymnasium:InvertedPendulum-v5",
    "gymnasium:InvertedDoublePendulum-v5",
    "gymnasium:Pendulum-v1",
    "gymnasium:MountainCarContinuous-v0",
    "dmc:cartpole-swingup",
    "gymnasium:Swimmer-v5",
    "gymnasium:Hopper-v5",
    "gymnasium:HalfCheetah-v5",
)
ROLLOUTS = (2, 6, 20)
STEPS = 50


def main() -> None:
    """Fit each kind of model to each amount of each task, and write a line for each."""
    torch.set_num_threads(1)
    lines = [line for name in sys.argv[1:] or ENVS for line in measured(name)]
    OUT.write_text("".join(json.dumps(line) + "\n" for line in lines))


def measured(name: str) -> list[dict[str, object]]:
    """Return the lines of one env."""
    spec, lines = EnvSpec(name), []
    env = make_env(spec)
    task = describe(env, spec, endless=STEPS)
    inputs = FeatureMap.of(task)
    outputs = list(inputs.predicted)
    asked = random_transitions(np.random.default_rng(99), 20, STEPS, env)
    changes = (asked.next_observations - asked.observations)[:, outputs]
    for rollouts in ROLLOUTS:
        learned = random_transitions(np.random.default_rng(1), rollouts, STEPS, env)
        for kind, make in MODELS.items():
            began = time.process_time()
            model = make(task, device="cpu")
            model.fit(learned, np.random.default_rng(0))
            with torch.no_grad():
                prediction = model.predict(
                    torch.as_tensor(asked.observations), torch.as_tensor(asked.actions)
                )
            seconds = time.process_time() - began
            error = (prediction.mean.numpy() - asked.next_observations)[:, outputs]
            for i in (outputs.index(w) for w in inputs.wrapped):
                error[:, i] = np.remainder(error[:, i] + np.pi, 2 * np.pi) - np.pi
            varies = changes.std(0) > 1e-9  # the others cannot be in units of it
            relative = error[:, varies] / changes[:, varies].std(0)
            nlpd = float(surprise(inputs, prediction, asked.next_observations, MOST).mean())
            lines.append(
                {
                    "env": name,
                    "channels": len(outputs),
                    "transitions": len(learned),
                    "model": kind,
                    "nlpd": round(nlpd, 3),
                    "rmse": round(float(np.sqrt((relative**2).mean())), 4),
                    "seconds": round(seconds, 1),
                }
            )
            print(lines[-1], flush=True)
    return lines


if __name__ == "__main__":
    main()
