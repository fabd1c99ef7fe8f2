"""A camera by OpenCV: a USB camera, a network stream, a video file.

It needs the extra `camera`. A thread of its own reads it, so that it may wait for its next frame.
"""

import importlib
import time
from typing import Any

from robo_al_agent.errors import DriverError, SetupError
from robo_al_agent.sensor import Frame, SensorSpec


def opencv() -> Any:
    """Return OpenCV; raises `SetupError` where it is not installed."""
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        told = "a camera needs OpenCV: pip install 'robo-al-agent[camera]'"
        raise SetupError(f"{told} ({error})") from error


class OpenCVCamera:
    """A camera that OpenCV can open.

    Args:
        source: number of a camera, `/dev/v4l/by-id/...`, a URL or a file.
        width: of a frame (pixels); asked of the camera, which has to keep to it.
        height: likewise.
        rate: frames a second, likewise.
        call_seconds: within which the next frame comes.
        connect_seconds: within which it opens.
    """

    def __init__(
        self,
        source: int | str,
        width: int = 640,
        height: int = 480,
        rate: float = 30.0,
        call_seconds: float = 1.0,
        connect_seconds: float = 10.0,
    ) -> None:
        self._source = source
        self._spec = SensorSpec(
            rate=rate,
            frame=(height, width),
            call_seconds=call_seconds,
            connect_seconds=connect_seconds,
        )
        self._cv2 = opencv()
        self._capture: Any = None

    def describe(self) -> SensorSpec:
        """See `SensorDriver`."""
        return self._spec

    def connect(self) -> None:
        """Open it, and ask it for the size and rate.

        Raises:
            DriverError: OpenCV cannot open it.
        """
        self.close()
        cv2 = self._cv2
        self._capture = cv2.VideoCapture(self._source)
        if not self._capture.isOpened():
            raise DriverError(f"camera {self._source}: OpenCV cannot open it: is it plugged in?")
        assert self._spec.frame is not None
        height, width = self._spec.frame
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        self._capture.set(cv2.CAP_PROP_FPS, self._spec.rate)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, none that waited

    def read(self) -> Frame:
        """Wait for the next frame.

        Raises:
            DriverError: there is none any more.
        """
        if self._capture is None:
            raise DriverError(f"camera {self._source}: it is not connected")
        grabbed = self._capture.grab()
        now_ns = time.monotonic_ns()
        found: tuple[bool, Any] = self._capture.retrieve() if grabbed else (False, None)
        if not found[0]:
            raise DriverError(f"camera {self._source}: it gives no frame: is it plugged in?")
        return Frame(now_ns, found[1])

    def close(self) -> None:
        """See `SensorDriver`."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None
