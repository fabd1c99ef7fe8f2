"""Seconds to select a batch from a large pool, beside bmdal_reg and plain greedy, in one run.

Candidates are given by random features, so that only selection is timed; float32, one thread.

    python benchmarks/selection.py --out benchmarks/results/selection.json

- rollouts: 20,000 rollouts of 10 steps, 256 features, 32 picked: ours, lazy, against evaluating
  every candidate before each pick.
- single steps: 100,000 candidates, 512 features, 64 picked: ours against bmdal_reg's maxdet,
  maxdist (k_center), lcmd and bait.

Features are made like those of a learned model: their directions are shared, with a spectrum that
falls as 1/i, and candidates differ in length; bmdal_reg gets the same tensors.
"""

import argparse
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from robo_al.acquisition.bait import Bait
from robo_al.acquisition.diversity import KCenter, LargestClusterMaxDist
from robo_al.acquisition.joint import JointInformation
from robo_al.acquisition.select import GreedyJoint
from robo_al.testing import pool_of
from robo_al.types import ImaginedRollouts


class Plain(GreedyJoint):
    """Greedy that evaluates every candidate before each pick."""

    diminishing = False


class Given:
    """A model whose features are the observations themselves, and whose prior is the identity.

    Args:
        size: F, of the features.
    """

    def __init__(self, size):
        self.size = self.covariance_rank = size

    def features(self, observations, actions):
        """Return the observations."""
        return observations

    def feature_posterior(self):
        """Return the identity."""
        return torch.eye(self.size)[None]

    def covariance(self, first, second):
        """Return inner products."""
        return (first[0] @ second[0].mT)[None]


def candidates(n, steps, size, seed=0):
    """Return N rollouts with random features [N, T, F] as their observations."""
    draw = torch.Generator().manual_seed(seed)
    spectrum = torch.arange(1, size + 1).float() ** -0.5
    features = torch.randn(n, steps + 1, size, generator=draw) * spectrum
    features *= torch.rand(n, 1, 1, generator=draw) + 0.5
    return ImaginedRollouts(
        observations=features[None],
        actions=torch.zeros(1, n, steps, 1),
        rewards=torch.zeros(1, n, steps),
        members=torch.zeros(1, n, dtype=torch.long),
        horizons=torch.full((n,), steps),
        mask=torch.ones(1, n, steps),
        finite=torch.ones(n, dtype=torch.bool),
    )


def ours(selector, imagined, k, acquisition=None):
    """Return seconds and picks."""
    model = Given(imagined.observations.shape[-1])
    began = time.perf_counter()
    picks = selector(acquisition, pool_of(imagined, model), k, np.random.default_rng(0)).indices
    return time.perf_counter() - began, list(picks)


def theirs(method, features, k, **options):
    """Return seconds and picks of bmdal_reg, from the same features."""
    np.Inf = np.inf  # bmdal_reg 3.0.2 was written for numpy 1
    from bmdal_reg.bmdal.feature_data import TensorFeatureData
    from bmdal_reg.bmdal.feature_maps import IdentityFeatureMap
    from bmdal_reg.bmdal.features import Features
    from bmdal_reg.bmdal.selection import (
        BaitFeatureSpaceSelectionMethod,
        LargestClusterMaxDistSelectionMethod,
        MaxDetSelectionMethod,
        MaxDistSelectionMethod,
    )

    classes = {
        "maxdet": MaxDetSelectionMethod,
        "maxdist": MaxDistSelectionMethod,
        "lcmd": LargestClusterMaxDistSelectionMethod,
        "bait": BaitFeatureSpaceSelectionMethod,
    }
    pool = Features(IdentityFeatureMap(features.shape[1]), TensorFeatureData(features))
    none = Features(IdentityFeatureMap(features.shape[1]), TensorFeatureData(features[:0]))
    began = time.perf_counter()
    picks = classes[method](pool, none, **options).select(k)
    return time.perf_counter() - began, [int(i) for i in picks]


def agreement(first, second):
    """Return how many picks two batches share."""
    return len(set(first) & set(second))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of candidates")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []

    def say(case, name, result, reference=None):
        seconds, picks = result
        shared = None if reference is None else agreement(picks, reference[1])
        rows.append({"case": case, "name": name, "seconds": round(seconds, 3), "shared": shared})
        print(SimpleNamespace(**rows[-1]), flush=True)

    n, k = int(20_000 * arguments.scale), 32
    rollouts = candidates(n, 10, 256)
    case = f"{n} rollouts x 10 steps x 256 features, k = {k}"
    lazy = ours(GreedyJoint(), rollouts, k, JointInformation(10))
    say(case, "greedy_joint (lazy)", lazy)
    say(case, "plain greedy", ours(Plain(), rollouts, k, JointInformation(10)), lazy)
    for selector in (KCenter(10), LargestClusterMaxDist(10), Bait(10)):
        say(case, type(selector).name, ours(selector, rollouts, k))

    n, k = int(100_000 * arguments.scale), 64
    steps = candidates(n, 1, 512)
    features = steps.observations[0, :, 0].contiguous()
    case = f"{n} steps x 512 features, k = {k}"
    lazy = ours(GreedyJoint(), steps, k, JointInformation(1))
    say(case, "greedy_joint (lazy)", lazy)
    options = {"noise_sigma": 1.0, "sel_with_train": False}
    say(case, "bmdal_reg maxdet (kernel)", theirs("maxdet", features, k, **options), lazy)
    for selector, method in ((KCenter(1), "maxdist"), (LargestClusterMaxDist(1), "lcmd")):
        mine = ours(selector, steps, k)
        say(case, type(selector).name, mine)
        plain = {"sel_with_train": False}
        say(case, f"bmdal_reg {method}", theirs(method, features, k, **plain), mine)
    mine = ours(Bait(1), steps, k)
    say(case, "bait", mine)
    say(case, "bmdal_reg bait", theirs("bait", features, k, noise_sigma=1.0), mine)
    if arguments.out:
        machine = {
            "threads": 1,
            "dtype": "float32",
            "cpus": os.cpu_count(),
            "torch": torch.__version__,
        }
        arguments.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
