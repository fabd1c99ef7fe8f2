"""Do an acquisition function and a selector keep their contracts?"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from robo_al.checks.subject import CheckReport, Subject, kind_of
from robo_al.protocols import CandidatePool, SupportsData, SupportsJoint
from robo_al.types import Exclusion, ImaginedRollouts, Selection, Task, Transitions


def check_acquisition(
    acquisition: Any,
    pool: CandidatePool,
    transitions: Transitions | None = None,
    policy: Any = None,
) -> CheckReport:
    """Check an acquisition function by scoring a pool, some of it as pending.

    Args:
        acquisition: the function.
        pool: of at least two candidates, imagined in a fitted model.
        transitions: recorded ones, for a function that looks at the record first.
        policy: that proposed the candidates, for the same.

    Returns:
        What was tried, and what was not.

    Raises:
        PluginError: naming the method and what was wrong with it.
    """
    subject = Subject(acquisition)
    if isinstance(acquisition, SupportsData) and transitions is not None:
        with subject.trying("observe", transitions=transitions):
            acquisition.observe(transitions, policy)
    pools = [replace(pool, pending=pending) for pending in (None, pool.imagined)]
    with subject.trying("__call__", pool=pool):
        for one in pools:
            scores = [acquisition(one, np.random.default_rng(0)) for _ in range(2)]
            subject.tensor("scores", scores[0], (len(pool),))
            subject.need(torch.equal(*scores), "two calls with equal generators score differently")
    if isinstance(acquisition, SupportsJoint):
        with subject.trying("joint", pool=pool):
            for one in pools:
                joint = acquisition.joint(one)
                before = joint.gains(range(len(pool))).tolist()
                subject.need(all(map(math.isfinite, before)), f"gains are not finite: {before}")
                joint.add(0)
                after = joint.gains(range(len(pool))).tolist()
                margin = 1e-3 * (1 + max(map(abs, before)))
                diminishing = getattr(joint, "diminishing", True)
                grown = [i for i, gain in enumerate(after) if gain > before[i] + margin]
                grown = grown if diminishing else []
                subject.need(not grown, f"gains of {grown} grew when candidate 0 was added")
    return subject.report("observe", "require")


def check_cost(cost: Any, imagined: ImaginedRollouts, task: Task) -> CheckReport:
    """Check a cost by predicting it for imagined rollouts, with and without risks.

    Returns:
        What was tried, and what was not.

    Raises:
        PluginError: naming the method and what was wrong with it.
    """
    subject = Subject(cost)
    none = torch.zeros(len(imagined), dtype=torch.float64)
    with subject.trying("__call__", imagined=imagined, risks=none):
        budget = getattr(cost, "budget", 0.0)
        subject.need(budget is None or budget > 0, f"budget is {budget}; seconds above 0, or None")
        for risks in (None, none):
            seconds = cost(imagined, task, risks)
            subject.tensor("seconds", seconds, (len(imagined),))
            subject.need(bool((seconds > 0).all()), "predicts seconds that are not above 0")
    return subject.report()


def check_selector(selector: Any, acquisition: Any, pool: CandidatePool) -> CheckReport:
    """Check a selector by picking two of a pool of at least three, one of them not eligible.

    Returns:
        What was tried, and what was not.

    Raises:
        PluginError: naming the method and what was wrong with it.
    """
    subject = Subject(selector)
    pool, k = pool.without({0: Exclusion("envelope", "the oracle would refuse it")}), 2
    with subject.trying("__call__", pool=pool):
        picks = [selector(acquisition, pool, k, np.random.default_rng(0)) for _ in range(2)]
        selection = picks[0]
        subject.need(isinstance(selection, Selection), f"returned {kind_of(selection)}")
        indices = selection.indices
        subject.need(len(indices) == k, f"{len(indices)} picks, not k = {k}")
        subject.need(len(set(indices)) == k, f"picked one twice: {indices}")
        inside = all(isinstance(i, int) and 0 <= i < len(pool) for i in indices)
        subject.need(inside, f"picked {indices} of {len(pool)} candidates")
        subject.need(0 not in indices, "picked candidate 0, which is not eligible")
        subject.need(len(selection.scores) == len(pool), "scores are not one a candidate")
        subject.need(len(selection.gains) == k, "gains are not one a pick")
        subject.need(indices == picks[1].indices, "two calls with equal generators pick otherwise")
    return subject.report("within", "require")
