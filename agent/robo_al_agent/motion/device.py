"""The device behind the door: connected, brought back to life, and seen to be fit for motion.

Nothing is taken for mended because somebody said so: readings taken now, the device's own word and
the joints' places are looked at.
"""

from robo_al_agent.devices.calibration import Rate, calibrate
from robo_al_agent.devices.door import Door
from robo_al_agent.devices.readings import too_old
from robo_al_agent.envelope.envelope import Envelope
from robo_al_agent.errors import WireError
from robo_al_agent.guard import Faulted
from robo_al_agent.motion.recovery import misplaced
from robo_al_agent.robot import Fault


class Device:
    """Used by the control loop alone.

    Args:
        door: to the driver, not yet connected.
        envelope: what every motion must keep to.
        rate: how fast the robot can be commanded, or None: it is measured once it is connected.
    """

    def __init__(self, door: Door, envelope: Envelope, rate: Rate | None) -> None:
        self.door = door
        self.rate = rate
        self.released = False
        """Whether torque was switched off on a person's word, and nothing has moved since."""
        self.unstopped_until_ns = 0
        """Until when a stop that failed is tried again; the robot may move meanwhile."""
        self._envelope = envelope

    @property
    def is_ready(self) -> bool:
        """Whether it is connected and its rate known."""
        return self.door.connected and self.rate is not None

    def connect(self) -> None:
        """Connect, and see that it answers; raises `Faulted`."""
        self.door.connect()
        self._see_fresh()

    def revive(self, operator: str) -> None:
        """Let it forget its fault, on a person's word; where it does not answer, connect anew.

        Raises:
            Faulted: it cannot be connected.
            WireError: it neither forgets nor answers, or says that it still has a fault.
        """
        if self.door.connected:
            self._need_sensors()
            self._clear(operator)
        else:
            self.connect()
        fault = self.door.fault()
        if fault is not None:
            raise WireError(f"the robot still says {fault.code}: {fault.message}")

    def see_ready(self) -> None:
        """Raise `Faulted` unless the device says it is well and every joint may be commanded."""
        fault = self.door.fault()
        if fault is None:
            fault = misplaced(self._envelope, self.door.spec, self.door.read().positions)
        if fault is not None:
            raise Faulted(fault)
        if self.rate is None:
            self.rate = calibrate(self.door)

    def look(self) -> Fault | None:
        """Return what is wrong with a robot that nobody commands just now."""
        try:
            self.door.read()
        except Faulted as error:
            return error.fault
        return self.door.fault()

    def stop(self) -> Fault | None:
        """Stop safely; return what went wrong with that."""
        try:
            self.door.stop()
        except Faulted as error:
            return error.fault
        return None

    def _clear(self, operator: str) -> None:
        try:
            self.door.clear(operator)
            self._see_fresh()
        except Faulted as first:
            try:
                self.connect()
            except Faulted as second:
                again = "" if str(second) in str(first) else f"; connecting anew: {second}"
                raise WireError(f"{first}{again}") from second

    def _need_sensors(self) -> None:
        try:
            self.door.need_sensors()
        except Faulted as error:
            raise WireError(str(error)) from error

    def _see_fresh(self) -> None:
        """Raise `Faulted` unless there are readings that are taken now."""
        for _ in range(2):
            sample = self.door.read()
            old = too_old(sample, self._envelope.sample_age, self.door.now_ns())
            if old is not None:
                raise Faulted(old)
