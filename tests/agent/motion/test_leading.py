"""Slow motions on a person's word: park and jog, by a running agent and without one."""

import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked import Forked

person = runpy.run_path(str(Path(__file__).parents[1] / "person.py"))
run = person["run"]
PARK = {"left": 0.1, "right": -0.05}


def commands(agent: Any) -> np.ndarray:
    """Return what the robot was sent: [n, 2] rad."""
    sent = [line.split()[2:] for line in agent.log() if " command " in line]
    return np.array(sent, np.float64)


def test_park_leads_there_slowly_and_smoothly(serve: Callable[..., Any]) -> None:
    agent = serve(park=PARK)
    assert run(agent.config, "park").stdout == "park: done\n"
    sent = commands(agent)
    np.testing.assert_allclose(sent[-1], [0.1, -0.05])
    speeds = np.abs(np.diff(sent, axis=0)) * 100  # it is commanded at 100 Hz, on a grid of 1e-3 rad
    assert speeds.max() <= 0.2 + 1e-9 and len(np.unique(sent[:, 0])) > 50
    assert agent.log()[-1].endswith(" stop")
    journal = (agent.folder / "journal" / "journal.log").read_text()
    assert re.search(r'"what":"park","operator":"\w+"', journal)


def test_jog_moves_one_joint_by_a_little_and_inside_the_envelope(
    serve: Callable[..., Any], helpers: Any
) -> None:
    joints = [
        {"name": name, "unit": "rad", "position": [-0.15, 0.15], "velocity": 2.0}
        | {"acceleration": 100.0, "jerk": 10_000.0}
        for name in ("left", "right")
    ]
    agent = serve(envelope={"joints": joints})
    assert run(agent.config, "jog", "right", "-0.1").returncode == 0
    np.testing.assert_allclose(commands(agent)[-1], [0.0, -0.1])
    moved = len(agent.log())
    for words, told in (
        (("rigth", "0.1"), "this robot's are left, right"),
        (("left", "0.5"), "up to 0.2 at a time"),
        (("left", "nan"), "argument DELTA"),
    ):
        done = run(agent.config, "jog", *words)
        assert done.returncode != 0 and told in done.stderr and "Traceback" not in done.stderr
    done = run(agent.config, "jog", "right", "-0.1")
    assert "right to -0.2 rad; it may be from -0.15 to 0.15" in done.stderr
    assert "no park pose" in run(agent.config, "park").stderr
    assert len(agent.log()) == moved
    helpers.end(agent.process)
    done = run(agent.config, "jog", "left", "0.01")  # without an agent; this driver starts at 0
    assert done.returncode == 0 and done.stdout.startswith("positions: 0.0100, 0.0000"), done


def test_nothing_is_led_while_a_rollout_runs_or_a_fault_is_latched(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve(park=PARK)
    client = agent.client()
    client.submit("run/r1", helpers.content(500), {"actions": np.zeros((500, 2))})
    assert client.wait(lambda s: s.jobs["run/r1"].stage == "state" and bool(agent.log()), 20)
    assert "a rollout is running" in run(agent.config, "park").stderr
    agent.robot("overload")
    helpers.finished(client, "run/r1")
    done = run(agent.config, "jog", "left", "0.1")
    assert done.returncode != 0 and "clear" in done.stderr
    assert not commands(agent)[:, 0].any()


def test_what_goes_wrong_on_the_way_stops_the_robot_and_stays_a_fault(
    serve: Callable[..., Any],
) -> None:
    agent = serve(park=PARK)
    with Forked("robo_al_agent.cli", "park", agent.config) as process:
        while not commands(agent)[:, 0].max() > 0.01:
            assert process.poll() is None
        agent.robot("overload")
        _, said = process.communicate(timeout=60)
    assert process.returncode != 0 and "told so" in said
    assert agent.operator("status").fields["fault"]["code"] == "overload"
    assert agent.log()[-1].endswith(" stop") and commands(agent)[-1][0] < 0.1


def test_an_abort_stops_it_and_is_no_fault(serve: Callable[..., Any]) -> None:
    agent = serve(park=PARK)
    with Forked("robo_al_agent.cli", "park", agent.config) as process:
        while not commands(agent)[:, 0].max() > 0.01:
            assert process.poll() is None
        agent.operator("abort")
        _, said = process.communicate(timeout=60)
    assert process.returncode != 0 and "a person stopped it" in said
    assert agent.operator("status").fields["fault"] is None
    assert commands(agent)[-1][0] < 0.1


def test_a_pose_that_is_none_is_refused_at_the_start(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve()
    helpers.end(agent.process)
    for park, told in (
        ("{left: 0.0}", "park.right: missing"),
        ("{left: 0.0, right: 0.0, rigth: 0.0}", "park.rigth: the robot has no such joint"),
        ("{left: 0.95, right: 0.0}", "park.left: 0.95 is not from -0.9 to 0.9"),
    ):
        config = agent.folder / "other.yaml"
        config.write_text(f"{agent.config.read_text()}\npark: {park}\n")
        for command in ("serve", "park"):
            done = run(config, command)
            assert done.returncode == 2 and told in done.stderr, done
            assert "Traceback" not in done.stderr


def test_release_says_what_falls_and_offers_to_park(serve: Callable[..., Any]) -> None:
    agent = serve(park=PARK)
    done = run(agent.config, "release")
    assert done.returncode == 0
    assert "left at 0 rad, right at 0 rad" in done.stdout and "falls" in done.stdout
    assert "robo-al-agent park" in done.stdout
    assert agent.log()[-1].endswith("release")


@pytest.mark.proof
def test_who_comes_second_is_told_who_has_the_robot(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve(park=PARK)
    (child,) = (
        Path(f"/proc/{agent.process.pid}/task/{agent.process.pid}/children").read_text().split()
    )
    for command in ("check", "serve"):
        done = run(agent.config, command)
        assert done.returncode == 2 and f"process {child} (" in done.stderr, done
    helpers.end(agent.process)
    agent.robot("slow")  # so that a check takes its time
    words = [sys.executable, "-m", "robo_al_agent.cli", "check", str(agent.config)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("positions"):
            assert process.poll() is None
        for command in ("recover", "park", "check", "serve"):
            done = run(agent.config, command)
            assert done.returncode == 2 and "has the robot" in done.stderr, done
            assert f"process {process.pid} (" in done.stderr and " check " in done.stderr, done
        process.kill()
    agent.robot("")
    assert run(agent.config, "park").returncode == 0
