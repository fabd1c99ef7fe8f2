"""Any robot that LeRobot drives, by its type: SO-100 and SO-101, Koch, OMX, LeKiwi and others.

    driver: lerobot
    parameters:
      type: so101_follower
      config: {port: /dev/ttyACM0, id: my_arm}
      joints:
        shoulder_pan: {scale: degrees, low: -1.9, high: 1.9}
        gripper: {scale: range_0_100, low: 0.0, high: 100.0, unit: "%"}

Runs in LeRobot's own environment (tried with lerobot 0.4.4). What LeRobot's numbers mean is said
for each joint by `scale`. The SO-100 and SO-101 followers have degrees from the middle of the
calibrated range for the arm, and 0 to 100 of the calibrated range for the gripper; with
`use_degrees: false`, -100 to 100 of the calibrated range for the arm.

Know of LeRobot: `connect` switches torque off for a moment, so support the arm. A command that
succeeds proves nothing: on a dead bus only readings fail. It tells no speeds (here they are
differences of positions) and no efforts, and hides the servos' own errors such as overload, which
the drivers `feetech` and `dynamixel` show. Nothing stops the robot when this program dies.
"""

import importlib
import math
import pkgutil
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from robo_al_agent.devices.ownership import Claim, claim_port, keep_others_out
from robo_al_agent.devices.rest import await_rest, need_new_readings
from robo_al_agent.drivers.lerobot_joints import checked_joints, need_one_turn
from robo_al_agent.drivers.servo_bus import LOOK
from robo_al_agent.errors import DriverError, SetupError
from robo_al_agent.robot import Array, Fault, Joint, RobotSpec, Sample

TRIES = 3
"""Of a reading, before it counts as no reply."""
QUIET = 0.05
"""Seconds after a reading that failed, in which late replies come and are then dropped."""


class LeRobot:
    """A LeRobot `Robot`, read by `get_observation` and commanded by `send_action`."""

    def __init__(
        self,
        type: str,
        config: Mapping[str, Any],
        joints: Mapping[str, Any],
        rate: float = 30.0,
        stop_seconds: float = 1.0,
        module: str | None = None,
        name: str | None = None,
    ) -> None:
        """Check the parameters; no device is touched.

        Args:
            type: LeRobot's name of the robot, as in `--robot.type`.
            config: its further settings, as in `--robot.port` and so on.
            joints: for each joint, in the order of commands, `{scale, low, high, zero, direction,
                unit}`, as `LeRobotJoint`; LeRobot's key of it is the joint's name with `.pos`.
            rate: commands a second (Hz).
            stop_seconds: within which the robot rests after it was told to stay where it is.
            module: to import first, where a package outside LeRobot brings the type.
            name: of the robot; the type by default.

        Raises:
            SetupError: naming the joint that cannot be used.
        """
        self.joints = checked_joints(joints)
        self.type, self.config, self.module = type, dict(config), module
        self.name, self.rate, self.stop_seconds = name or type, rate, stop_seconds
        self._robot: Any = None
        self._claim: Claim | None = None
        self._fault: Fault | None = None
        self._last: Sample | None = None
        self._sequence = 0

    def describe(self) -> RobotSpec:
        """Say what the robot is; see `robo_al_agent.driver`."""
        joints = tuple(
            Joint(name, joint.low, joint.high, joint.unit) for name, joint in self.joints.items()
        )
        return RobotSpec(
            name=self.name,
            joints=joints,
            rate=self.rate,
            watchdog="none",
            watchdog_seconds=None,
            stop_seconds=self.stop_seconds,
            call_seconds=3.0,  # LeRobot tries several times itself
        )

    def connect(self) -> None:
        """Connect as LeRobot does, without its interactive calibration, and hold the position.

        Raises:
            SetupError: LeRobot is missing, does not know the type, or refuses the config.
            DriverError: the robot does not answer, or its calibration is not what was configured.
        """
        if self._robot is not None:
            raise DriverError(f"{self.name} is connected already")
        self._fault = self._last = None
        robot = self._made()
        self._check_joints(robot)
        port = self.config.get("port")
        if isinstance(port, str):
            self._claim = claim_port(port)
        self._robot = robot
        try:
            robot.connect(calibrate=False)
            if self._claim is not None:
                serial = robot.bus.port_handler.ser
                keep_others_out(serial.fileno())
                serial.timeout = LOOK
            if not robot.is_calibrated:
                told = "its motors hold another calibration than LeRobot's file, or there is none"
                raise DriverError(f"{self.name}: {told}: run lerobot-calibrate")
            need_one_turn(self.name, getattr(robot, "bus", None))
            self._hold()
        except Exception as error:
            self._disconnect()
            if isinstance(error, DriverError):
                raise
            raise DriverError(f"{self.name}: {_said(error)}") from error

    def _made(self) -> Any:
        """Return LeRobot's object, not connected."""
        try:
            import draccus
            from lerobot.robots import RobotConfig, make_robot_from_config
        except ImportError as error:
            told = "the agent runs in LeRobot's environment: install robo-al-agent there"
            raise SetupError(f"lerobot cannot be imported ({error}): {told}") from error
        if self.module is not None:
            importlib.import_module(self.module)
        _register(self.type)
        if self.type not in RobotConfig.get_known_choices():
            known = ", ".join(sorted(RobotConfig.get_known_choices()))
            raise SetupError(f"type: LeRobot knows no {self.type!r}; it knows {known}")
        try:
            config = draccus.decode(RobotConfig, {"type": self.type} | self.config)
            # An arm must not drop when this program ends; whoever wants that says so in `config`.
            chosen = "disable_torque_on_disconnect" in self.config
            if hasattr(config, "disable_torque_on_disconnect") and not chosen:
                config.disable_torque_on_disconnect = False
            return make_robot_from_config(config)
        except Exception as error:
            raise SetupError(f"config: {_said(error)}") from error

    def _check_joints(self, robot: Any) -> None:
        """Compare `joints` with what LeRobot knows of the robot, where it has a bus of motors."""
        bus: Any = getattr(robot, "bus", None)
        for name, joint in self.joints.items():
            if f"{name}.pos" not in robot.action_features:
                known = ", ".join(key.removesuffix(".pos") for key in robot.action_features)
                raise SetupError(f"joints.{name}: {self.type} has no such joint; it has {known}")
            motor = getattr(bus, "motors", {}).get(name)
            if motor is None:
                continue
            if motor.norm_mode.value != joint.scale:
                told = f"LeRobot's scale of it is {motor.norm_mode.value}, not {joint.scale}"
                raise SetupError(f"joints.{name}: {told}")
            if name not in robot.calibration:
                told = f"no calibration of it in {robot.calibration_fpath}"
                raise SetupError(f"joints.{name}: {told}: run lerobot-calibrate")
            one = robot.calibration[name]
            turn = bus.model_resolution_table[motor.model] - 1
            joint.check_span(name, (one.range_max - one.range_min) * 2 * math.pi / turn)

    def read(self) -> Sample:
        """Return what LeRobot reads now; speeds are differences to the reading before.

        Raises:
            DriverError: `TRIES` readings failed; the fault `no_reply` is then latched.
        """
        robot = self._connected()
        when = time.monotonic_ns()  # of the first try: its reply may come during another one
        for again in range(TRIES):
            self._drop_late_replies(QUIET if again else 0.0)
            try:
                found = robot.get_observation()
                numbers = [float(found[f"{name}.pos"]) for name in self.joints]
                break
            except Exception as error:
                wrong = error
        else:
            told = f"{_said(wrong)} ({TRIES} tries); check power and cables, then clear the fault"
            self._latch(Fault("no_reply", told))
            raise DriverError(f"{self.name}: {told}") from wrong
        pairs = zip(self.joints.values(), numbers, strict=True)
        positions = np.array([joint.position(number) for joint, number in pairs])
        last = self._last
        speeds = np.zeros(len(positions))
        if last is not None:
            speeds = (positions - last.positions) / ((when - last.time_ns) / 1e9)
        self._sequence += 1
        efforts = np.zeros(len(positions))
        self._last = Sample(when, self._sequence, positions, speeds, efforts, np.zeros(0))
        return self._last

    def _drop_late_replies(self, quiet: float) -> None:
        """Drop what a bus of servos says too late: LeRobot would take it for the next answer."""
        time.sleep(quiet)
        with suppress(Exception):
            self._robot.bus.port_handler.ser.reset_input_buffer()

    def command(self, target: Array, seconds: float) -> Array:
        """Send positions [J] within the limits; return what LeRobot says it sent.

        That is before it rounds to the servos' ticks. When they are reached is up to the robot.

        Raises:
            DriverError: a fault is latched, the target is not J finite numbers, or LeRobot raised.
        """
        if self._fault is not None:
            raise DriverError(f"{self.name}: not sent, a fault is latched: {self._fault.message}")
        if np.shape(target) != (len(self.joints),) or not np.isfinite(target).all():
            raise DriverError(f"{self.name}: target {target}; {len(self.joints)} finite numbers")
        joints = self.joints.values()
        limited = [
            min(max(float(one), joint.low), joint.high)
            for one, joint in zip(target, joints, strict=True)
        ]
        return self._send(limited)

    def recover(self, target: Array, seconds: float) -> Array:
        """Send positions [J] that may lie outside the limits, on the way back into them.

        Raises:
            DriverError: a fault is latched, or LeRobot raised.
        """
        if self._fault is not None:
            raise DriverError(f"{self.name}: not sent, a fault is latched: {self._fault.message}")
        return self._send(target.tolist())

    def _send(self, positions: list[float]) -> Array:
        robot = self._connected()
        action = {
            f"{name}.pos": joint.number(position)
            for (name, joint), position in zip(self.joints.items(), positions, strict=True)
        }
        try:
            sent = robot.send_action(action)
        except Exception as error:
            told = f"{_said(error)}; check power and cables, then clear the fault"
            self._latch(Fault("no_reply", told))
            raise DriverError(f"{self.name}: {told}") from error
        found = [joint.position(float(sent[f"{n}.pos"])) for n, joint in self.joints.items()]
        return np.array(found)

    def safe_stop(self) -> None:
        """Send the position that is read now, and see the robot come to rest.

        Nothing is sent after `release`.

        Raises:
            DriverError: the robot cannot be read or commanded, or is measured to move still.
        """
        if self._fault is None or self._fault.code != "released":
            began = time.monotonic()
            self._hold()
            await_rest(self.read, self.describe(), began)

    def _hold(self) -> None:
        self._send(list(self.read().positions))

    def release(self) -> None:
        """Switch torque off, where LeRobot has a bus of motors for it; latches `released`.

        Raises:
            DriverError: the robot has no such switch, or does not answer.
        """
        self._switch_torque("disable_torque")
        self._fault = Fault("released", "torque is off; clear the fault to hold the arm again")

    def begin_leading(self) -> None:
        """Switch torque off, so that a person can lead the arm: it falls, where nobody holds it.

        Raises:
            DriverError: the robot has no such switch, or does not answer.
        """
        self._switch_torque("disable_torque")

    def end_leading(self) -> None:
        """Hold the present position with torque on.

        Raises:
            DriverError: the robot does not answer.
        """
        self._hold()
        self._switch_torque("enable_torque")

    def _switch_torque(self, method: str) -> None:
        try:
            getattr(self._connected().bus, method)()
        except AttributeError as error:
            told = f"LeRobot cannot switch the torque of {self.type}"
            raise DriverError(f"{self.name}: {told}") from error
        except Exception as error:
            raise DriverError(f"{self.name}: {_said(error)}") from error

    def fault(self) -> Fault | None:
        """Return the first fault since `connect` or `clear_fault`."""
        return self._fault

    def clear_fault(self, operator: str) -> None:
        """Read and hold the position, with torque on after `release`.

        Raises:
            DriverError: the robot still does not answer; if its port is gone, restart the agent.
        """
        self._hold()
        if self._fault is not None and self._fault.code == "released":
            self._switch_torque("enable_torque")
        need_new_readings(self.read, self.name)
        self._fault = None

    def close(self) -> None:
        """Hold the position, and disconnect; torque stays on unless `config` says otherwise."""
        if self._robot is not None:
            with suppress(DriverError):
                self.safe_stop()
            self._disconnect()

    def _disconnect(self) -> None:
        with suppress(Exception):
            self._robot.disconnect()
        self._robot = None
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def _connected(self) -> Any:
        if self._robot is None:
            raise DriverError(f"{self.name} is not connected")
        return self._robot

    def _latch(self, fault: Fault) -> None:
        self._fault = self._fault or fault


def _register(type: str) -> None:
    """Import LeRobot's robots until one of them has registered the type."""
    from lerobot import robots

    for found in pkgutil.iter_modules(robots.__path__):
        if type in robots.RobotConfig.get_known_choices():
            return
        with suppress(ImportError):  # of another robot's SDK
            importlib.import_module(f"lerobot.robots.{found.name}")


def _said(error: BaseException) -> str:
    """Return an exception on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
