"""Dynamixel X series (XL330, XL430, XM430 and their kin), protocol 2.0.

    driver: dynamixel
    parameters:
      port: /dev/ttyUSB0
      motors:
        shoulder_pan: {id: 11, low: -1.9, high: 1.9, zero: 2048}
        gripper: {kind: gripper, id: 16, closed: 2010, open: 3105, opening: 0.07}

Each motor's Bus Watchdog is armed: when no instruction, readings included, comes for
`watchdog_seconds`, it stops and refuses goals. If that ended a motion, it is a fault for a person
to clear; if the motor was at its goal, as in an idle robot, the next command arms it again.
Registers and units: ROBOTIS e-manual, X series.
"""

import math
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

from robo_al_agent.drivers.dynamixel_registers import DYNAMIXEL
from robo_al_agent.drivers.servo_bus import PATIENCE, ServoBus
from robo_al_agent.drivers.servo_joints import ServoDriver
from robo_al_agent.drivers.servo_motors import MotorState, Servo
from robo_al_agent.errors import DriverError, SetupError
from robo_al_agent.robot import Array, Fault

TORQUE, ERROR, WATCHDOG, PROFILE, GOAL = 64, 70, 98, 108, 116
STATE = struct.Struct("<B27xhii")
"""From `WATCHDOG` on: watchdog, current or load, velocity, position."""
SPEED = 0.229 * 4096 / 60
"""ticks/s of one unit of velocity."""
ACCELERATION = 214.577 * 2 * math.pi / 3600
"""rad/s^2 of one unit of acceleration."""
TICK = 0.02
"""Seconds of one unit of the watchdog."""
TRIPPED = 0xFF
ARRIVED = 57
"""Ticks (5 degrees) from its goal within which a motor counts as arrived, sagging included."""
REBOOT_SECONDS = 0.6
ALERT = 0x80
"""Bit of the error byte: register 70 says more."""
ERRORS = {
    0x01: ("voltage", "its supply is too high or too low"),
    0x04: ("overheat", "it is too hot: let it cool"),
    0x08: ("encoder", "its encoder fails"),
    0x10: ("electrical", "electrical shock, or too little power to move"),
    0x20: ("overload", "it was blocked, or carries too much"),
}
"""By bit of register 70: the fault's code, and what it means."""


class Dynamixel(ServoDriver):
    """X-series servos on one port, through dynamixel-sdk."""

    family = DYNAMIXEL

    def __init__(
        self,
        port: str,
        motors: Mapping[str, Any],
        baudrate: int = 1_000_000,
        rate: float = 50.0,
        acceleration: float = 30.0,
        watchdog_seconds: float = 0.5,
        name: str = "dynamixel",
    ) -> None:
        """Check the parameters; no device is touched.

        Args:
            port: the bus adapter's device file.
            motors: for each joint `{id, low, high, zero, direction, velocity, effort_per_unit,
                homing_offset, model}`, as `servo_motors.Motor`, or a `servo_motors.Gripper`; a unit
                of current or load is the model's own (XM430-W350: 2.69 mA, about 0.0048 N m; XL430:
                0.1 %).
            baudrate: bits a second on the bus; 57600, as delivered, is too slow for many motors.
            rate: commands a second (Hz).
            acceleration: of every motor, for moves and stops (rad/s^2).
            watchdog_seconds: without an instruction, after which a motor stops; 0.02 to 2.54.
            name: of the robot.

        Raises:
            SetupError: naming the parameter that cannot be used.
        """
        super().__init__(name, port, baudrate, motors, rate, acceleration)
        self._acceleration_unit = round(acceleration / ACCELERATION)
        if not 1 <= self._acceleration_unit <= 32767:
            raise SetupError(f"acceleration: {acceleration}; 0.4 to 12000 rad/s^2")
        self._watchdog_unit = round(watchdog_seconds / TICK)
        if not 1 <= self._watchdog_unit <= 127:
            raise SetupError(f"watchdog_seconds: {watchdog_seconds}; 0.02 to 2.54")
        self.watchdog_seconds = self._watchdog_unit * TICK
        self._watchdogs: dict[int, int] = {}
        """What each motor's watchdog shows, by id; empty while they are off."""
        self._asked = 0.0
        """When the motors were last asked for their states, on the monotonic clock."""

    def _prepare(self, bus: ServoBus, motor: Servo) -> None:
        speed = max(1, round(motor.ticks_a_second / SPEED))
        _write(bus, motor, PROFILE, struct.pack("<ii", self._acceleration_unit, speed))

    def _arm(self, bus: ServoBus) -> None:
        for motor in self.motors.values():
            _write(bus, motor, WATCHDOG, bytes([self._watchdog_unit]))
            self._watchdogs[motor.id] = self._watchdog_unit

    def _disarm(self, bus: ServoBus) -> None:
        self._watchdogs = {}
        for motor in self.motors.values():
            _write(bus, motor, WATCHDOG, bytes([0]))

    def _reboot(self, bus: ServoBus) -> None:
        """Reboot the motors that have an error: torque is off on them already."""
        self._watchdogs = {}
        for motor in self.motors.values():
            if _hardware_fault(bus, motor.id) is not None:
                _reboot(bus, motor.id)
                fault = _hardware_fault(bus, motor.id)
                if fault is not None:
                    raise DriverError(f"{self.name}: still there: {fault.message}")

    def command(self, target: Array, seconds: float) -> Array:
        """Send goal positions [J], after a look at what the watchdog did in a pause."""
        if self._watchdogs and time.monotonic() - self._asked > self._watchdog_unit * TICK / 2:
            self.read()
        return super().command(target, seconds)

    def _states(
        self, bus: ServoBus, motors: Sequence[Servo], patience: Sequence[float] = PATIENCE
    ) -> list[MotorState]:
        ids = [motor.id for motor in motors]
        states = []
        self._asked = time.monotonic()
        answers = bus.read(ids, WATCHDOG, STATE.size, patience)
        for motor, (data, error) in zip(ids, answers, strict=True):
            watchdog, load, speed, tick = STATE.unpack(data)
            fault = _hardware_fault(bus, motor) if error & ALERT else None
            fault = fault or self._watchdog_fault(motor, watchdog, tick)
            states.append(MotorState(tick, speed * SPEED, load, fault))
        return states

    def _watchdog_fault(self, motor: int, watchdog: int, tick: int) -> Fault | None:
        if watchdog == self._watchdogs.get(motor, watchdog):
            return None
        if watchdog != TRIPPED:
            return Fault("restarted", f"motor {motor}: its watchdog is off; did its power fail?")
        if abs(tick - self._goals[motor]) <= ARRIVED:
            self._watchdogs[motor] = TRIPPED
            return None
        told = f"no instruction came for {self.watchdog_seconds:g} s; it stopped by itself"
        return Fault("watchdog", f"motor {motor}: {told}")

    def _set_goals(self, bus: ServoBus, goals: Mapping[int, int]) -> None:
        if TRIPPED in self._watchdogs.values():  # while the robot was idle
            for unit in (0, self._watchdog_unit):
                bus.write_all(WATCHDOG, {motor: bytes([unit]) for motor in self._watchdogs})
            self._watchdogs = dict.fromkeys(self._watchdogs, self._watchdog_unit)
        bus.write_all(GOAL, {motor: struct.pack("<i", goal) for motor, goal in goals.items()})

    def _set_torque(self, bus: ServoBus, motor: Servo, on: bool) -> None:
        _write(bus, motor, TORQUE, bytes([on]))


def _write(bus: ServoBus, motor: Servo, address: int, data: bytes) -> None:
    """Write, and raise where the motor refuses it."""
    error = bus.write(motor.id, address, data) & ~ALERT
    if error:
        said = bus.packets.getRxPacketError(error).removeprefix("[RxPacketError] ")
        raise DriverError(f"motor {motor.id} refuses {list(data)} at address {address}: {said}")


def _reboot(bus: ServoBus, motor: int) -> None:
    def talk(tell: list[str]) -> tuple[int, None]:
        tell[0] = f"motor {motor}"
        result, _ = bus.packets.reboot(bus.port, motor)
        return result, None

    bus.exchange(talk)
    time.sleep(REBOOT_SECONDS)


def _hardware_fault(bus: ServoBus, motor: int) -> Fault | None:
    bits = bus.read([motor], ERROR, 1)[0][0][0]
    for bit, (code, meaning) in ERRORS.items():
        if bits & bit:
            return Fault(code, f"motor {motor}: {meaning}; its torque is off")
    return None
