"""Replies that are not the answer: both families, through the vendors' SDKs, on a pty."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from robo_al_agent.drivers.dynamixel import Dynamixel
from robo_al_agent.drivers.feetech import Feetech
from robo_al_agent.drivers.servo_bus import NoReply
from robo_al_agent.errors import DriverError

pytest.importorskip("scservo_sdk")
pytest.importorskip("dynamixel_sdk")

Emulator = runpy.run_path(str(Path(__file__).parents[2] / "emulators" / "process.py"))["Emulator"]
FAMILIES = {"feetech": Feetech, "dynamixel": Dynamixel}
TICK = 2 * np.pi / 4096
URGENT = """
import os, sys
from robo_al_agent.drivers.dynamixel import Dynamixel
from robo_al_agent.drivers.feetech import Feetech
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
motors = {f"joint{n}": {"id": n, "low": -1.9, "high": 1.9} for n in (1, 2, 3)}
driver = {"feetech": Feetech, "dynamixel": Dynamixel}[sys.argv[1]](sys.argv[2], motors)
driver.connect()
print(driver.read().positions.tolist())
driver.close()
"""


@pytest.fixture(params=FAMILIES)
def bus(request, tmp_path):
    started = Emulator(f"{request.param}_bus", tmp_path / request.param, "--motors", "1,2,3")
    started.family = FAMILIES[request.param]
    yield started
    started.close()


@pytest.fixture
def arm(bus):
    motors = {f"joint{n}": {"id": n, "low": -1.9, "high": 1.9} for n in (1, 2, 3)}
    driver = bus.family(bus.port, motors)
    driver.connect()
    yield driver
    driver.close()


def test_a_short_reply_is_a_fault_that_says_so(arm, bus):
    bus("shorten", 1)
    told = r"motor 1 answered with \d+ bytes .error 0., where \d+ of motor 1 were asked for"
    with pytest.raises(DriverError, match=told):
        arm.read()
    assert arm.fault().code == "no_reply"
    bus("shorten", 0)
    arm.clear_fault("Ann")
    assert arm.read().positions == pytest.approx(np.zeros(3))


def test_a_short_reply_now_and_then_does_not_matter(arm, bus):
    bus("shorten", 7)
    for _ in range(20):
        assert arm.read().positions == pytest.approx(np.zeros(3))
    assert arm.fault() is None


def test_a_short_reply_to_a_single_question(arm, bus):
    bus("shorten", 1)
    with pytest.raises(NoReply, match="motor 2 answered with"):
        arm._connected().settings(2)


def test_a_reply_of_another_motor_is_never_taken(arm, bus):
    bus("put", 2, 2500)
    bus("impersonate", 1)
    with pytest.raises(DriverError, match="motor 1"):
        arm.read()
    bus("impersonate", 5)
    for _ in range(10):
        assert arm.read().positions == pytest.approx([0.0, 452 * TICK, 0.0])


def test_a_write_that_another_motor_acknowledges_is_not_acknowledged(arm, bus):
    bus("impersonate", 1)
    with pytest.raises(NoReply, match="motor 2 answered .*, where 0 of motor 1 were asked for"):
        arm._connected().write(1, arm.family.torque.address, b"\1")


@pytest.mark.parametrize("seconds", [0.05, 0.2])
def test_a_late_reply_is_never_the_answer_to_another_question(arm, bus, seconds):
    """The late one is of the same motor, and was asked for elsewhere, or of where it was then."""
    line = arm._connected()
    for _ in range(8):
        bus("put", 1, 2048)
        bus("delay_next", seconds)
        try:
            line.read([1], 0, 22, [0.0])  # elsewhere, as long as a state is
        except NoReply:
            pass
        bus("put", 1, 2500)
        assert arm.read().positions[0] == pytest.approx(452 * TICK)


def test_what_comes_late_from_an_earlier_question_is_passed_over(arm, bus):
    bus("delay", 0.2)
    before = arm.read()
    bus("put", 1, 2500)
    after = arm.read()
    bus("delay", 0)
    assert before.positions[0] == 0.0 and after.positions[0] == pytest.approx(452 * TICK)
    assert arm.fault() is None


def test_who_waits_for_a_reply_lets_others_send_it(bus):
    """The control thread goes before others: where it only looked, the bus could not answer."""
    only = {min(os.sched_getaffinity(0))}
    os.sched_setaffinity(bus.process.pid, only)
    done = subprocess.run(
        [sys.executable, "-c", URGENT, bus.family.family.name, bus.port],
        preexec_fn=lambda: os.sched_setaffinity(0, only),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    if "PermissionError" in done.stderr:
        pytest.skip("only root may hurry a program so")
    assert done.returncode == 0 and done.stdout == "[0.0, 0.0, 0.0]\n", done
