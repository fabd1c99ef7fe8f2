"""Who has a device: processes of their own, and a serial port that is a pty."""

import fcntl
import os
import pty
import struct
import subprocess
import sys

import pytest

from robo_al_agent.devices.ownership import Claim, claim_port, keep_others_out
from robo_al_agent.errors import DriverError

TIOCGEXCL = 0x80045440
"""Whether a terminal is exclusive: <asm-generic/ioctls.h>."""
HOLD = """
import sys
from robo_al_agent.devices.ownership import Claim
claim = Claim(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""
OPEN = """
import os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run():
    """Start a program, and return it once it has what it wants."""
    started = []

    def start(program, *arguments):
        one = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(one)
        assert one.stdout.readline()
        return one

    yield start
    for one in started:
        one.kill()
        one.wait()
        one.stdin.close()
        one.stdout.close()


@pytest.fixture
def port():
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    os.close(slave)
    yield name
    os.close(master)


def test_the_second_is_told_who_the_first_is(run):
    first = run(HOLD, "a device of a test")
    for _ in range(200):  # asking wears nothing out
        with pytest.raises(DriverError, match=rf"is in use by process {first.pid} \(.*python"):
            Claim("a device of a test")
    Claim("another device").close()
    first.kill()
    first.wait()
    Claim("a device of a test").close()


def test_long_names_of_two_devices_are_two():
    first = Claim(f"mujoco twin /{'folder/' * 20}one.sock")
    Claim(f"mujoco twin /{'folder/' * 20}two.sock").close()
    with pytest.raises(DriverError, match="one.sock is in use by this very process"):
        Claim(f"mujoco twin /{'folder/' * 20}one.sock", "one.sock")
    first.close()


def test_within_one_process_too():
    claim = Claim("a device of a test")
    with pytest.raises(DriverError, match=f"is in use by this very process .{os.getpid()}."):
        Claim("a device of a test")
    claim.close()
    claim.close()
    Claim("a device of a test").close()


def test_a_port_that_any_program_has_open(run, port):
    other = run(OPEN, port)
    with pytest.raises(DriverError, match=rf"port {port} is in use by process {other.pid} \(.*os"):
        claim_port(port)
    other.kill()
    other.wait()
    claim_port(port).close()


def test_a_port_by_another_of_its_names(port, tmp_path):
    link = tmp_path / "arm"
    link.symlink_to(port)
    claim = claim_port(port)
    with pytest.raises(DriverError, match="in use by this very process"):
        claim_port(str(link))
    claim.close()


def test_an_open_port_is_exclusive(port):
    descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY)
    keep_others_out(descriptor)
    asked = fcntl.ioctl(descriptor, TIOCGEXCL, struct.pack("i", 0))
    assert struct.unpack("i", asked) == (1,)
    other = os.open(port, os.O_RDWR | os.O_NOCTTY)  # the superuser of this test may
    with pytest.raises(DriverError, match="cannot be had alone"):
        keep_others_out(other)
    os.close(other)
    os.close(descriptor)


@pytest.mark.parametrize("wrong", ["/dev/no-such-port", "/etc/hostname"])
def test_what_is_no_port(wrong):
    with pytest.raises(DriverError, match="robo-al-agent find"):
        claim_port(wrong)
