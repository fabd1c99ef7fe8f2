"""Fakes of every station, for tests: small, exact, and strict about what they are given.

`FakeEnv` is a task with every capability; `FakeModel` is Bayesian linear regression, so its
covariances are exact and can be checked by hand; `FakePolicy` proposes open-loop or streamed
candidates; `FakeOracle` really executes them, and answers late, out of order or with failures.
"""

from robo_al.testing.acquisition import FakeAcquisition, FakeGain
from robo_al.testing.data import random_imagined, random_transitions
from robo_al.testing.env import FAKE_ENV, FakeEnv, fake_task
from robo_al.testing.model import FakeModel
from robo_al.testing.oracle import FakeOracle
from robo_al.testing.policy import FakeActor, FakePolicy

__all__ = [
    "FAKE_ENV",
    "FakeAcquisition",
    "FakeActor",
    "FakeEnv",
    "FakeGain",
    "FakeModel",
    "FakeOracle",
    "FakePolicy",
    "fake_task",
    "random_imagined",
    "random_transitions",
]
