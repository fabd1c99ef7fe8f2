"""Joints made of serial servos: what the drivers of Feetech and Dynamixel share.

The contract of `robo_al_agent.driver` for motors with 4096 ticks a turn that go to a goal position
with a limited speed and acceleration of their own. A subclass says what its registers mean.

A place that is held is never clipped: an arm that rests outside its limits stays there until it is
sent inside, and one that its motors themselves would move is refused at `connect`.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from robo_al_agent.devices.rest import await_rest, need_new_readings
from robo_al_agent.drivers.servo_bus import PATIENCE, NoReply, ServoBus
from robo_al_agent.drivers.servo_fit import need_fit
from robo_al_agent.drivers.servo_motors import RADIANS, MotorState, Servo, checked_motors
from robo_al_agent.drivers.servo_registers import Family
from robo_al_agent.errors import DriverError
from robo_al_agent.robot import Array, Fault, RobotSpec, Sample


class ServoDriver(ABC):
    """Reads and commands joints on one bus; the subclasses describe the parameters."""

    watchdog_seconds: float | None = None
    family: Family

    def __init__(
        self,
        name: str,
        port: str,
        baudrate: int,
        motors: Mapping[str, Any],
        rate: float,
        acceleration: float,
    ) -> None:
        """Check the parameters; no device is touched.

        Raises:
            SetupError: naming the parameter that cannot be used.
        """
        self.name = name
        self.motors = checked_motors(motors)
        self._port = port
        self._baudrate = baudrate
        self.rate = rate
        self.acceleration = acceleration
        self._bus: ServoBus | None = None
        self._fault: Fault | None = None
        self._torque = False
        self._sequence = 0
        self._goals: dict[int, int] = {}
        """Tick that each motor was last sent to, by id."""

    @abstractmethod
    def _prepare(self, bus: ServoBus, motor: Servo) -> None:
        """Set a motor's speed and acceleration."""

    @abstractmethod
    def _states(
        self, bus: ServoBus, motors: Sequence[Servo], patience: Sequence[float] = PATIENCE
    ) -> list[MotorState]:
        """Ask motors for their states, by one request."""

    @abstractmethod
    def _set_goals(self, bus: ServoBus, goals: Mapping[int, int]) -> None:
        """Send motors, by id, to ticks, by one request."""

    @abstractmethod
    def _set_torque(self, bus: ServoBus, motor: Servo, on: bool) -> None:
        """Switch a motor's torque."""

    @abstractmethod
    def _arm(self, bus: ServoBus) -> None:
        """Arm the watchdog of every motor, where motors have one."""

    @abstractmethod
    def _disarm(self, bus: ServoBus) -> None:
        """Undo `_arm`, also after the watchdog has acted."""

    @abstractmethod
    def _reboot(self, bus: ServoBus) -> None:
        """Let motors forget their errors, where that takes more than switching torque on."""

    def describe(self) -> RobotSpec:
        """Say what the robot is; see `robo_al_agent.driver`."""
        fastest = max(motor.ticks_a_second for motor in self.motors.values()) * RADIANS
        return RobotSpec(
            name=self.name,
            joints=tuple(motor.joint(name) for name, motor in self.motors.items()),
            rate=self.rate,
            watchdog="none" if self.watchdog_seconds is None else "device",
            watchdog_seconds=self.watchdog_seconds,
            stop_seconds=fastest / self.acceleration + 0.3,
        )

    def connect(self) -> None:
        """Open the port, check every motor, and hold the present position with torque on.

        Raises:
            DriverError: another program has the port, a motor does not answer, or some are set up
                for something else: all of them, with what to set.
            SetupError: the SDK is missing, or does not know the baud rate.
        """
        if self._bus is not None:
            raise DriverError(f"{self.name} is connected already")
        self._fault = None
        self._torque = False  # its power may have failed since it was on
        self._bus = ServoBus(self.family, self._port, self._baudrate)
        try:
            self._start()
        except BaseException:
            self._bus.close()
            self._bus = None
            raise

    def _start(self) -> None:
        with self._talking() as bus:
            motors = list(self.motors.values())
            settings = [bus.settings(motor.id) for motor in motors]
            states = self._states(bus, motors)
            need_fit(self.family, self._port, motors, settings, states)
            self._disarm(bus)
            for motor in motors:
                self._prepare(bus, motor)
            self._hold(bus)
            for motor in motors:
                self._set_torque(bus, motor, True)
            self._need_torque(bus)
            self._torque = True
            self._arm(bus)

    def _need_torque(self, bus: ServoBus) -> None:
        """Read back that torque is on: an acknowledgement may be of an earlier question."""
        motors = [motor.id for motor in self.motors.values()]
        answers = bus.read(motors, self.family.torque.address, 1)
        for motor, (data, _) in zip(motors, answers, strict=True):
            if data != b"\1":
                raise DriverError(f"motor {motor}: torque was switched on and is off: see to it")

    def read(self) -> Sample:
        """Return what all motors answer now; an error that one reports is latched.

        Raises:
            DriverError: one of them did not answer; the fault `no_reply` is then latched.
        """
        motors = list(self.motors.values())
        with self._talking() as bus:
            # Of a request that was made again, the first reply may come last: it is no older.
            begin = time.monotonic_ns()
            states = self._states(bus, motors)
        for state in states:
            self._latch(state.fault)
        self._sequence += 1
        pairs = list(zip(motors, states, strict=True))
        return Sample(
            time_ns=begin,
            sequence=self._sequence,
            positions=np.array([motor.position(state.tick) for motor, state in pairs]),
            velocities=np.array([motor.scale * state.speed for motor, state in pairs]),
            efforts=np.array([motor.effort_scale * state.load for motor, state in pairs]),
            sensors=np.zeros(0),
        )

    def command(self, target: Array, seconds: float) -> Array:
        """Send goal positions [J], rounded to ticks within the limits, and return them.

        A motor that is held outside its limits may be told to stay there, and to come inside.
        The motors go there as fast as `velocity` and `acceleration` let them, whatever `seconds`
        says. None of them acknowledges a goal: only a reading shows that the bus is alive.

        Raises:
            DriverError: a fault is latched, or the target is not J finite numbers.
        """
        self._need_holding()
        if np.shape(target) != (len(self.motors),) or not np.isfinite(target).all():
            raise DriverError(f"{self.name}: target {target}; {len(self.motors)} finite numbers")
        motors = self.motors.values()
        goals = {}
        for motor, goal in zip(motors, target, strict=True):
            wanted = motor.tick(float(goal))
            goals[motor.id] = _within(motor, wanted, self._goals.get(motor.id, wanted))
        with self._talking() as bus:
            self._send(bus, goals)
        return np.array([motor.position(goals[motor.id]) for motor in motors])

    def _send(self, bus: ServoBus, goals: Mapping[int, int]) -> None:
        self._set_goals(bus, goals)
        self._goals.update(goals)

    def recover(self, target: Array, seconds: float) -> Array:
        """Send goal positions [J] that may lie outside the limits, on the way back into them.

        Raises:
            DriverError: a fault is latched.
        """
        self._need_holding()
        motors = list(self.motors.values())
        pairs = zip(motors, target, strict=True)
        goals = {motor.id: motor.tick(float(goal)) for motor, goal in pairs}
        with self._talking() as bus:
            self._send(bus, goals)
        return np.array([motor.position(goals[motor.id]) for motor in motors])

    def _need_holding(self) -> None:
        """Raise `DriverError` while a fault is latched, or a person leads the arm."""
        if self._fault is not None:
            raise DriverError(f"{self.name}: not sent, a fault is latched: {self._fault.message}")
        if not self._torque:
            raise DriverError(f"{self.name}: not sent, torque is off: a person leads the arm")

    def safe_stop(self) -> None:
        """Send every motor that answers to where it can come to rest, and see it come to rest.

        After `release` nothing is sent: torque stays off.

        Raises:
            DriverError: at least one motor does not answer, or is measured to move still.
        """
        self._connected()
        if not self._torque:
            return
        began = time.monotonic()
        with self._talking() as bus:
            self._hold(bus)
        await_rest(self.read, self.describe(), began)

    def _hold(self, bus: ServoBus) -> None:
        """Hold at the present position plus the way that braking takes, v^2 / 2a."""
        motors = list(self.motors.values())
        try:
            self._hold_at(bus, motors, self._states(bus, motors))
        except NoReply:
            for motor in motors:  # one that is silent must not keep the others from stopping
                with suppress(NoReply):
                    self._hold_at(bus, [motor], self._states(bus, [motor], PATIENCE[:1]))
            raise

    def _hold_at(self, bus: ServoBus, motors: list[Servo], states: list[MotorState]) -> None:
        goals = {}
        for motor, state in zip(motors, states, strict=True):
            self._latch(state.fault)
            way = state.speed * abs(state.speed) / (2 * self.acceleration / RADIANS)
            goals[motor.id] = _within(motor, round(state.tick + way), state.tick)
        self._send(bus, goals)

    def release(self) -> None:
        """Switch torque off: an arm falls. Latches `released`, so that nothing moves it by chance.

        Raises:
            DriverError: a motor does not answer.
        """
        self._connected()
        self._latch(Fault("released", "torque is off; clear the fault to hold the arm again"))
        self.begin_leading()

    def begin_leading(self) -> None:
        """Switch torque off, so that a person can lead the arm: it falls, where nobody holds it.

        Raises:
            DriverError: a motor does not answer.
        """
        with self._talking() as bus:
            self._torque = False
            for motor in self.motors.values():
                self._set_torque(bus, motor, False)

    def end_leading(self) -> None:
        """Hold the present position with torque on, as `connect` does.

        Raises:
            DriverError: a motor does not answer, or its torque stays off.
        """
        self._start()

    def fault(self) -> Fault | None:
        """Return the first fault since `connect` or `clear_fault`."""
        return self._fault

    def clear_fault(self, operator: str) -> None:
        """Open the port anew, and hold the present position with torque on, as `connect` does.

        Raises:
            DriverError: the fault is still there, and stays latched.
        """
        bus = self._connected()
        latched, self._fault = self._fault, None
        try:
            bus.close()
            self._bus = bus = ServoBus(self.family, self._port, self._baudrate)
            with self._talking():
                self._reboot(bus)
            self._start()
            self._fault = None  # errors that switching torque on has ended
            need_new_readings(self.read, self.name)
        except DriverError:
            self._fault = latched or self._fault
            raise
        if self._fault is not None:
            raise DriverError(f"{self.name}: still there: {self._fault.message}")

    def close(self) -> None:
        """Stop and hold, and free the port; torque stays as it is."""
        if self._bus is None:
            return
        with suppress(DriverError):
            self.safe_stop()
        with suppress(DriverError), self._talking() as bus:
            self._disarm(bus)
        self._bus.close()
        self._bus = None

    def _connected(self) -> ServoBus:
        if self._bus is None:
            raise DriverError(f"{self.name} is not connected")
        return self._bus

    @contextmanager
    def _talking(self) -> Iterator[ServoBus]:
        """Latch that the bus does not answer."""
        try:
            yield self._connected()
        except NoReply as error:
            hint = "check power and cables, then clear the fault"
            self._latch(Fault("no_reply", f"{error}; {hint}"))
            raise

    def _latch(self, fault: Fault | None) -> None:
        self._fault = self._fault or fault


def _within(motor: Servo, goal: int, held: int) -> int:
    """Return a goal (tick) within the limits, or no further outside than what is held."""
    lowest, highest = motor.range
    return min(max(goal, min(lowest, held)), max(highest, held))
