"""One step of model-predictive control: at PETS' budget beside mbrl-lib's planner, and at ours.

PETS' budget is 400 samples x 5 iterations, horizon 25, each sample in five members of three layers
of 500. Ours is the default of `icem` and of `ensemble`, which also plans on all members' mean;
most candidates of a campaign plan in one member. Campaigns let torch use one thread, so that
results do not depend on the number of cores.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from measure import CORES, PEAK, Result, device, fraction_of_peak, multiplications
from models import ensemble, mbrl_env, mbrl_returns, peak, task_and_transitions

from robo_al.protocols import Model
from robo_al.types import MEAN, Task
from robo_al_policies.icem import ICEM

MEMBERS = 5
OURS, MBRL = "robo-al icem", "mbrl-lib CEMOptimizer"
ALONE = f"{OURS}, one thread"
MEMBER = f"{ALONE}, in one member"

Run = Callable[[], object]


def step(
    policy: ICEM, model: Model, observation: np.ndarray, threads: int, member: int = MEAN
) -> Run:
    """Return one replanning, the planner warm."""
    actor = policy.start(model, [member], [0])

    def act() -> None:
        torch.set_num_threads(threads)
        actor.act(observation[None])
        torch.set_num_threads(CORES)

    return act


def theirs(
    task: Task, widths: tuple[int, ...], observation: np.ndarray, policy: ICEM, place: str
) -> Run:
    """Return one plan of mbrl-lib at the same budget: a particle in each member.

    Raises:
        ImportError: mbrl-lib is not installed.
    """
    from mbrl.planning import CEMOptimizer

    horizon = policy.planning_horizon
    low, high = (np.tile(a, (horizon, 1)).tolist() for a in (task.action_low, task.action_high))
    planner = CEMOptimizer(policy.iterations, 0.1, policy.samples, low, high, 0.1, place)
    imagined = mbrl_returns(mbrl_env(task, widths, MEMBERS, place), observation, horizon)

    def value(plans: torch.Tensor) -> torch.Tensor:
        return imagined(plans.repeat(MEMBERS, 1, 1)).reshape(MEMBERS, -1).mean(0)

    start = torch.zeros(horizon, len(task.action_low), device=place)
    return partial(planner.optimize, value, start)


def run(quick: bool) -> Result:
    """Measure both budgets."""
    result, place = Result(), device()
    task, data = task_and_transitions()
    observation = data.observations[0]
    samples, repeats = (40, 1) if quick else (400, 3)
    policy = ICEM(task, place, 25, samples, 5, elites=samples // 10, decay=1.0)
    model = ensemble(task, data, place, members=MEMBERS, hidden=500, layers=3)
    runs = {PEAK: peak(place), OURS: step(policy, model, observation, CORES)}
    try:
        runs[MBRL] = theirs(task, model.widths, observation, policy, place)
    except ImportError as error:
        result.note(f"{MBRL}: not measured, because {error}")
    case = f"PETS' budget: {samples} x 5, horizon 25, {MEMBERS} x 3 x 500"
    best = result.time(case, runs, repeats)
    operations = 2 * samples * 5 * 25 * MEMBERS * multiplications(model.widths)
    share = fraction_of_peak(operations, best[OURS], best[PEAK])
    result.find(case, "of GEMM peak", share, "", "0.6")
    if MBRL in best:
        result.find(case, "x mbrl-lib", best[MBRL] / best[OURS], "", "1.5")
    policy, model = ICEM(task, place), ensemble(task, data, place)
    case = "our budget: 100 x 4, horizon 20, 5 x 3 x 128"
    runs = {OURS: step(policy, model, observation, CORES)}
    runs[ALONE] = step(policy, model, observation, 1)
    runs[MEMBER] = step(policy, model, observation, 1, member=0)
    best = result.time(case, runs, 2 if quick else 20)
    result.find(case, f"seconds, {CORES} threads", best[OURS], "0.05", "0.06")
    result.find(case, "seconds, one thread", best[ALONE], "0.05", "0.08")
    return result
