"""Drivers are held to their contract here, not to their speed: the machine may be busy."""

import pytest

from robo_al_agent.conformance import motion, readings, stopping


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    monkeypatch.setattr(readings, "SLOWEST", 100.0)
    monkeypatch.setattr(motion, "LATEST", 2.0)
    monkeypatch.setattr(stopping, "OLDEST", 2.0)
