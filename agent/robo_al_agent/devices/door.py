"""The guarded door to a driver: every call goes through it, and what goes wrong is a named fault.

A driver is somebody else's code: it raises whatever it likes, takes its time, returns what is old
or of the wrong shape, or never comes back. The door measures each call against the deadline that
the driver declares, checks what is returned, and turns whatever goes wrong into a `Fault` with the
driver's own words. The calls are made by one thread, the control loop's; another thread asks
`overdue` whether a call hangs, and may `condemn` it.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from robo_al_agent.devices.pulse import Pulse
from robo_al_agent.devices.readings import measured_rates, own, wrong_reading
from robo_al_agent.devices.rest import rest_rates
from robo_al_agent.driver import (
    RobotDriver,
    SupportsDevices,
    SupportsLeading,
    SupportsRecovery,
    SupportsReset,
    TrajectoryDriver,
)
from robo_al_agent.errors import AgentError, DriverError
from robo_al_agent.guard import GRACE_SECONDS, Answer, Call, Faulted, Guard, said
from robo_al_agent.robot import (
    Array,
    Ended,
    Fault,
    JointTrajectory,
    Options,
    RobotSpec,
    Sample,
    Tolerance,
)
from robo_al_agent.sensors.sensing import Sensing

WINDOW_SECONDS = 0.05
"""Between two readings whose difference shows whether a joint is at rest."""


class Door:
    """Makes the calls of one driver.

    Args:
        driver: not yet connected.
        pulse: told until when a call explains that the process is silent.
        clock: the monotonic clock (ns), or a simulated one.
        sleep: of that clock, in seconds.
        sensing: what is measured beside the robot.

    Raises:
        DriverError: the driver cannot even describe its robot.
    """

    def __init__(
        self,
        driver: RobotDriver,
        pulse: Pulse | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
        sensing: Sensing | None = None,
    ) -> None:
        self.sensing = sensing or Sensing()
        self._driver = driver
        self._pulse = pulse
        self._clock = clock
        self._sleep = sleep
        self._guard = Guard(clock)
        self._cancelling: threading.Thread | None = None
        self._sequence: int | None = None
        self._touched = False
        """Whether there is something that `close` lets go of."""
        self.connected = False
        self.seen: Sample | None = None
        """The newest reading: replaced by the thread that reads, and never changed."""
        try:
            self._own: RobotSpec = driver.describe()
        except AgentError:
            raise
        except Exception as error:
            raise DriverError(f"describe: {said(error)}") from error
        if not isinstance(self._own, RobotSpec):
            raise DriverError(f"describe returned {self._own!r:.80}; a RobotSpec is needed")
        self.spec = self._own
        """Of the robot, with the sensors beside it after its own."""
        if self.sensing.numbers:
            self.spec = replace(self._own, sensors=(*self._own.sensors, *self.sensing.numbers))

    @property
    def resets(self) -> bool:
        """Whether the driver puts its scene at a start by itself."""
        return isinstance(self._driver, SupportsReset)

    @property
    def takes_trajectories(self) -> bool:
        """Whether the robot's own controller takes whole trajectories."""
        return isinstance(self._driver, TrajectoryDriver)

    @property
    def recovers(self) -> bool:
        """Whether a joint can be sent back into its limits from outside."""
        return isinstance(self._driver, SupportsRecovery)

    @property
    def leads(self) -> bool:
        """Whether a person can lead the robot by hand while it is read."""
        driver = self._driver
        every = driver.devices.values() if isinstance(driver, SupportsDevices) else [driver]
        return all(isinstance(one, SupportsLeading) for one in every)

    def now_ns(self) -> int:
        """Return the time of the monotonic clock."""
        return self._clock()

    def sleep(self, seconds: float) -> None:
        """Wait, on the same clock."""
        self._sleep(seconds)

    # ------------------------------------------------------------ the calls

    def connect(self) -> None:
        """Connect, or connect anew; raises `Faulted`."""
        if self._touched:
            self.close()
        self._sequence = None
        self._touched = True
        self._make("connect", self.spec.connect_seconds, self._driver.connect)
        self.connected = True
        self.sensing.start()
        self.sensing.settle(self._clock, self._sleep)

    def read(self) -> Sample:
        """Return a reading that is new, finite and of the right shape; raises `Faulted`."""
        sample = self._read()
        fault = self.sensing.fault(self._clock())
        if fault is not None:
            raise Faulted(fault)
        self.seen = self._with_sensors(sample)
        return self.seen

    def command(self, target: Array, seconds: float) -> Array:
        """Send a command [J] and return what was sent; raises `Faulted`.

        A target outside the device's limits is refused: a driver would clip it, and the joint would
        go where nobody has sent it.
        """
        for joint, value in zip(self.spec.joints, target, strict=True):
            if not joint.low <= value <= joint.high:
                limits = f"[{joint.low:g}, {joint.high:g}]"
                told = f"not sent: joint {joint.name} to {value:g}, outside its limits {limits}"
                raise _fault("outside_limits", told)
        return self._sent("command", target, lambda driver: driver.command(target.copy(), seconds))

    def recover(self, target: Array, seconds: float) -> Array:
        """Send a command that may lie outside the limits; raises `Faulted`."""
        driver = self._driver
        assert isinstance(driver, SupportsRecovery)
        return self._sent("recover", target, lambda _: driver.recover(target.copy(), seconds))

    def stop(self) -> None:
        """Stop safely, and see by measured rates that the robot is at rest; raises `Faulted`."""
        seconds = self.spec.stop_seconds + self.spec.call_seconds
        self._make("safe_stop", seconds, self._driver.safe_stop)
        if self.spec.command == "position":
            self._see_rest()

    def release(self) -> None:
        """Switch torque off; raises `Faulted`."""
        self._make("release", self.spec.connect_seconds, self._driver.release)

    def fault(self) -> Fault | None:
        """Return what the device says is wrong, or that it cannot say; never raises."""
        try:
            fault = self._make("fault", self.spec.call_seconds, self._driver.fault, ask=False)
        except Faulted as error:
            return error.fault
        if fault is None or isinstance(fault, Fault):
            return fault
        return Fault("driver_error", f"fault returned {fault!r:.80}; a Fault or None is needed")

    def clear(self, operator: str) -> None:
        """Let the device forget its fault; raises `Faulted`."""
        self._sequence = None
        seconds = self.spec.connect_seconds
        self._make("clear_fault", seconds, lambda: self._driver.clear_fault(operator))

    def need_sensors(self) -> None:
        """Give each sensor another chance; raises `Faulted` where one that is required has none."""
        self.sensing.settle(self._clock, self._sleep)
        fault = self.sensing.fault(self._clock())
        if fault is not None:
            raise Faulted(fault)

    def begin_leading(self) -> None:
        """Let a person move the joints; raises `Faulted`."""
        driver = self._driver
        assert isinstance(driver, SupportsLeading)
        self._make("begin_leading", self.spec.connect_seconds, driver.begin_leading)

    def end_leading(self) -> None:
        """Hold the robot where it is; raises `Faulted`."""
        driver = self._driver
        assert isinstance(driver, SupportsLeading)
        self._make("end_leading", self.spec.connect_seconds, driver.end_leading)

    def reset(self, options: Options, seed: int) -> None:
        """Put robot and scene at a start; raises `Faulted`."""
        driver = self._driver
        assert isinstance(driver, SupportsReset)
        self._make("reset", self.spec.connect_seconds, lambda: driver.reset(options, seed))

    def execute(
        self,
        trajectory: JointTrajectory,
        tolerance: Tolerance,
        on_sample: Callable[[Sample], None],
    ) -> Ended:
        """Let the controller execute a trajectory; raises `Faulted`."""
        driver = self._driver
        assert isinstance(driver, TrajectoryDriver)
        planned = float(trajectory.seconds[-1]) + tolerance.goal_seconds
        seconds = planned + self.spec.stop_seconds + self.spec.call_seconds
        return self._make(
            "execute",
            seconds,
            lambda: driver.execute(
                trajectory, tolerance, lambda sample: on_sample(self._with_sensors(own(sample)))
            ),
        )

    def cancel(self) -> None:
        """End what `execute` executes; from any thread, any number of times, returns at once.

        What goes wrong with it shows in `execute`, which from now on has only the time that a stop
        takes, whatever is left of the trajectory.
        """
        driver, seconds = self._driver, self.spec.stop_seconds + self.spec.call_seconds
        assert isinstance(driver, TrajectoryDriver)
        with self._guard.gate:
            call = self._guard.call
            if call is not None and call.name == "execute":
                until = (self._clock() - call.began_ns) / 1e9 + seconds
                if until < call.seconds:
                    self._guard.call = Call(call.name, call.began_ns, until)
            if self._cancelling is None or not self._cancelling.is_alive():
                self._cancelling = threading.Thread(
                    target=_quietly, args=(driver.cancel,), daemon=True
                )
                self._cancelling.start()

    def close(self) -> None:
        """Let go of the device; whatever goes wrong with that is nobody's concern any more."""
        self.connected = False
        try:
            self._make("close", self.spec.connect_seconds, self._driver.close, ask=False)
        except Faulted:
            pass

    # ------------------------------------------------------------ for the thread that watches

    def overdue(self) -> tuple[Call, Fault] | None:
        """Return the call that hangs, if one does; from any thread."""
        call = self._guard.call
        if call is not None and isinstance(self._driver, SupportsDevices):
            fault = self._driver.overdue()
            if fault is not None:
                return call, fault
        return self._guard.overdue()

    def condemn(self, call: Call) -> bool:
        """Let a call that hangs never return; return whether it still hung."""
        return self._guard.condemn(call)

    # ------------------------------------------------------------ within

    def _make(
        self, name: str, seconds: float, act: Callable[[], Answer], ask: bool = True
    ) -> Answer:
        """Make a call.

        Args:
            name: of the driver's method.
            seconds: its deadline.
            act: makes it.
            ask: whether the device is asked for its fault when it goes wrong.
        """
        if self._pulse is not None:  # a trajectory is long, but nothing in it silences the process
            silent = self.spec.call_seconds if name == "execute" else seconds
            self._pulse.excuse(self._clock() + round((silent + GRACE_SECONDS) * 1e9))
        try:
            return self._guard.make(name, seconds, act)
        except Faulted as error:
            wrong = error.__cause__
            if wrong is None:
                raise
            raise Faulted(self._named(name, wrong, ask)) from wrong
        finally:
            if self._pulse is not None:
                self._pulse.excuse(0)

    def _named(self, name: str, error: BaseException, ask: bool) -> Fault:
        """Return the device's own fault, where it has one, with what was raised."""
        if isinstance(error, Faulted):  # of one of several devices, named already
            return error.fault
        told = f"{name}: {said(error)}"
        known = self.fault() if ask else None
        if known is None:
            return Fault("driver_error", told)
        return Fault(
            known.code, known.message if str(error) in known.message else f"{told}; {known.message}"
        )

    def _read(self) -> Sample:
        """Return a reading of the robot alone; raises `Faulted`."""
        sample = self._make("read", self.spec.call_seconds, self._driver.read)
        wrong = wrong_reading(self._own, sample, self._sequence, self._clock())
        if wrong is not None:
            raise Faulted(wrong)
        self._sequence = sample.sequence
        return own(sample)

    def _with_sensors(self, sample: Sample) -> Sample:
        beside = self.sensing.values(self._clock())
        return replace(sample, sensors=np.concatenate([sample.sensors, beside]))

    def _sent(self, name: str, target: Array, act: Callable[[RobotDriver], Array]) -> Array:
        sent = self._make(name, self.spec.call_seconds, lambda: act(self._driver))
        sent = np.array(sent, np.float64)
        if sent.shape != target.shape or not np.isfinite(sent).all():
            told = f"{name} returned {sent.tolist()} as sent; {len(target)} finite numbers are"
            raise _fault("driver_error", f"{told} needed")
        return sent

    def _see_rest(self) -> None:
        """Wait until two readings show a robot at rest, whatever `safe_stop` has said."""
        limits = rest_rates(self.spec)
        until_ns = self._clock() + round((self.spec.stop_seconds + GRACE_SECONDS) * 1e9)
        before = self._read()
        while True:
            self._sleep(WINDOW_SECONDS)
            after = self._read()
            rates = measured_rates(before, after, limits)
            worst = int((rates / limits).argmax())
            if rates[worst] <= limits[worst]:
                return
            if self._clock() > until_ns:
                joint = self.spec.joints[worst]
                told = f"joint {joint.name} still moves at {rates[worst]:.2g} {joint.unit}/s"
                raise _fault("still_moving", f"{told} after safe_stop")
            before = after


def _quietly(act: Callable[[], None]) -> None:
    with contextlib.suppress(Exception, SystemExit):
        act()


def _fault(code: str, message: str) -> Faulted:
    return Faulted(Fault(code, message))
