"""Calls of somebody else's code, each against its deadline; what goes wrong is a named fault.

Such code raises whatever it likes, takes its time, or never comes back. The calls are made by one
thread; another one asks `overdue` whether a call hangs, and may `condemn` it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from robo_al_agent.errors import AgentError, DriverError
from robo_al_agent.robot import Fault

Answer = TypeVar("Answer")

GRACE_SECONDS = 1.0
"""After its deadline, a call that has not come back counts as one that never will."""


class Faulted(DriverError):
    """A call of a driver went wrong."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(frozen=True)
class Call:
    """A call that is being made."""

    name: str
    began_ns: int
    seconds: float
    """Its deadline, from its beginning."""

    def overdue(self, now_ns: int) -> Fault | None:
        """Return a fault when the call should have come back long ago."""
        passed = (now_ns - self.began_ns) / 1e9
        if passed <= self.seconds + GRACE_SECONDS:
            return None
        return Fault(
            "hung",
            f"{self.name} of the driver has not returned for {passed:.1f} s; it declares "
            f"{self.seconds:g} s at most",
        )


class Guard:
    """Makes the calls of one driver, one at a time.

    Args:
        clock: the monotonic clock (ns), or a simulated one.
    """

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.gate = threading.Lock()
        """Of `call`."""
        self.call: Call | None = None
        """The one that is being made."""
        self._clock = clock
        self._condemned = False

    def make(self, name: str, seconds: float, act: Callable[[], Answer]) -> Answer:
        """Make a call.

        Args:
            name: of the driver's method.
            seconds: its deadline.
            act: makes it.

        Raises:
            Faulted: it raised, which is then the cause, or took too long.
        """
        call = Call(name, self._clock(), seconds)
        error: BaseException | None = None
        with self.gate:
            self.call = call
        try:
            answer = act()
        except (Exception, SystemExit) as raised:
            error = raised
        finally:
            self._come_back()
        passed = (self._clock() - call.began_ns) / 1e9
        if error is not None:
            raise Faulted(named(name, error)) from error
        if passed > seconds:
            told = f"{name} took {passed:.2f} s; the driver declares {seconds:g} s at most"
            raise Faulted(Fault("overrun", told))
        return answer

    def overdue(self) -> tuple[Call, Fault] | None:
        """Return the call that hangs, if one does; from any thread."""
        call = self.call
        fault = None if call is None else call.overdue(self._clock())
        return None if call is None or fault is None else (call, fault)

    def condemn(self, call: Call) -> bool:
        """Let a call that hangs never return; return whether it still hung.

        The process is about to end: what its thread would do next must not be done.
        """
        with self.gate:
            self._condemned = self.call is call
            return self._condemned

    def _come_back(self) -> None:
        with self.gate:
            self.call = None
            condemned = self._condemned
        if condemned:
            threading.Event().wait()  # for ever: the process is being ended


def named(name: str, error: BaseException) -> Fault:
    """Return what a call raised as a fault; a fault stays what it is."""
    if isinstance(error, Faulted):
        return error.fault
    return Fault("driver_error", f"{name}: {said(error)}".removeprefix(": "))


def said(error: BaseException) -> str:
    """Return what an exception says; of the agent's own ones the type says nothing more."""
    return str(error) if isinstance(error, AgentError) else f"{type(error).__name__}: {error}"
