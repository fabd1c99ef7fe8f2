"""A robot whose driver misbehaves as it is told: a driver for tests, by the path of this file.

The robot itself is a file, `robot.json`: where its two joints were last sent, and how fast they go
there. So it goes on moving whatever becomes of a process, and every process sees the same one. What
was done to it, and by which process, is in `log`. `misbehaviour.json` maps a method of the driver
to what it does from now on:

    raise       raises what no contract knows of
    exit        ends the interpreter, as vendors' libraries do
    hang        never returns
    hold        never returns, and holds Python's interpreter lock
    slow S      takes S seconds more
    print       prints a lot, without a newline
    stale       (read) returns the last reading again
    old         (read) returns readings that are new by their number, and old by their time
    nan         (read) returns numbers that are none
    drop        (command) returns as if it had sent, and sends nothing
    gone        (any) the port is gone: raises until it is back and `connect` was called
    silent      (safe_stop) returns as if it had stopped, and does nothing
"""

import ctypes
import json
import os
import time
from pathlib import Path

import numpy as np

from robo_al_agent.robot import Ended, Fault, Joint, RobotSpec, Sample


def text(path):
    """Return what a file says, nothing where there is none: it may be taken away at any time."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


class Misbehaving:
    """Two joints that go evenly to where they are sent."""

    def __init__(self, folder, limit=1.0, stop_seconds=1.0):
        self.folder = Path(folder)
        self.limit = limit
        self.stop_seconds = stop_seconds
        self.sequence = 0
        self.last = None
        self.lost = False

    def describe(self):
        joints = tuple(Joint(n, -self.limit, self.limit, velocity=3.0) for n in ("left", "right"))
        return RobotSpec(
            "misbehaving",
            joints,
            20.0,
            "none",
            None,
            self.stop_seconds,
            call_seconds=0.6,
            connect_seconds=2.0,
        )

    def connect(self):
        self.lost = False
        self.behave("connect")
        self.sequence = 0

    def read(self):
        now = time.monotonic_ns()
        how = self.behave("read")
        if how == "stale" and self.last is not None:
            return self.last
        positions, velocities = self.now()
        self.sequence += 1
        if how == "old":
            now -= 10**9
        if how == "nan":
            positions[0] = np.nan
        self.last = Sample(now, self.sequence, positions, velocities, np.zeros(2), np.zeros(0))
        return self.last

    def command(self, target, seconds):
        if self.behave("command") != "drop":
            self.send(np.clip(target, -self.limit, self.limit), seconds, "command")
        return target

    def safe_stop(self):
        if self.behave("safe_stop") != "silent":
            self.send(self.now()[0], 0.01, "stop")

    def release(self):
        self.behave("release")

    def fault(self):
        self.behave("fault")
        code = text(self.folder / "fault")
        return Fault(code, "the robot says so") if code else None

    def clear_fault(self, operator):
        self.behave("clear_fault")

    def close(self):
        self.behave("close")

    # ---------------------------------------------------------------- the robot

    def now(self):
        """Return positions and velocities as they really are."""
        robot = json.loads(text(self.folder / "robot.json") or '{"from": [0, 0], "to": [0, 0]}')
        start, end = np.array(robot["from"], float), np.array(robot["to"], float)
        share = (time.monotonic() - robot.get("at", 0)) / robot.get("seconds", 1)
        if share >= 1:
            return end, np.zeros(2)
        return start + share * (end - start), (end - start) / robot["seconds"]

    def send(self, target, seconds, what):
        robot = {"from": self.now()[0].tolist(), "to": list(map(float, target))}
        robot |= {"at": time.monotonic(), "seconds": max(seconds, 0.001)}
        temporary = self.folder / f"robot.{os.getpid()}"
        temporary.write_text(json.dumps(robot))
        temporary.replace(self.folder / "robot.json")
        entry = {"what": what, "to": robot["to"], "at": time.monotonic(), "process": os.getpid()}
        with (self.folder / "log").open("a") as file:
            file.write(json.dumps(entry) + "\n")

    # ---------------------------------------------------------------- the misbehaviour

    def behave(self, method):
        told = json.loads(text(self.folder / "misbehaviour.json") or "{}")
        how, *numbers = told.get(method, "").split() or [""]
        if how == "gone" or (self.lost and method != "connect"):
            self.lost = True
            raise OSError(5, "Input/output error: the port is gone")
        if how == "raise":
            raise KeyError("what no contract knows of")
        if how == "exit":
            raise SystemExit(3)
        if how == "hang":
            time.sleep(10**6)
        if how == "hold":
            ctypes.PyDLL(None).sleep(10**6)
        if how == "slow":
            time.sleep(float(numbers[0]))
        if how == "print":
            print("ready? " * 200, end="", flush=True)
            os.write(1, b"a vendor's library speaks\n")
        return how


class MisbehavingController(Misbehaving):
    """The same robot, whose controller takes whole trajectories."""

    cancelled = False

    def execute(self, trajectory, tolerance, on_sample):
        self.behave("send")  # the trajectory; meanwhile there is nothing to cancel
        self.cancelled = False
        began, planned = time.monotonic(), float(trajectory.seconds[-1])
        while (passed := time.monotonic() - began) < planned and not self.cancelled:
            self.behave("execute")
            k = int(np.searchsorted(trajectory.seconds, passed, side="right"))
            if k < len(trajectory.seconds):
                self.send(trajectory.positions[k], 0.01, "execute")
            on_sample(self.read())
            time.sleep(0.01)
        if self.cancelled:
            return Ended("ABORTED_OPERATOR", "cancelled", min(1.0, passed / planned))
        return Ended("SUCCEEDED", "", 1.0)

    def cancel(self):
        self.behave("cancel")
        self.cancelled = True


class Recovering(Misbehaving):
    """The same robot, whose joints can be led back into their limits."""

    def recover(self, target, seconds):
        if self.behave("recover") != "drop":
            self.send(target, seconds, "recover")
        return target


class Led(Misbehaving):
    """The same robot, which a person can lead by hand: what the hand does is in robot.json."""

    def begin_leading(self):
        self.behave("begin_leading")
        self.led("begin_leading")

    def end_leading(self):
        self.behave("end_leading")
        self.led("end_leading")

    def led(self, what):
        with (self.folder / "log").open("a") as file:
            file.write(json.dumps({"what": what, "process": os.getpid()}) + "\n")
