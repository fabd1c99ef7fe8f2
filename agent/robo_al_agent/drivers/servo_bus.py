"""The bytes on a serial bus of servos, through a vendor's SDK.

Feetech's SDK is a fork of Dynamixel's and has the same calls. Both take a reply that comes too late
for the answer to the next question, and drop the error bytes of a group's answers; not so here.
"""

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from robo_al_agent.errors import DriverError, SetupError

PATIENCE = (0.0, 50.0, 200.0)
"""ms that each try of an exchange waits for a reply, beyond the SDK's own 34. The first serves a
wire that drops a byte, the last a PC that was busy elsewhere."""
QUIET = 0.005
"""Seconds without a byte after which no late reply is still to come."""

Answer = TypeVar("Answer")


class NoReply(DriverError):
    """The bus did not answer, however often it was asked."""


class ServoBus:
    """One serial port; knows nothing of joints."""

    def __init__(self, module: str, extra: str, protocol: float, port: str, baudrate: int) -> None:
        """Open the port.

        Raises:
            SetupError: the SDK is not installed, or does not know the baud rate.
            DriverError: the port cannot be opened.
        """
        try:
            self.sdk: Any = importlib.import_module(module)
        except ImportError as error:
            need = f"pip install 'robo-al-agent[{extra}]'"
            raise SetupError(f"{module} is not installed: {need}") from error
        self.name = port
        self.packets: Any = self.sdk.PacketHandler(protocol)
        self.port: Any = self.sdk.PortHandler(port)
        self._patience = 0.0
        wait: Callable[[int], None] = self.port.setPacketTimeout

        def wait_longer(length: int) -> None:
            wait(length)
            self.port.packet_timeout += self._patience

        self.port.setPacketTimeout = wait_longer
        try:
            known = self.port.setBaudRate(baudrate)
        except OSError as error:
            hint = "is it plugged in, and is its device file yours to open (group dialout)?"
            raise DriverError(f"port {port}: {error}; {hint}") from error
        if not known:
            raise SetupError(f"baudrate: {module} does not know {baudrate}")

    def close(self) -> None:
        """Free the port."""
        with suppress(Exception):
            self.port.closePort()

    def read(
        self,
        motors: Sequence[int],
        address: int,
        length: int,
        patience: Sequence[float] = PATIENCE,
    ) -> list[tuple[bytes, int]]:
        """Return the bytes at an address and the error byte of each motor, by one request.

        Raises:
            NoReply: one of them did not answer.
        """
        request = self.sdk.GroupSyncRead(self.port, self.packets, address, length)
        for motor in motors:
            request.addParam(motor)

        def talk(tell: list[str]) -> tuple[int, list[tuple[bytes, int]]]:
            answers = []
            tell[0] = f"motors {list(motors)}"
            result = request.txPacket()
            for motor in motors:
                if result == self.sdk.COMM_SUCCESS:
                    tell[0] = f"motor {motor}"
                    data, result, error = self.packets.readRx(self.port, motor, length)
                    answers.append((bytes(data), error))
            return result, answers

        return self.exchange(talk, patience)

    def write(self, motor: int, address: int, data: bytes) -> int:
        """Write bytes to one motor, and return the error byte of its answer.

        Raises:
            NoReply: it did not answer.
        """

        def talk(tell: list[str]) -> tuple[int, int]:
            tell[0] = f"motor {motor}"
            result, error = self.packets.writeTxRx(self.port, motor, address, len(data), list(data))
            return result, error

        return self.exchange(talk)

    def write_all(self, address: int, data: Mapping[int, bytes]) -> None:
        """Write bytes to each motor by one request, which none answers: it proves nothing."""

        def talk(tell: list[str]) -> tuple[int, None]:
            tell[0] = f"motors {list(data)}"
            length = len(next(iter(data.values())))
            request = self.sdk.GroupSyncWrite(self.port, self.packets, address, length)
            for motor, value in data.items():
                request.addParam(motor, list(value))
            return request.txPacket(), None

        self.exchange(talk)

    def exchange(
        self,
        talk: Callable[[list[str]], tuple[int, Answer]],
        patience: Sequence[float] = PATIENCE,
    ) -> Answer:
        """Talk until it succeeds, a few times at most, never on top of older replies.

        Args:
            talk: makes one try with the SDK and returns its result and the answer; it puts whom it
                asks in the list's first place, for messages.
            patience: of each try; see `PATIENCE`.

        Raises:
            NoReply: no try succeeded.
        """
        tell = [""]
        wrong = ""
        for again, self._patience in enumerate(patience):
            try:
                self._drop_replies(QUIET if again else 0.0)
                result, answer = talk(tell)
            except Exception as error:  # the SDKs let pyserial's, termios' and their own pass
                wrong = f"{type(error).__name__}: {error}"
                continue
            finally:
                self.port.is_using = False  # which the SDKs forget when something is raised
            if result == self.sdk.COMM_SUCCESS:
                return answer
            wrong = self.packets.getTxRxResult(result).removeprefix("[TxRxResult] ")
        raise NoReply(f"port {self.name}, {tell[0]}: {wrong} ({len(patience)} tries)")

    def _drop_replies(self, quiet: float) -> None:
        """Drop what came after its time: there is no number in a reply to tell it by."""
        for _ in range(20):
            time.sleep(quiet)
            if not self.port.getBytesAvailable():
                return
            self.port.ser.reset_input_buffer()
            quiet = QUIET
