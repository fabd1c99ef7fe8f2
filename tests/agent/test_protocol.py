"""The protocol keeps its promises in a simulated time, and the simulation finds broken ones."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

simulation = SimpleNamespace(
    **runpy.run_path(str(Path(__file__).with_name("protocol_simulation.py")))
)


@pytest.mark.first(1)
@pytest.mark.parametrize("histories", [range(30), range(30, 500)], ids=len)
def test_no_history_breaks_a_promise(histories: range) -> None:
    assert simulation.violations(histories) == []


@pytest.mark.first(1)
@pytest.mark.parametrize("broken", ["WithoutDeduplication", "WithoutMemory", "RunsAgain"], ids=str)
def test_a_broken_agent_is_found_out(broken: str) -> None:
    assert simulation.violations(range(80), getattr(simulation, broken))


def test_a_host_that_acknowledges_before_it_records_is_found_out() -> None:
    assert simulation.violations(range(5), hurried=True)
