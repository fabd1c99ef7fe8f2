"""Several devices as one robot: an arm and a gripper on a bus of its own, or two arms.

    devices:
      left: {name: ur_rtde, hostname: 192.168.0.5}
      right: {name: ur_rtde, hostname: 192.168.0.6}

The joints of the devices stand one after the other. A joint's name that two devices have gets its
device's in front, in both: `left_elbow`, `right_elbow`; so does a sensor's.

Each device is behind a door of its own: each of its calls is held to what its own driver declares,
and what goes wrong is told with its name. Readings and commands go to one device after the other.
What may take long or hang (`connect`, `safe_stop`, `clear_fault`, `release`, `close`) goes to all
at once, each in a thread of its own: the stop of one never waits for another's.

Every command goes through `command`, and every start is a motion: what single drivers can do beside
that (whole trajectories, a scene that is reset) several together cannot.
"""

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from robo_al_agent.devices.door import Door
from robo_al_agent.driver import RobotDriver
from robo_al_agent.errors import AgentError, DriverError, SetupError
from robo_al_agent.guard import GRACE_SECONDS, Faulted
from robo_al_agent.robot import Array, Fault, RobotSpec, Sample, WatchdogKind


class Composite:
    """The drivers of several devices as one driver.

    Args:
        devices: by name, in the order of their joints; not connected.

    Raises:
        SetupError: they cannot be one robot.
        DriverError: one of them cannot describe its device.
    """

    def __init__(self, devices: Mapping[str, RobotDriver]) -> None:
        self.devices = dict(devices)
        self._doors: dict[str, Door] = {}
        for name, driver in self.devices.items():
            try:
                self._doors[name] = Door(driver)
            except AgentError as error:
                raise DriverError(f"{name}: {error}") from error
        self._spec = joined({name: door.spec for name, door in self._doors.items()})
        self._sequence = 0

    def describe(self) -> RobotSpec:
        """Say what the devices together are."""
        return self._spec

    def connect(self) -> None:
        """Connect all, or none; raises `Faulted`."""
        try:
            self._together(Door.connect)
        except Faulted:
            self.close()
            raise

    def read(self) -> Sample:
        """Return a reading of each device, as old as the oldest of them; raises `Faulted`."""
        samples, ages = [], {}
        for name, door in self._doors.items():
            with _named(name):
                sample = door.read()
            samples.append(sample)
            ages[name] = door.now_ns() - sample.time_ns
        self._sequence += 1
        return Sample(
            min(sample.time_ns for sample in samples),
            self._sequence,
            np.concatenate([sample.positions for sample in samples]),
            np.concatenate([sample.velocities for sample in samples]),
            np.concatenate([sample.efforts for sample in samples]),
            np.concatenate([sample.sensors for sample in samples]),
            max(ages, key=ages.__getitem__),
        )

    def command(self, target: Array, seconds: float) -> Array:
        """Send each device its part of a command [J]; raises `Faulted`."""
        sent = []
        for name, door, part in self._parts(target):
            with _named(name):
                sent.append(door.command(part, seconds))
        return np.concatenate(sent)

    def recover(self, target: Array, seconds: float) -> Array:
        """Send each device its part [J], which may lie outside the limits; raises `Faulted`.

        A device that cannot be led back takes its part where that is inside; else none is sent.
        """
        parts = list(self._parts(target))
        for name, door, part in parts:
            low, high = np.array([(joint.low, joint.high) for joint in door.spec.joints]).T
            if not door.recovers and ((part < low) | (part > high)).any():
                told = "its driver cannot lead a joint back: take torque off and move it by hand"
                raise Faulted(Fault("outside_limits", f"{name}: {told}"))
        sent = []
        for name, door, part in parts:
            with _named(name):
                send = door.recover if door.recovers else door.command
                sent.append(send(part, seconds))
        return np.concatenate(sent)

    def safe_stop(self) -> None:
        """Stop every device, and see each come to rest; raises `Faulted`."""
        self._together(Door.stop)

    def release(self) -> None:
        """Switch torque off at every device; raises `Faulted`."""
        self._together(Door.release)

    def begin_leading(self) -> None:
        """Let a person move all joints, where every device lets go; raises `Faulted`."""
        self._together(Door.begin_leading)

    def end_leading(self) -> None:
        """Hold every device where it is; raises `Faulted`."""
        self._together(Door.end_leading)

    def fault(self) -> Fault | None:
        """Return the fault of the first device that has one."""
        for name, door in self._doors.items():
            fault = door.fault()
            if fault is not None:
                return Fault(fault.code, f"{name}: {fault.message}")
        return None

    def clear_fault(self, operator: str) -> None:
        """Let every device forget its fault; raises `Faulted`."""
        self._together(lambda door: door.clear(operator))

    def close(self) -> None:
        """Stop every device, and let go of it."""
        self._together(Door.close)

    def overdue(self) -> Fault | None:
        """Return which device's call has not come back; from any thread."""
        for name, door in self._doors.items():
            hanging = door.overdue()
            if hanging is not None:
                return Fault(hanging[1].code, f"{name}: {hanging[1].message}")
        return None

    def _parts(self, target: Array) -> Iterator[tuple[str, Door, Array]]:
        """Yield each device with its part of a command [J]."""
        at = 0
        for name, door in self._doors.items():
            until = at + len(door.spec.joints)
            yield name, door, target[at:until]
            at = until

    def _together(self, act: Callable[[Door], None]) -> None:
        """Do something with every device at once.

        Raises:
            Faulted: with the code of the first device that it went wrong with, and what all said.
        """
        wrong: dict[str, Fault] = {}
        policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)

        def do(name: str, door: Door) -> None:
            with contextlib.suppress(OSError):  # as urgent as who asks for it
                os.sched_setscheduler(0, policy, priority)
            try:
                act(door)
            except Faulted as error:
                wrong[name] = error.fault

        threads = [
            threading.Thread(target=do, args=item, daemon=True) for item in self._doors.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        told = [f"{name}: {wrong[name].message}" for name in self._doors if name in wrong]
        if told:
            first = next(wrong[name] for name in self._doors if name in wrong)
            raise Faulted(Fault(first.code, "; ".join(told)))


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Tell what goes wrong with the name of its device."""
    try:
        yield
    except Faulted as error:
        fault = error.fault
        raise Faulted(Fault(fault.code, f"{name}: {fault.message}")) from error


# ---------------------------------------------------------------- what they are together


def joined(specs: Mapping[str, RobotSpec]) -> RobotSpec:
    """Return what devices are together.

    The rate is that of the slowest; a stop takes as long as the longest, and as it takes to see
    that one has worked; readings and commands are made one after the other. There is a watchdog
    where every device has one, and it has acted everywhere when the slowest one has.

    Raises:
        SetupError: they cannot be one robot.
    """
    all_specs = list(specs.values())
    if len({spec.command for spec in all_specs}) > 1:
        told = ", ".join(f"{name} takes {spec.command}s" for name, spec in specs.items())
        raise SetupError(f"devices: {told}: one robot takes the one or the other")
    rate = min(spec.rate for spec in all_specs)
    for name, spec in specs.items():
        if spec.watchdog_seconds is not None and spec.watchdog_seconds <= 1 / rate:
            slowest = next(one for one in specs if specs[one].rate == rate)
            raise SetupError(
                f"devices.{name}: its watchdog acts after {spec.watchdog_seconds:g} s without a "
                f"command, and {slowest} takes one each {1 / rate:g} s only: set it longer"
            )
    watchdog, watchdog_seconds = _watchdog(all_specs)
    longest = max(spec.stop_seconds for spec in all_specs)
    slowest_call = max(spec.call_seconds for spec in all_specs)
    joints = [joint for spec in all_specs for joint in spec.joints]
    sensors = [sensor for spec in all_specs for sensor in spec.sensors]
    joint_names = _names({name: [j.name for j in spec.joints] for name, spec in specs.items()})
    sensor_names = _names({name: [s.name for s in spec.sensors] for name, spec in specs.items()})
    return RobotSpec(
        name=" and ".join(specs),
        joints=tuple(replace(j, name=name) for j, name in zip(joints, joint_names, strict=True)),
        rate=rate,
        watchdog=watchdog,
        watchdog_seconds=watchdog_seconds,
        stop_seconds=2 * longest + slowest_call + GRACE_SECONDS,
        command=all_specs[0].command,
        sensors=tuple(replace(s, name=name) for s, name in zip(sensors, sensor_names, strict=True)),
        experimental=any(spec.experimental for spec in all_specs),
        call_seconds=sum(spec.call_seconds for spec in all_specs),
        connect_seconds=max(spec.connect_seconds for spec in all_specs),
    )


def _watchdog(specs: Sequence[RobotSpec]) -> tuple[WatchdogKind, float | None]:
    """Return the watchdog that all have: none, where one has none."""
    if any(spec.watchdog == "none" for spec in specs):
        return "none", None
    seconds = [spec.watchdog_seconds for spec in specs if spec.watchdog_seconds is not None]
    in_controllers = all(spec.watchdog == "controller" for spec in specs)
    return "controller" if in_controllers else "device", max(seconds, default=None)


def _names(given: Mapping[str, Sequence[str]]) -> list[str]:
    """Return names, by device, one after the other, each once.

    Raises:
        SetupError: two are the same with their devices' names in front as well.
    """
    often = Counter(name for names in given.values() for name in names)
    names = [
        name if often[name] == 1 else f"{device}_{name}"
        for device, of_device in given.items()
        for name in of_device
    ]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SetupError(f"devices: two are called {', '.join(twice)}: give a device another name")
    return names
