"""Imagination, N 2,000 x E 5 x T 30, beside mbrl-lib's and beside the peak of matrix products.

Open-loop candidates in five members of four layers of 200, on HalfCheetah with a learned reward.
Operations are of the products alone.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from measure import PEAK, Result, device, fraction_of_peak, multiplications
from models import ensemble, mbrl_env, mbrl_returns, peak, task_and_transitions

from robo_al.models.imagination import imagine
from robo_al.types import Candidate, Context, OpenLoop

MEMBERS, HIDDEN, LAYERS = 5, 200, 4
OURS, MBRL = "robo-al imagine", "mbrl-lib ModelEnv"


def run(quick: bool) -> Result:
    """Measure one pool of candidates."""
    result, place = Result(), device()
    n, steps, repeats = (200, 5, 1) if quick else (2000, 30, 4)
    task, data = task_and_transitions()
    model = ensemble(task, data, place, members=MEMBERS, hidden=HIDDEN, layers=LAYERS)
    start = Context(data.observations[0], 0)
    draw, low, high = np.random.default_rng(0), task.action_low, task.action_high
    candidates = [
        Candidate(start, OpenLoop(draw.uniform(low, high, (steps, len(low)))), steps, i)
        for i in range(n)
    ]
    runs: dict[str, Callable[[], object]] = {
        PEAK: peak(place),
        OURS: partial(imagine, candidates, model, task, range(MEMBERS), device=place),
    }
    try:
        env = mbrl_env(task, model.widths, MEMBERS, place)
        actions = np.stack([c.controller.actions for c in candidates] * MEMBERS)
        tensor = torch.as_tensor(actions, dtype=torch.float32, device=place)
        runs[MBRL] = partial(mbrl_returns(env, start.observation, steps), tensor)
    except ImportError as error:
        result.note(f"{MBRL}: not measured, because {error}")
    case = f"N {n} x E {MEMBERS} x T {steps}, {LAYERS} x {HIDDEN}"
    best = result.time(case, runs, repeats)
    operations = 2 * n * MEMBERS * steps * multiplications(model.widths)
    share = fraction_of_peak(operations, best[OURS], best[PEAK])
    result.find(case, "of GEMM peak", share, "0.6", "0.4")
    if MBRL in best:
        result.find(case, "x mbrl-lib", best[MBRL] / best[OURS], "", "1.5")
    return result
