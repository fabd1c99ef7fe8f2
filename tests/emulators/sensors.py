"""Sensors that misbehave as they are told: drivers for tests, by the path of this file.

What is written to the file `told` is what a sensor does from now on:

    hang        never returns
    hold S      takes S seconds for each reading
    gone        raises, as long as it is told so
    stale       returns the last reading again
    nan         returns numbers that are none
    short       returns too few numbers, or a frame of half the size
    ahead       its clock is a second ahead
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from robo_al_agent.robot import Sensor
from robo_al_agent.sensor import Frame, Measurement, SensorSpec
from robo_al_agent.sensors.camera import OpenCVCamera


def behave(told):
    try:
        words = Path(told).read_text()
    except FileNotFoundError:
        words = ""
    how, *numbers = words.split() or [""]
    if how == "hang":
        time.sleep(10**6)
    if how == "hold":
        time.sleep(float(numbers[0]))
    if how == "gone":
        raise OSError(5, "Input/output error: the cable is out")
    return how


class ForceTorque:
    """A wrist's forces and torques: the first is the second of its time stamp, the last a count."""

    def __init__(self, told, rate=200.0):
        self.told, self.rate = told, rate
        self.count, self.last, self.open = 0, None, False

    def describe(self):
        names = {"fx": "N", "fy": "N", "fz": "N", "tx": "N m", "ty": "N m", "tz": "N m"}
        numbers = tuple(Sensor(name, unit) for name, unit in names.items())
        return SensorSpec(self.rate, numbers, call_seconds=0.6, connect_seconds=1.0)

    def connect(self):
        behave(self.told)
        self.open = True

    def read(self):
        if not self.open:
            raise RuntimeError("it is closed")
        time.sleep(1 / self.rate)
        how = behave(self.told)
        if how == "stale" and self.last is not None:
            return self.last
        self.count += 1
        now = time.monotonic_ns() + (10**9 if how == "ahead" else 0)
        values = np.array([now / 1e9, 1.5, -9.81, 0.0, 0.25, self.count])
        if how == "nan":
            values[1] = np.nan
        self.last = Measurement(now, values[:2] if how == "short" else values)
        return self.last

    def close(self):
        self.open = False


class VideoCamera(OpenCVCamera):
    """A camera that shows a video file over and over, at the camera's rate."""

    def __init__(self, told, source, width=64, height=48, rate=30.0):
        super().__init__(source, width, height, rate, call_seconds=0.6, connect_seconds=2.0)
        self.told = told

    def connect(self):
        behave(self.told)
        super().connect()

    def read(self):
        time.sleep(1 / self._spec.rate)
        how = behave(self.told)
        if how == "stale":
            return self.last
        if self._capture is not None and self._capture.get(1) == self._capture.get(7):
            self._capture.set(1, 0)  # after the last frame (7: their count) the first one (1)
        self.last = super().read()
        if how == "short":
            return Frame(self.last.time_ns, self.last.pixels[::2, ::2])
        if how == "ahead":
            return replace(self.last, time_ns=self.last.time_ns + 10**9)
        return self.last
