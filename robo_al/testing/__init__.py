"""Fakes of every station, for tests: small, exact, and strict about what they are given.

`FakeEnv` is a task with every capability; `FakeModel` is Bayesian linear regression, so its
covariances are exact and can be checked by hand; `FakePolicy` proposes candidates in open or
closed loop; `FakeOracle` really executes them, and answers late, out of order or with failures.
"""

from robo_al.testing.acquisition import FakeAcquisition, FakeGain
from robo_al.testing.data import pool_of, random_imagined, random_transitions
from robo_al.testing.env import FAKE_ENV, FakeEnv, fake_task
from robo_al.testing.model import FakeModel
from robo_al.testing.oracle import FakeOracle
from robo_al.testing.policy import FakeActor, FakePolicy, resolver

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
    "pool_of",
    "random_imagined",
    "random_transitions",
    "resolver",
]
