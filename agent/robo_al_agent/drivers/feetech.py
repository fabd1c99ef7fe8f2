"""Feetech STS3215 and its family: the servos of SO-100 and SO-101.

    driver: feetech
    parameters:
      port: /dev/ttyACM0
      motors:
        shoulder_pan: {id: 1, low: -1.9, high: 1.9, zero: 2048}
        gripper: {kind: gripper, id: 6, closed: 2010, open: 3105}

Nothing stops these servos when the host dies: torque stays on and they go to their last goal and
hold it. Registers and units: Feetech's table of the STS series (address 40 is torque, 41
acceleration in 100 ticks/s^2, 42 goal, 46 speed in ticks/s, 56 to 61 position, speed and load of
0.1 %, each with a sign bit).
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from robo_al_agent.drivers.feetech_registers import FEETECH
from robo_al_agent.drivers.servo_bus import PATIENCE, ServoBus
from robo_al_agent.drivers.servo_joints import ServoDriver
from robo_al_agent.drivers.servo_motors import RADIANS, MotorState, Servo
from robo_al_agent.errors import SetupError
from robo_al_agent.robot import Fault

TORQUE, ACCELERATION, GOAL, GOAL_TIME = 40, 41, 42, 44
STATE = struct.Struct("<B15xHHH")
"""From `TORQUE` on: torque, position, speed, load."""
ERRORS = {
    1: ("voltage", "its supply is too high or too low"),
    2: ("encoder", "its encoder fails"),
    4: ("overheat", "it is too hot: let it cool"),
    8: ("overcurrent", "it draws too much current"),
    32: ("overload", "it was blocked, or carries too much"),
}
"""By bit of the error byte: the fault's code, and what it means."""


class Feetech(ServoDriver):
    """STS3215 servos on one port, through feetech-servo-sdk."""

    family = FEETECH

    def __init__(
        self,
        port: str,
        motors: Mapping[str, Any],
        baudrate: int = 1_000_000,
        rate: float = 50.0,
        acceleration: float = 30.0,
        name: str = "feetech",
    ) -> None:
        """Check the parameters; no device is touched.

        Args:
            port: the bus adapter's device file.
            motors: for each joint `{id, low, high, zero, direction, velocity, effort_per_unit,
                homing_offset, model}`, as `servo_motors.Motor`, or a `servo_motors.Gripper`; a unit
                of load is 0.1 % of the stall torque.
            baudrate: bits a second on the bus.
            rate: commands a second (Hz).
            acceleration: of every motor, for moves and stops (rad/s^2).
            name: of the robot.

        Raises:
            SetupError: naming the parameter that cannot be used.
        """
        super().__init__(name, port, baudrate, motors, rate, acceleration)
        self._acceleration_unit = round(acceleration / (100 * RADIANS))
        if not 1 <= self._acceleration_unit <= 254:
            most = 254 * 100 * RADIANS
            raise SetupError(f"acceleration: {acceleration}; 0.1 to {most:.1f} rad/s^2")

    def _prepare(self, bus: ServoBus, motor: Servo) -> None:
        speed = max(1, round(motor.ticks_a_second))
        bus.write(motor.id, ACCELERATION, bytes([self._acceleration_unit]))
        bus.write(motor.id, GOAL_TIME, struct.pack("<HH", 0, speed))

    def _states(
        self, bus: ServoBus, motors: Sequence[Servo], patience: Sequence[float] = PATIENCE
    ) -> list[MotorState]:
        ids = [motor.id for motor in motors]
        states = []
        answers = bus.read(ids, TORQUE, STATE.size, patience)
        for motor, (data, error) in zip(ids, answers, strict=True):
            torque, position, speed, load = STATE.unpack(data)
            state = MotorState(
                tick=_signed(position, 15),
                speed=_signed(speed, 15),
                load=_signed(load, 10),
                fault=self._fault_of(motor, error, torque),
            )
            states.append(state)
        return states

    def _fault_of(self, motor: int, error: int, torque: int) -> Fault | None:
        for bit, (code, meaning) in ERRORS.items():
            if error & bit:
                return Fault(code, f"motor {motor}: {meaning}")
        if self._torque and not torque:
            return Fault("torque_off", f"motor {motor}: torque is off; did its power fail?")
        return None

    def _set_goals(self, bus: ServoBus, goals: Mapping[int, int]) -> None:
        bus.write_all(GOAL, {motor: struct.pack("<H", goal) for motor, goal in goals.items()})

    def _arm(self, bus: ServoBus) -> None:
        """Do nothing: there is no watchdog."""

    def _disarm(self, bus: ServoBus) -> None:
        """Do nothing, likewise."""

    def _reboot(self, bus: ServoBus) -> None:
        """Do nothing: switching torque on ends what can be ended."""

    def _set_torque(self, bus: ServoBus, motor: Servo, on: bool) -> None:
        bus.write(motor.id, TORQUE, bytes([on]))


def _signed(value: int, sign: int) -> int:
    """Return a number whose sign is a bit of its own."""
    magnitude = value & ((1 << sign) - 1)
    return -magnitude if value >> sign & 1 else magnitude
