"""Does an env keep what its capabilities promise?"""

from typing import Any

import numpy as np
import torch

from robo_al.checks.subject import Subject
from robo_al.errors import ConfigError, PluginError
from robo_al.protocols import SupportsContext, SupportsDynamics, SupportsReward
from robo_al.tasks import describe, sample_contexts
from robo_al.types import EnvSpec


def check_env(env: Any, spec: EnvSpec) -> None:
    """Check an env: its spaces, a few steps, and each capability against the steps.

    Raises:
        PluginError: naming the method and what was wrong with it.
    """
    subject = Subject(env.unwrapped)
    try:
        task = describe(env, spec)
    except ConfigError as error:
        raise PluginError(str(error)) from error
    rng = np.random.default_rng(0)
    with subject.trying("reset"):
        context = sample_contexts(env, [rng])[0]
        again, _ = env.reset(seed=context.seed)
        subject.array("the observation", again, (len(task.channels),))
        same = np.array_equal(np.asarray(again, dtype=np.float64), context.observation)
        subject.need(same, "the same seed starts at another observation")
    if isinstance(env.unwrapped, SupportsContext):
        with subject.trying("context"):
            asked, _ = env.reset(seed=context.seed + 1, options=dict(context.options))
            same = np.allclose(asked, context.observation, rtol=0, atol=1e-9)
            subject.need(same, "reset(options=context()) starts at another observation")
    dtype = env.action_space.dtype
    for _ in range(3):
        action = rng.uniform(task.action_low, task.action_high).astype(dtype)
        with subject.trying("step"):
            after, reward, terminated, _, _ = env.step(action)
            subject.array("the observation", after, (len(task.channels),))
            subject.need(np.ndim(reward) == 0 and np.isfinite(reward), f"a reward of {reward!r}")
        _check_formulas(subject, np.asarray(again), action, np.asarray(after), float(reward))
        again = after
        if terminated:
            break


def _check_formulas(subject: Subject, before: Any, action: Any, after: Any, reward: float) -> None:
    """Compare the known formulas with a step, for NumPy and torch and on batches."""
    formula: Any = subject.thing
    batch = [np.stack([x, x]).astype(np.float64) for x in (before, action, after)]
    tensors = [torch.as_tensor(x) for x in batch]
    if isinstance(subject.thing, SupportsDynamics):
        with subject.trying("dynamics"):
            subject.array("the next observations", formula.dynamics(*batch[:2]), batch[2].shape)
            subject.tensor("the next observations", formula.dynamics(*tensors[:2]), batch[2].shape)
            for given in (batch, tensors):
                close = np.allclose(np.asarray(formula.dynamics(*given[:2])), batch[2], atol=1e-5)
                subject.need(close, "differs from what step does")
    if isinstance(subject.thing, SupportsReward):
        with subject.trying("reward"):
            subject.array("the rewards", formula.reward(*batch), (2,))
            subject.tensor("the rewards", formula.reward(*tensors), (2,))
            for values in (batch, tensors):
                close = np.allclose(np.asarray(formula.reward(*values)), reward, atol=1e-5)
                subject.need(close, "differs from what step gives")
