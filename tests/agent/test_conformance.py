import json
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from robo_al_agent.conformance import (
    ConformanceError,
    check_driver,
    contact,
    motion,
    readings,
    stopping,
)
from robo_al_agent.devices.ownership import Claim
from robo_al_agent.errors import DriverError
from robo_al_agent.robot import Ended, Fault, Joint, RobotSpec, Sample, Sensor

SPEC = RobotSpec(
    name="arm in memory",
    joints=(Joint("shoulder", -1.0, 1.0, velocity=2.0), Joint("elbow", 0.0, 2.0, velocity=2.0)),
    rate=100.0,
    watchdog="none",
    watchdog_seconds=None,
    stop_seconds=0.1,
    sensors=(Sensor("force", "N"),),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(motion, "RAMP", 0.2)
    monkeypatch.setattr(motion, "SETTLE", 0.5)
    monkeypatch.setattr(motion, "PLANNED", 0.5)
    monkeypatch.setattr(stopping, "LEAP", 0.3)
    # a machine that is busy with other tests is slower than any rate here
    monkeypatch.setattr(readings, "SLOWEST", 4.0)
    monkeypatch.setattr(contact, "PATIENCE", 0.5)


class Arm:
    """Joints that go towards their goal with 2 rad/s, in real time."""

    spec = SPEC
    speed = 2.0

    def __init__(self):
        self.positions = np.array([0.2, 0.4])
        self.goal = self.positions.copy()
        self.when = 0.0
        self.sequence = 0
        self.connected = False

    def describe(self):
        return self.spec

    def connect(self):
        self.connected = True
        self.when = time.monotonic()

    def advance(self):
        if not self.connected:
            raise DriverError("not connected")
        now = time.monotonic()
        most = self.speed * (now - self.when)
        self.when = now
        self.positions = self.positions + np.clip(self.goal - self.positions, -most, most)

    def read(self):
        self.advance()
        self.sequence += 1
        left = self.goal - self.positions
        return Sample(
            time_ns=time.monotonic_ns(),
            sequence=self.sequence,
            positions=self.positions.copy(),
            velocities=np.where(np.abs(left) > 1e-9, self.speed * np.sign(left), 0.0),
            efforts=np.zeros(2),
            sensors=np.array([9.81]),
        )

    def command(self, target, seconds):
        self.advance()
        self.goal = np.round(target, 3)
        return self.goal.copy()

    def safe_stop(self):
        self.advance()
        self.goal = self.positions.copy()

    def release(self):
        pass

    def fault(self):
        return None

    def clear_fault(self, operator):
        pass

    def close(self):
        self.connected = False


def test_a_good_driver_passes_and_is_closed():
    arm = Arm()
    report = check_driver(arm, move=True, cycles=20)
    assert report.moved and report.cycles == 20 and not arm.connected
    assert 0 < report.cycle_p50 <= report.cycle_p99
    assert "2 joints, 100 Hz" in str(report) and "no watchdog" in str(report)


def test_without_move_nothing_moves():
    arm = Arm()
    report = check_driver(arm, cycles=5)
    np.testing.assert_allclose(arm.positions, [0.2, 0.4], atol=1e-12)
    assert "not tried: anything that moves" in str(report)


def test_an_action_is_never_sent_to_a_device_that_only_it_understands():
    class Torques(Arm):
        spec = replace(
            SPEC, command="action", joints=tuple(replace(j, unit="1") for j in SPEC.joints)
        )

        def command(self, target, seconds):
            assert not self.connected, "a command was sent"
            raise DriverError("not connected")

    check_driver(Torques(), move=True, cycles=5)


def test_a_driver_that_fails_is_stopped_and_closed():
    class Failing(Arm):
        stopped = False

        def command(self, target, seconds):
            raise OSError("cable pulled")

        def safe_stop(self):
            self.stopped = True

    arm = Failing()
    with pytest.raises(ConformanceError, match=r"Failing.command: raised OSError: cable pulled"):
        check_driver(arm, cycles=5)
    assert arm.stopped and not arm.connected


def described(**changes):
    class Described(Arm):
        spec = replace(SPEC, **changes)

    return Described()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joints": ()}, "no joints"),
        ({"joints": (SPEC.joints[0],) * 2}, "joints of the same name"),
        ({"joints": (Joint("a", 1.0, -1.0),)}, "joint a: low 1.0 is not below high -1.0"),
        ({"joints": (Joint("a", -1.0, float("inf")),)}, "joint a: limits .* are not finite"),
        ({"joints": (Joint("a", -90, 90, unit="deg"),)}, "unit 'deg'; one of rad, m, %, 1"),
        (
            {"joints": (Joint("a", -90.0, 90.0),)},
            "limits .-90, 90. rad go beyond .*: are they degrees",
        ),
        ({"joints": (Joint("a", -1.0, 1.0, velocity=120.0),)}, "is it degrees per second"),
        ({"joints": (Joint("a", 0.0, 850.0, unit="m"),)}, "are they millimetres"),
        ({"rate": 0.0}, "rate is 0.0; finite and above 0"),
        ({"rate": 1e5}, "rate is 100000 Hz; give the commands a second that the device is made"),
        ({"stop_seconds": float("nan")}, "stop_seconds is nan"),
        ({"watchdog": "hardware"}, "watchdog 'hardware'; one of controller, device, none"),
        ({"watchdog": "device"}, "watchdog 'device' with watchdog_seconds None"),
        ({"watchdog_seconds": 0.5}, "watchdog 'none' with watchdog_seconds 0.5"),
    ],
)
def test_a_description_that_is_wrong(changes, message):
    with pytest.raises(ConformanceError, match=rf"Described.describe: .*{message}"):
        check_driver(described(**changes))


def refusal(driver, move=False):
    with pytest.raises(ConformanceError) as caught:
        check_driver(driver, move=move, cycles=5)
    return str(caught.value)


def test_a_method_that_is_missing():
    class Without(Arm):
        release = None

    assert refusal(Without()).endswith("Without.release: there is no such method")


def test_a_description_that_changes():
    class Moody(Arm):
        def describe(self):
            self.sequence += 1
            return replace(SPEC, name=str(self.sequence))

    assert "Moody.describe: says something else" in refusal(Moody())


def test_a_fault_before_anything_was_done():
    class Faulty(Arm):
        def fault(self):
            return Fault("overload", "elbow")

    assert "Faulty.fault: says overload: clear it first" in refusal(Faulty())


def reading(**changes):
    class Reading(Arm):
        def read(self):
            sample = super().read()
            return replace(sample, **{name: change(sample) for name, change in changes.items()})

    return Reading()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time_ns": lambda s: time.time_ns()}, "time.monotonic_ns"),
        ({"time_ns": lambda s: s.time_ns - 10**10}, "before now"),
        ({"time_ns": lambda s: s.time_ns - 2 * 10**8}, "time_ns is 0.2 s before now"),
        ({"time_ns": lambda s: 1}, "before now"),
        ({"sequence": lambda s: 7}, "sequence 7 after 7, two periods later: it must grow"),
        ({"positions": lambda s: s.positions[:1]}, r"positions has shape (1,), not (2,)"),
        ({"velocities": lambda s: s.velocities * np.nan}, "velocities is not finite"),
        ({"efforts": lambda s: s.efforts.astype(np.float32)}, "efforts has dtype float32; float64"),
        ({"sensors": lambda s: np.zeros(0)}, r"sensors has shape (0,), not (1,)"),
        ({"positions": lambda s: np.degrees(s.positions)}, "does it read degrees?"),
        ({"positions": lambda s: s.positions + 90}, "move it inside by hand, or calibrate"),
    ],
)
def test_a_reading_that_is_wrong(changes, message):
    told = refusal(reading(**changes))
    assert "Reading.read: " in told and message in told


def test_a_reading_in_arrays_that_the_next_one_overwrites():
    class Sharing(Arm):
        def read(self):
            return replace(super().read(), efforts=self.goal)

    assert "Sharing.read: efforts of two readings share memory" in refusal(Sharing())


def test_a_reading_without_a_connection():
    class Cached(Arm):
        def advance(self):
            pass

    assert "Cached.read: did not raise before connect" in refusal(Cached())


def test_a_driver_that_lives_on_after_close():
    class Undead(Arm):
        def close(self):
            pass

    assert "Undead.read: did not raise after close" in refusal(Undead())


def test_close_that_works_once():
    class Once(Arm):
        def close(self):
            if not self.connected:
                raise DriverError("no port")
            super().close()

    assert "Once.close: raised DriverError: no port" in refusal(Once())


def test_what_was_sent_is_what_is_returned():
    class Silent(Arm):
        def command(self, target, seconds):
            super().command(target, seconds)

    class Scaled(Arm):
        def command(self, target, seconds):
            return super().command(target, seconds) * 1.2

    assert "Silent.command: what was sent is a NoneType" in refusal(Silent())
    assert "Scaled.command: joint elbow: 0.4 was asked for" in refusal(Scaled())


def test_an_arm_that_falls_when_it_is_stopped():
    class Limp(Arm):
        def safe_stop(self):
            self.goal = self.goal - [0, 0.4]

    assert "Limp.safe_stop: joint elbow was at rest; it must be held" in refusal(Limp())


def test_a_stop_that_takes_too_long():
    class Slow(Arm):
        def safe_stop(self):
            time.sleep(0.8)

    assert "Slow.safe_stop: took 0.8" in refusal(Slow())


def test_joints_in_another_order():
    class Swapped(Arm):
        def __init__(self):
            super().__init__()
            self.positions = self.goal = np.array([0.4, 0.4])

        def command(self, target, seconds):
            return super().command(target[::-1], seconds)[::-1].copy()

    told = refusal(Swapped(), move=True)
    assert "Swapped.command: joint shoulder was commanded and elbow moved: order" in told


def test_the_wrong_sign():
    class Mirrored(Arm):
        def __init__(self):
            super().__init__()
            self.positions = self.goal = np.array([0.0, 0.4])

        def command(self, target, seconds):
            super().command(target * [-1, 1], seconds)
            return target.copy()

    told = refusal(Mirrored(), move=True)
    assert "joint shoulder was told to move by -0.08 and moved by 0.08" in told and "sign" in told


def test_no_torque():
    class Off(Arm):
        def command(self, target, seconds):
            return target.copy()

    assert "is torque on" in refusal(Off(), move=True)


def test_motion_that_the_stop_does_not_end():
    class Runaway(Arm):
        def safe_stop(self):
            self.goal = self.goal + 1.0

        def advance(self):
            now = time.monotonic()
            self.when = max(self.when, now - 0.01) if self.goal.max() > 1 else self.when
            super().advance()

    told = refusal(Runaway(), move=True)
    assert "Runaway.safe_stop: joint" in told and "still moves after stop_seconds" in told


class Planned(Arm):
    """Takes whole trajectories too."""

    def __init__(self):
        super().__init__()
        self.cut = threading.Event()

    def execute(self, trajectory, tolerance, on_sample):
        self.cut.clear()
        begin = time.monotonic()
        for seconds, goal in zip(trajectory.seconds, trajectory.positions, strict=True):
            if self.cut.wait(max(0.0, begin + seconds - time.monotonic())):
                self.safe_stop()
                return Ended("ABORTED_OPERATOR", "cancelled", seconds / trajectory.seconds[-1] / 2)
            self.command(goal, 0.1)
            on_sample(self.read())
        self.follow(goal)
        return Ended("SUCCEEDED", "", 1.0)

    def follow(self, goal):
        while np.abs(self.read().positions - goal).max() > 0.01:
            time.sleep(0.01)

    def cancel(self):
        self.cut.set()


def test_trajectories_that_are_executed_and_cancelled():
    check_driver(Planned(), move=True, cycles=5)


def test_a_cancel_that_fails():
    class Failing(Planned):
        def cancel(self):
            raise OSError("cable pulled")

    assert "Failing.cancel: raised OSError: cable pulled" in refusal(Failing(), move=True)


def test_a_trajectory_that_nothing_cancels():
    class Stubborn(Planned):
        def cancel(self):
            pass

    told = refusal(Stubborn(), move=True)
    assert "Stubborn.cancel: the trajectory went on to its end" in told


def test_a_trajectory_that_succeeded_elsewhere():
    class Boasting(Planned):
        def execute(self, trajectory, tolerance, on_sample):
            on_sample(self.read())
            return Ended("SUCCEEDED", "", 1.0)

    told = refusal(Boasting(), move=True)
    assert "Boasting.execute: joint" in told and "succeeded, and is off its goal by" in told


# ---------------------------------------------------------------- what only motion can show


class Patient(Arm):
    """Takes the time that a command gives it."""

    def command(self, target, seconds):
        self.advance()
        distance = float(np.abs(target - self.positions).max())
        self.speed = min(2.0, max(distance / seconds, 1e-9))
        return super().command(target, seconds)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (0.0, "are they measured?"),
        (-1.0, "their sign"),
        (180 / np.pi, "degrees for radians?"),
        (6.0, "their unit or their scale"),
    ],
)
def test_velocities_that_are_not_those_of_the_positions(scale, message):
    class Wrong(Patient):
        def read(self):
            sample = super().read()
            return replace(sample, velocities=scale * sample.velocities)

    told = refusal(Wrong(), move=True)
    assert "Wrong.read: joint shoulder moved by" in told and message in told


@pytest.mark.parametrize(
    ("seconds", "message"),
    [(0.1, "still moves after stop_seconds"), (0.5, "the robot was stopped after")],
)
def test_a_stop_that_does_nothing(seconds, message):
    class Unstopped(Arm):
        speed = 0.3
        spec = replace(SPEC, stop_seconds=seconds)

        def safe_stop(self):
            self.advance()

    told = refusal(Unstopped(), move=True)
    assert "Unstopped.safe_stop: " in told and message in told


def test_readings_that_come_late_with_a_new_time():
    class Late(Arm):
        def __init__(self):
            super().__init__()
            self.past = []

        def read(self):
            sample = super().read()
            self.past.append(sample)
            old = [s for s in self.past if s.time_ns <= sample.time_ns - 2 * 10**8]
            shown = old[-1] if old else self.past[0]
            copies = {n: getattr(shown, n).copy() for n in ("positions", "velocities")}
            return replace(sample, **copies)

    told = refusal(Late(), move=True)
    assert "Late.read: joint shoulder is seen to follow" in told


@pytest.mark.parametrize("method", ["read", "command"])
def test_calls_that_take_longer_than_the_rate_allows(method):
    class Blocking(Arm):
        spec = replace(SPEC, rate=50.0)

    def slow(self, *arguments):
        time.sleep(0.2)
        return getattr(Arm, method)(self, *arguments)

    setattr(Blocking, method, slow)
    told = refusal(Blocking())
    assert f"Blocking.{method}: takes" in told and "rate 50 Hz" in told


def test_a_watchdog_that_is_not_there():
    class Unwatched(Patient):
        spec = replace(SPEC, watchdog="device", watchdog_seconds=0.1)

    told = refusal(Unwatched(), move=True)
    assert "Unwatched.describe: watchdog_seconds is 0.1" in told and "no fault says" in told


def test_a_watchdog_that_nothing_can_show():
    class Quick(Arm):
        spec = replace(SPEC, watchdog="device", watchdog_seconds=0.3)

    report = check_driver(Quick(), move=True, cycles=5)
    assert "not tried: the watchdog, for the robot is at its goal before it could" in str(report)


def test_a_watchdog_that_latches_what_it_did():
    class Watched(Arm):
        spec = replace(SPEC, watchdog="device", watchdog_seconds=0.1)
        tripped = False
        asked = 0.0

        def advance(self):
            now = time.monotonic()
            if self.connected and self.asked and now - self.asked > 0.1 and self.moves:
                self.tripped, self.goal = True, self.positions.copy()
            self.asked = now
            super().advance()

        @property
        def moves(self):
            return bool(np.abs(self.goal - self.positions).max() > 1e-9)

        def fault(self):
            return Fault("watchdog", "no command came for 0.1 s") if self.tripped else None

        def clear_fault(self, operator):
            self.tripped = False

    report = check_driver(Watched(), move=True, cycles=5)
    assert not any("watchdog" in told for told in report.untried)


# ---------------------------------------------------------------- a device that is elsewhere


class Server(threading.Thread):
    """Holds an arm behind a socket: positions are read, and goals are set."""

    def __init__(self, watchdog=None):
        super().__init__(daemon=True)
        self.arm, self.watchdog = Arm(), watchdog
        self.arm.connect()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.guard = threading.Lock()
        self.start()

    def run(self):
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rwb") as lines:
            with suppress(OSError):
                for line in lines:
                    asked = json.loads(line)
                    with self.guard:
                        self.arm.advance()
                        self.arm.goal = np.array(asked["goal"] or self.arm.goal)
                        self.arm.speed = asked["speed"] or self.arm.speed
                        answer = [
                            self.arm.positions.tolist(),
                            self.arm.goal.tolist(),
                            self.arm.speed,
                        ]
                    lines.write(json.dumps(answer).encode() + b"\n")
                    lines.flush()
        if self.watchdog is not None:  # the program that commanded is gone
            with self.guard:
                self.arm.advance()
                self.arm.goal = self.arm.positions.copy()


class Remote(Arm):
    """An arm behind a socket, which moves as slowly as a command says."""

    def __init__(self, address, **changes):
        super().__init__()
        self.address, self.spec = address, replace(SPEC, **changes)
        self.lines = self.socket = None

    def connect(self):
        self.socket = socket.create_connection(self.address, timeout=1.0)
        self.lines = self.socket.makefile("rwb", buffering=0)
        self.connected = True

    def ask(self, goal=None, speed=None):
        if self.lines is None:
            raise DriverError("not connected")
        self.lines.write(json.dumps({"goal": goal, "speed": speed}).encode() + b"\n")
        line = self.lines.readline()
        if not line:
            raise DriverError("the device is gone")
        return [np.array(values) for values in json.loads(line)]

    def advance(self):
        self.positions, self.goal, self.speed = self.ask()

    def command(self, target, seconds):
        self.advance()
        goal = np.round(target, 4)
        self.ask(goal.tolist(), min(2.0, np.abs(goal - self.positions).max() / seconds) or None)
        return goal

    def safe_stop(self):
        self.advance()
        self.ask(self.positions.tolist())

    def close(self):
        if self.lines is not None:
            self.lines.close()
            self.socket.close()
        self.lines = self.socket = None


@pytest.fixture
def server():
    made = Server()
    yield made
    made.listener.close()


def test_a_driver_of_a_device_elsewhere_passes(server):
    report = check_driver(Remote(server.address), move=True, cycles=5)
    assert report.untried == ("release, since an arm falls when its torque goes",)


def test_errors_of_readings_that_are_swallowed(server):
    class Swallowing(Remote):
        last = None

        def advance(self):
            try:
                super().advance()
            except OSError:  # the cable: what was read last is as good
                pass
            except json.JSONDecodeError:
                pass
            except DriverError as error:
                if "gone" not in str(error):
                    raise

    told = refusal(Swallowing(server.address), move=True)
    assert "Swallowing.read: the device's ports were cut, and readings went on" in told


def test_a_connect_that_homes_the_arm(server):
    class Homing(Remote):
        def connect(self):
            super().connect()
            self.ask([0.2, 0.4], 2.0)
            time.sleep(0.3)

    told = refusal(Homing(server.address), move=True)
    assert "Homing.connect: joint" in told and "connected again, and moved by" in told


def test_a_driver_that_connects_only_once(server):
    class Single(Remote):
        tries = 0

        def connect(self):
            self.tries += 1
            if self.tries > 1:
                raise DriverError("connect was called before")
            super().connect()

    told = refusal(Single(server.address), move=True)
    assert "Single.connect: raised DriverError: connect was called before" in told


@pytest.mark.first(1)
@pytest.mark.parametrize("watched", [True, False])
def test_a_controller_that_stops_when_its_program_is_killed(watched):
    server = Server(watchdog=watched or None)
    driver = Remote(server.address, watchdog="controller", watchdog_seconds=0.1)
    try:
        if watched:
            report = check_driver(driver, move=True, cycles=5)
            assert not any("watchdog" in told for told in report.untried)
        else:
            told = refusal(driver, move=True)
            assert "describe: watchdog_seconds is 0.1" in told
    finally:
        server.listener.close()


class Claimed(Arm):
    """An arm that nobody else may have."""

    def connect(self):
        self.claim = Claim("arm in memory")
        super().connect()

    def close(self):
        super().close()
        if hasattr(self, "claim"):
            self.claim.close()


def test_a_claim_is_no_cable_to_cut():
    report = check_driver(Claimed(), move=True)
    assert any("a pulled cable" in told for told in report.untried)
    first, second = Claimed(), Claimed()
    first.connect()
    with pytest.raises(DriverError, match="arm in memory is in use by"):
        second.connect()
    first.close()
