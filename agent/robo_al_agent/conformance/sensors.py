"""Does a sensor keep its contract: rate, time stamps, shapes and units? It is read for a second."""

import time
from contextlib import suppress

from robo_al_agent.conformance.subject import ConformanceError
from robo_al_agent.guard import Faulted, Guard
from robo_al_agent.sensor import SensorDriver
from robo_al_agent.sensors.measurements import wrong_description, wrong_measurement

SECONDS = 1.0
"""For which it is read, and for two readings at least."""
SLOWEST = 0.5
"""Share of the declared rate that it has to reach."""


def check_sensor(driver: SensorDriver) -> str:
    """Check a sensor that is not yet connected, and close it; return what was seen, in a line.

    Raises:
        ConformanceError: naming the class, the method and what was wrong.
    """
    name = type(driver).__qualname__
    try:
        return _seen(driver, Guard(), name)
    except Faulted as error:
        raise ConformanceError(f"{name}.{error}") from error
    finally:
        with suppress(Exception):
            driver.close()


def _seen(driver: SensorDriver, guard: Guard, name: str) -> str:
    spec = guard.make("describe", 1.0, driver.describe)
    wrong = wrong_description(spec)
    if wrong is not None:
        raise ConformanceError(f"{name}.describe: {wrong}")
    try:
        driver.read()
    except Exception:
        guard.make("connect", spec.connect_seconds, driver.connect)
    else:
        told = "did not raise before connect: nothing real can be answered then"
        raise ConformanceError(f"{name}.read: {told}")
    last, count, first_ns = None, 0, time.monotonic_ns()
    while count < 2 or time.monotonic_ns() - first_ns < SECONDS * 1e9:
        reading = guard.make("read", spec.call_seconds, driver.read)
        fault = wrong_measurement(spec, reading, last, time.monotonic_ns())
        if fault is not None:
            raise ConformanceError(f"{name}.read: {fault.message}")
        first_ns = reading.time_ns if last is None else first_ns
        last, count = reading, count + 1
    assert last is not None
    rate = (count - 1) / ((last.time_ns - first_ns) / 1e9)
    if rate < SLOWEST * spec.rate:
        told = f"{rate:.3g} readings a second, where {spec.rate:g} Hz are declared"
        raise ConformanceError(f"{name}.read: {told}")
    guard.make("close", spec.connect_seconds, driver.close)
    guard.make("close, again,", spec.connect_seconds, driver.close)
    measured = ", ".join(f"{one.name} {one.unit}" for one in spec.numbers)
    if spec.frame is not None:
        measured = f"frames of {spec.frame[1]} x {spec.frame[0]} pixels"
    return f"{measured}; {rate:.3g} Hz, declared {spec.rate:g}"
