"""What a gradient step of SB3 costs on a CPU, of what, and what the limit is.

python benchmarks/gradient_step.py

One computing thread, 256 rows of HalfCheetah-v5. Milliseconds are the CPU's, of the quickest of
several measurements taken in turns, so that others on the machine disturb little. Of a step are
measured

- `products`: all its products of matrices, of the same shapes and layouts, done again alone;
- `optimisers`: inside the step, the calls of the optimisers;
- `operations`: the same step with 2 rows and 8 units, less its optimisers: what Python, autograd
  and torch take for each operation, however small it is;
- `limit`: the floating-point operations of the products at the rate of a product of 2048 x 2048.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import torch
from sb3_contrib import CrossQ
from stable_baselines3 import SAC
from torch.utils._python_dispatch import TorchDispatchMode

from robo_al_policies.sb3_kernels import hasten

ROWS, STEPS = 256, 6
"""Steps that are timed as one: twice CrossQ's delay of its actor."""
CASES = {
    "SAC, 256 x 256": (SAC, 256),
    "CrossQ, 256 x 256": (CrossQ, 256),
    "CrossQ, critics of 1024 x 1024": (CrossQ, 1024),
}


class Products(TorchDispatchMode):
    """Notes every operation, and the products among them as calls that do them again."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.again: list[Callable[[], Any]] = []
        self.flops = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        """Do an operation, and note it."""
        self.operations += 1
        if function in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default):
            first, second = arguments[-2:]
            self.flops += 2 * first.shape[0] * first.shape[1] * second.shape[1]
            copies = [torch.empty_strided(a.shape, a.stride()).normal_() for a in arguments]
            self.again.append(lambda: function(*copies))
        return function(*arguments, **(options or {}))


def make(kind: type[Any], rows: int, units: int, critic_units: int, fused: bool) -> Any:
    """Return an algorithm whose buffer is full of what a random policy saw."""
    env = gymnasium.make("HalfCheetah-v5")
    layers = {"pi": [units] * 2, "qf": [critic_units] * 2}
    made = kind(
        "MlpPolicy",
        env,
        policy_kwargs={"net_arch": layers},
        learning_starts=2_000,
        batch_size=rows,
        buffer_size=2_000,
        device="cpu",
        seed=0,
    )
    if fused:
        hasten(made)
    made.learn(1_000)
    return made


@contextmanager
def optimisers_timed(algorithm: Any, seconds: list[float]) -> Iterator[None]:
    """Append what each call of an optimiser takes."""
    networks = algorithm.actor, algorithm.critic
    optimizers = [network.optimizer for network in networks] + [algorithm.ent_coef_optimizer]
    for optimizer in optimizers:

        def step(inner: Callable[[], Any] = optimizer.step) -> None:
            began = time.process_time()
            inner()
            seconds.append(time.process_time() - began)

        optimizer.step = step
    try:
        yield
    finally:
        for optimizer in optimizers:
            del optimizer.step


def step(algorithm: Any, rows: int) -> tuple[float, float]:
    """Return the seconds of one gradient step, and those of its optimisers."""
    optimisers: list[float] = []
    with optimisers_timed(algorithm, optimisers):
        began = time.process_time()
        algorithm.train(STEPS, rows)
        seconds = time.process_time() - began
    return seconds / STEPS, sum(optimisers) / STEPS


def timed(call: Callable[[], Any]) -> float:
    """Return the CPU seconds of a call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def measure(kind: type[Any], critic_units: int, fused: bool, turns: int) -> dict[str, float]:
    """Return one algorithm's figures: milliseconds of a step, and how many operations it has."""
    full = make(kind, ROWS, 256, critic_units, fused)
    tiny = make(kind, 2, 8, 8, fused)
    with Products() as products:
        full.train(STEPS, ROWS)
    square = torch.randn(2048, 2048)
    found: dict[str, list[float]] = {}
    for turn in range(turns + 1):
        whole, optimisers = step(full, ROWS)
        least, of_them = step(tiny, 2)
        again = sum(timed(call) for call in products.again) / STEPS
        peak = 2 * 2048**3 / timed(lambda: square @ square)
        row = {
            "step": whole,
            "products": again,
            "optimisers": optimisers,
            "operations": least - of_them,
            "limit": products.flops / STEPS / peak,
        }
        for name, seconds in row.items():
            if turn:  # the first one warms up
                found.setdefault(name, []).append(seconds * 1e3)
    best = {name: round(float(np.min(values)), 2) for name, values in found.items()}
    return best | {"count": round(products.operations / STEPS)}


def main() -> None:
    """Print a line of JSON for each algorithm, by its library and as it is taken here."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--turns", type=int, default=15)
    turns = parser.parse_args().turns
    torch.set_num_threads(1)
    for name, (kind, critic_units) in CASES.items():
        for fused in (False, True):
            figures = measure(kind, critic_units, fused, turns)
            print(json.dumps({"case": name, "fused": fused} | figures), flush=True)


if __name__ == "__main__":
    main()
