"""Limits that are watched while a robot moves, and what is refused at the start: a real agent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from forked import finished


def test_a_measured_velocity_beyond_its_limit_stops_the_robot(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve()
    client = agent.client()
    client.submit("run/r1", helpers.content(500), {"actions": np.zeros((500, 2))})
    assert client.wait(lambda s: s.jobs["run/r1"].stage != "done" and bool(agent.log()), 20)
    agent.robot("fast")
    state = helpers.finished(client, "run/r1").state.fields
    assert state["kind"] == "ABORTED_SAFETY"
    assert "joint left" in state["reason"] and "velocity 8, limit 3.2" in state["reason"]
    assert any(line.endswith(" stop") for line in agent.log())


def test_no_rollout_commands_faster_than_the_device_declares(
    serve: Callable[..., Any], helpers: Any, tmp_path: Path
) -> None:
    files = {which: str(tmp_path / which) for which in ("faults", "log")}
    # It declares 10 Hz, and is measured to be faster, on a slow machine as well.
    agent = serve(driver={"name": f"{helpers.ROBOTS}:Slow", **files})
    client = agent.client()
    client.submit("run/r1", helpers.content(period=0.05), helpers.ramp())
    refused = str(helpers.finished(client, "run/r1").refused)
    assert "0.1000 s apart at least" in refused and "declares 10 Hz" in refused
    client.submit("run/r2", helpers.content(period=0.4, substeps=8), helpers.ramp())
    assert "0.1000 s apart at least" in str(helpers.finished(client, "run/r2").refused)
    client.submit("run/r3", helpers.content(period=0.1), helpers.ramp())
    assert helpers.finished(client, "run/r3").state.fields["kind"] == "SUCCEEDED"


def test_an_effort_limit_that_nothing_could_hold_to_is_refused_at_the_start(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve()
    helpers.end(agent.process)
    path = agent.folder / "envelope.yaml"
    limits = yaml.safe_load(path.read_text())
    limits["joints"][1]["effort"] = 1.0
    path.write_text(yaml.safe_dump(limits))
    for command in ("serve", "check"):
        done = finished("robo_al_agent.cli", command, agent.config)
        assert done.returncode != 0
        assert "joints.right.effort: its driver measures none" in done.stderr
        assert "leave this entry out" in done.stderr and "Traceback" not in done.stderr
