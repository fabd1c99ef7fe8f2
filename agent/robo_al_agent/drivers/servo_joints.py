"""Joints made of serial servos: what the drivers of Feetech and Dynamixel share.

The contract of `robo_al_agent.driver` for motors with 4096 ticks a turn that go to a goal position
with a limited speed and acceleration of their own. A subclass says what its registers mean.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from robo_al_agent.drivers.servo_bus import PATIENCE, NoReply, ServoBus
from robo_al_agent.drivers.servo_motors import RADIANS, Motor, MotorState, checked_motors
from robo_al_agent.errors import DriverError
from robo_al_agent.robot import Array, Fault, Joint, RobotSpec, Sample


class ServoDriver(ABC):
    """Reads and commands joints on one bus; the subclasses describe the parameters."""

    watchdog_seconds: float | None = None

    def __init__(
        self, name: str, motors: Mapping[str, Any], rate: float, acceleration: float
    ) -> None:
        """Check the parameters; no device is touched.

        Raises:
            SetupError: naming the parameter that cannot be used.
        """
        self.name = name
        self.motors = checked_motors(motors)
        self.rate = rate
        self.acceleration = acceleration
        self._bus: ServoBus | None = None
        self._fault: Fault | None = None
        self._torque = False
        self._sequence = 0

    @abstractmethod
    def _open(self) -> ServoBus:
        """Open the port."""

    @abstractmethod
    def _prepare(self, bus: ServoBus, motor: Motor) -> None:
        """Refuse a motor that is set up for something else; set its speed and acceleration."""

    @abstractmethod
    def _states(
        self, bus: ServoBus, motors: Sequence[Motor], patience: Sequence[float] = PATIENCE
    ) -> list[MotorState]:
        """Ask motors for their states, by one request."""

    @abstractmethod
    def _set_goals(self, bus: ServoBus, goals: Mapping[int, int]) -> None:
        """Send motors, by id, to ticks, by one request."""

    @abstractmethod
    def _set_torque(self, bus: ServoBus, motor: Motor, on: bool) -> None:
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
        fastest = max(motor.velocity for motor in self.motors.values())
        joints = tuple(
            Joint(name, motor.low, motor.high, velocity=motor.velocity)
            for name, motor in self.motors.items()
        )
        return RobotSpec(
            name=self.name,
            joints=joints,
            rate=self.rate,
            watchdog="none" if self.watchdog_seconds is None else "device",
            watchdog_seconds=self.watchdog_seconds,
            stop_seconds=fastest / self.acceleration + 0.3,
        )

    def connect(self) -> None:
        """Open the port, check every motor, and hold the present position with torque on.

        Raises:
            DriverError: no motor answers, or one is set up for something else.
            SetupError: the SDK is missing, or does not know the baud rate.
        """
        if self._bus is not None:
            raise DriverError(f"{self.name} is connected already")
        self._fault = None
        self._torque = False  # its power may have failed since it was on
        self._bus = self._open()
        try:
            self._start()
        except BaseException:
            self._bus.close()
            self._bus = None
            raise

    def _start(self) -> None:
        with self._talking() as bus:
            self._disarm(bus)
            for motor in self.motors.values():
                self._prepare(bus, motor)
            self._hold(bus)
            for motor in self.motors.values():
                self._set_torque(bus, motor, True)
            self._torque = True
            self._arm(bus)

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
            velocities=np.array([motor.direction * state.speed for motor, state in pairs]),
            efforts=np.array(
                [motor.direction * motor.effort_per_unit * state.load for motor, state in pairs]
            ),
            sensors=np.zeros(0),
        )

    def command(self, target: Array, seconds: float) -> Array:
        """Send goal positions [J], rounded to ticks within the limits, and return them.

        The motors go there as fast as `velocity` and `acceleration` let them, whatever `seconds`
        says. None of them acknowledges a goal: only a reading shows that the bus is alive.

        Raises:
            DriverError: a fault is latched, or the target is not J finite numbers.
        """
        if self._fault is not None:
            raise DriverError(f"{self.name}: not sent, a fault is latched: {self._fault.message}")
        if np.shape(target) != (len(self.motors),) or not np.isfinite(target).all():
            raise DriverError(f"{self.name}: target {target}; {len(self.motors)} finite numbers")
        motors = self.motors.values()
        ticks = [motor.tick(float(goal)) for motor, goal in zip(motors, target, strict=True)]
        with self._talking() as bus:
            ids = [motor.id for motor in motors]
            self._set_goals(bus, dict(zip(ids, ticks, strict=True)))
        return np.array([motor.position(tick) for motor, tick in zip(motors, ticks, strict=True)])

    def recover(self, target: Array, seconds: float) -> Array:
        """Send goal positions [J] that may lie outside the limits, on the way back into them.

        Raises:
            DriverError: a fault is latched.
        """
        if self._fault is not None:
            raise DriverError(f"{self.name}: not sent, a fault is latched: {self._fault.message}")
        pairs = list(zip(self.motors.values(), target, strict=True))
        ticks = [
            round(motor.zero + motor.direction * float(goal) / RADIANS) for motor, goal in pairs
        ]
        with self._talking() as bus:
            ids = [motor.id for motor in self.motors.values()]
            self._set_goals(bus, dict(zip(ids, ticks, strict=True)))
        return np.array([m.position(tick) for (m, _), tick in zip(pairs, ticks, strict=True)])

    def safe_stop(self) -> None:
        """Send every motor that answers to where it can come to rest, and let it hold there.

        After `release` nothing is sent: torque stays off.

        Raises:
            DriverError: at least one motor does not answer.
        """
        if self._torque:
            with self._talking() as bus:
                self._hold(bus)

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

    def _hold_at(self, bus: ServoBus, motors: list[Motor], states: list[MotorState]) -> None:
        goals = {}
        for motor, state in zip(motors, states, strict=True):
            self._latch(state.fault)
            way = state.speed * abs(state.speed) / (2 * self.acceleration) / RADIANS
            lowest, highest = motor.range
            # An arm that rests outside its limits is not moved, and none is driven out of them.
            lowest, highest = min(lowest, state.tick), max(highest, state.tick)
            goals[motor.id] = min(max(round(state.tick + way), lowest), highest)
        self._set_goals(bus, goals)

    def release(self) -> None:
        """Switch torque off: an arm falls. Latches `released`, so that nothing moves it by chance.

        Raises:
            DriverError: a motor does not answer.
        """
        with self._talking() as bus:
            self._torque = False
            self._latch(Fault("released", "torque is off; clear the fault to hold the arm again"))
            for motor in self.motors.values():
                self._set_torque(bus, motor, False)

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
            self._bus = bus = self._open()
            with self._talking():
                self._reboot(bus)
            self._start()
            self._fault = None  # errors that switching torque on has ended
            self.read()
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
