"""Do an acquisition function and a selector keep their contracts?"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from robo_al.checks.subject import CheckReport, Subject, kind_of
from robo_al.protocols import SupportsData, SupportsJoint
from robo_al.types import ImaginedRollouts, Selection, Task, Transitions


def check_acquisition(
    acquisition: Any,
    imagined: ImaginedRollouts,
    model: Any,
    transitions: Transitions | None = None,
    policy: Any = None,
) -> CheckReport:
    """Check an acquisition function by scoring imagined rollouts, some of them as pending.

    Args:
        acquisition: the function.
        imagined: of at least two candidates.
        model: a fitted one, in which they were imagined.
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
    with subject.trying("__call__", imagined=imagined):
        for pending in (None, imagined):
            scores = [
                acquisition(imagined, model, pending, np.random.default_rng(0)) for _ in range(2)
            ]
            subject.tensor("scores", scores[0], (len(imagined),))
            subject.need(torch.equal(*scores), "two calls with equal generators score differently")
    if isinstance(acquisition, SupportsJoint):
        with subject.trying("joint", imagined=imagined):
            for pending in (None, imagined):
                joint = acquisition.joint(imagined, model, pending)
                before = joint.gains(range(len(imagined))).tolist()
                subject.need(all(map(math.isfinite, before)), f"gains are not finite: {before}")
                joint.add(0)
                after = joint.gains(range(len(imagined))).tolist()
                margin = 1e-3 * (1 + max(map(abs, before)))
                shrinking = getattr(joint, "shrinking", True)
                grown = [i for i, gain in enumerate(after) if gain > before[i] + margin]
                grown = grown if shrinking else []
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


def check_selector(
    selector: Any, acquisition: Any, imagined: ImaginedRollouts, model: Any
) -> CheckReport:
    """Check a selector by picking two of at least three imagined rollouts, one not finite.

    Returns:
        What was tried, and what was not.

    Raises:
        PluginError: naming the method and what was wrong with it.
    """
    subject = Subject(selector)
    finite = imagined.finite.clone()
    finite[0] = False
    imagined, k = replace(imagined, finite=finite), 2
    with subject.trying("__call__", imagined=imagined):
        picks = [
            selector(acquisition, imagined, model, None, k, np.random.default_rng(0))
            for _ in range(2)
        ]
        selection = picks[0]
        subject.need(isinstance(selection, Selection), f"returned {kind_of(selection)}")
        indices = selection.indices
        subject.need(len(indices) == k, f"{len(indices)} picks, not k = {k}")
        subject.need(len(set(indices)) == k, f"picked one twice: {indices}")
        inside = all(isinstance(i, int) and 0 <= i < len(imagined) for i in indices)
        subject.need(inside, f"picked {indices} of {len(imagined)} candidates")
        subject.need(0 not in indices, "picked candidate 0, which is not finite")
        subject.need(len(selection.scores) == len(imagined), "scores are not one a candidate")
        subject.need(len(selection.gains) == k, "gains are not one a pick")
        subject.need(indices == picks[1].indices, "two calls with equal generators pick otherwise")
    return subject.report("within", "require")
