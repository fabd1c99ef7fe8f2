"""Does a model keep its contract?"""

import math
from typing import Any

import numpy as np
import torch

from robo_al.checks.subject import CheckReport, Subject, kind_of
from robo_al.protocols import SupportsCovariance, SupportsState
from robo_al.types import MEAN, FitReport, Prediction, Task, Transitions


def check_model(model: Any, task: Task, transitions: Transitions) -> CheckReport:
    """Check a model by fitting it to a few transitions and asking for predictions.

    Returns:
        What was tried, and what was not.

    Raises:
        PluginError: naming the method and what was wrong with it.
    """
    subject = Subject(model)
    with subject.trying("fit", transitions=transitions):
        report = model.fit(transitions, np.random.default_rng(0))
        subject.need(isinstance(report, FitReport), f"returned {kind_of(report)}; a FitReport")
        subject.need(math.isfinite(report.loss), f"a loss of {report.loss}")
    with subject.trying("members"):
        valid = isinstance(model.members, int) and model.members > 0
        subject.need(valid, f"is {model.members!r}; a positive integer")
    rows = transitions.of_rollouts(np.arange(len(transitions)) < 6)
    inputs = (
        torch.as_tensor(rows.observations, dtype=torch.float32),
        torch.as_tensor(rows.actions, dtype=torch.float32),
    )
    given = {"observations": inputs[0], "actions": inputs[1]}
    with subject.trying("predict", **given):
        for lead in ((), (1, 2)):  # any number of leading axes
            o, a = (x.expand(*lead, *x.shape) for x in inputs)
            _check_prediction(subject, model.predict(o, a), task, o)
        one, other = model.predict(*inputs), model.predict(*inputs)
        subject.need(torch.equal(one.mean, other.mean), "two calls predict differently")
    with subject.trying("step", **given):
        _check_step(subject, task, *inputs)
    if isinstance(model, SupportsCovariance):
        with subject.trying("covariance", **given):
            _check_covariance(subject, *inputs)
    if isinstance(model, SupportsState):
        with subject.trying("load_state_dict"):
            model.load_state_dict({k: v.clone() for k, v in model.state_dict().items()})
            same = torch.allclose(one.mean, subject.thing.predict(*inputs).mean, atol=1e-5)
            subject.need(same, "predicts differently after its own state_dict was loaded")
    return subject.report("features", "feature_posterior", "mixture")


def _check_prediction(
    subject: Subject, prediction: Any, task: Task, observations: "torch.Tensor"
) -> None:
    subject.need(isinstance(prediction, Prediction), f"returned {kind_of(prediction)}")
    for name in ("mean", "epistemic", "aleatoric"):
        subject.tensor(name, getattr(prediction, name), observations.shape)
    subject.need(bool((prediction.epistemic >= 0).all()), "epistemic is negative")
    subject.need(bool((prediction.aleatoric > 0).all()), "aleatoric is not positive")
    if task.reward is None:
        subject.tensor("reward", prediction.reward, observations.shape[:-1])


def _check_step(
    subject: Subject, task: Task, observations: "torch.Tensor", actions: "torch.Tensor"
) -> None:
    model = subject.thing
    members = torch.tensor([MEAN, 0, model.members - 1])
    o, a = (x.expand(len(members), *x.shape) for x in (observations, actions))
    following, reward = model.step(o, a, members)
    subject.tensor("the next observations", following, o.shape)
    if task.reward is None:
        subject.tensor("the rewards", reward, o.shape[:-1])
    again, _ = model.step(o, a, members)
    subject.need(torch.equal(following, again), "two calls with the same members differ")
    alone, _ = model.step(o[1:2], a[1:2], members[1:2])
    same = torch.allclose(alone[0], following[1], atol=1e-4, rtol=1e-4)
    subject.need(same, "member 0 alone steps otherwise than among the others")


def _check_covariance(
    subject: Subject, observations: "torch.Tensor", actions: "torch.Tensor"
) -> None:
    model, rows = subject.thing, len(observations)
    part = (observations[:2], actions[:2])
    whole = (observations, actions)
    block = model.covariance(whole, whole)
    subject.need(isinstance(block, torch.Tensor), f"returned {kind_of(block)}; a torch.Tensor")
    subject.tensor("the covariance", block, (len(block), rows, rows))
    cross = model.covariance(part, whole)
    subject.tensor("the covariance", cross, (len(block), 2, rows))
    scale = float(block.abs().max()) + 1e-6
    same = torch.allclose(cross, block[:, :2], atol=1e-3 * scale)
    subject.need(same, "a part of the rows has another covariance than within the whole")
    symmetric = torch.allclose(block, block.transpose(-1, -2), atol=1e-3 * scale)
    subject.need(symmetric, "the covariance of a batch with itself is not symmetric")
    lowest = float(torch.linalg.eigvalsh(block.double()).min())
    subject.need(lowest > -1e-3 * scale, f"not positive semi-definite: eigenvalue {lowest:.2g}")
