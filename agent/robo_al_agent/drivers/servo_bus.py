"""The bytes on a serial bus of servos, through a vendor's SDK.

Feetech's SDK is a fork of Dynamixel's and has the same calls. Both take a reply that comes too late
for the answer to the next question, hand a reply on that is shorter than what was asked for, and
drop the error bytes of a group's answers; not so here.

A reply says which motor it is from, but not which question it answers. So every question asks for
another number of bytes, some more than are needed: the length of a reply tells whether it is the
answer, and what comes late from an earlier question is passed over.
"""

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from robo_al_agent.devices.ownership import claim_port, keep_others_out
from robo_al_agent.drivers.servo_registers import Family, Settings
from robo_al_agent.errors import DriverError, SetupError

PATIENCE = (0.0, 50.0, 200.0)
"""ms that each try of an exchange waits for a reply, beyond the SDK's own 34. The first serves a
wire that drops a byte, the last a PC that was busy elsewhere."""
QUIET = 0.005
"""Seconds without a byte after which no late reply is still to come."""
LOOK = 0.001
"""Seconds that the SDKs wait for a byte before they look at the time. Of their own they wait 0 s: a
thread that goes before others then keeps whoever is to answer, an adapter's driver or a program on
the same processor, from doing so."""
SPARE = 4
"""Lengths that the questions for about as many bytes go through."""

Answer = TypeVar("Answer")


class NoReply(DriverError):
    """The bus did not answer, however often it was asked."""


class ServoBus:
    """One serial port, which nobody else has; knows nothing of joints."""

    def __init__(self, family: Family, port: str, baudrate: int) -> None:
        """Open the port.

        Raises:
            SetupError: the SDK is not installed, or does not know the baud rate.
            DriverError: the port cannot be opened, or another program has it: says which.
        """
        try:
            self.sdk: Any = importlib.import_module(family.module)
        except ImportError as error:
            need = f"pip install 'robo-al-agent[{family.name}]'"
            raise SetupError(f"{family.module} is not installed: {need}") from error
        self.name = port
        self.family = family
        self.packets: Any = self.sdk.PacketHandler(family.protocol)
        self.port: Any = self.sdk.PortHandler(port)
        self._patience = 0.0
        self._questions = 0
        self._asked: tuple[int, int] | None = None
        """Motor and number of bytes of the reply that is waited for; None: none is judged."""
        self._others: Sequence[int] = ()
        """Motors that the same question goes to."""
        self._foreign = ""
        """What came first instead, in words."""
        self._judge_replies()
        self._claim = claim_port(port)
        try:
            self.set_baudrate(baudrate)
            keep_others_out(self.port.ser.fileno())
        except BaseException:
            self.close()
            raise

    def set_baudrate(self, baudrate: int) -> None:
        """Open the port, anew where it is open, at a baud rate.

        Raises:
            SetupError: the SDK does not know the baud rate.
            DriverError: the port cannot be opened.
        """
        try:
            known = self.port.setBaudRate(baudrate)
        except OSError as error:
            hint = "is it plugged in, and is its device file yours to open (group dialout)?"
            raise DriverError(f"port {self.name}: {error}; {hint}") from error
        if not known:
            raise SetupError(f"baudrate: {self.family.module} does not know {baudrate}")
        self.port.ser.timeout = LOOK

    def _judge_replies(self) -> None:
        """Let the SDK's own calls wait longer, and pass over what answers another question."""
        wait: Callable[[int], None] = self.port.setPacketTimeout
        receive: Callable[..., tuple[list[int], int]] = self.packets.rxPacket

        def wait_longer(length: int) -> None:
            wait(length)
            self.port.packet_timeout += self._patience

        def receive_answer(*arguments: Any) -> tuple[list[int], int]:
            while True:
                packet, result = receive(*arguments)
                if result != self.sdk.COMM_SUCCESS or self._is_answer(packet):
                    return packet, result

        self.port.setPacketTimeout = wait_longer
        self.packets.rxPacket = receive_answer

    def _is_answer(self, packet: Sequence[int]) -> bool:
        """Say whether a packet, whose checksum is right, answers what was asked."""
        if self._asked is None:
            return True
        if self.family.protocol < 2:  # FF FF id length error data... checksum
            motor, length, error = packet[2], packet[3] - 2, packet[4]
        else:  # FF FF FD 00 id length length 55 error data... crc crc
            motor, length, error = packet[4], packet[5] + 256 * packet[6] - 4, packet[8]
        wanted, needed = self._asked
        if (motor, length) == (wanted, needed):
            return True
        if motor == wanted or motor not in self._others:
            told = f"motor {motor} answered with {length} bytes (error {error})"
            told += f", where {needed} of motor {wanted} were asked for"
            self._foreign = self._foreign or told
        return False

    def close(self) -> None:
        """Free the port."""
        with suppress(Exception):
            self.port.closePort()
        self._claim.close()

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

        def talk(tell: list[str]) -> tuple[int, list[tuple[bytes, int]]]:
            answers = []
            tell[0] = f"motors {list(motors)}"
            self._others = motors
            asked = -(-length // SPARE) * SPARE + self._questions % SPARE
            request = self.sdk.GroupSyncRead(self.port, self.packets, address, asked)
            for motor in motors:
                request.addParam(motor)
            result = request.txPacket()
            for motor in motors:
                if result == self.sdk.COMM_SUCCESS:
                    tell[0] = f"motor {motor}"
                    self._asked = motor, asked
                    data, result, error = self.packets.readRx(self.port, motor, asked)
                    answers.append((bytes(data[:length]), error))
            return result, answers

        return self.exchange(talk, patience)

    def ask_all(self, packet: bytes, seconds: float) -> bytes:
        """Send a packet that every motor answers, and return what came in a time.

        Raises:
            DriverError: the port is gone.
        """
        try:
            self.port.ser.reset_input_buffer()
            self.port.writePort(packet)
            time.sleep(seconds)
            return bytes(self.port.readPort(self.port.getBytesAvailable()))
        except Exception as error:  # the SDKs let pyserial's, termios' and their own pass
            raise DriverError(f"port {self.name}: {error}") from error

    def write(self, motor: int, address: int, data: bytes, answered: bool = True) -> int:
        """Write bytes to one motor, and return the error byte of its answer.

        Args:
            motor: its id.
            address: of the first byte.
            data: the bytes.
            answered: whether its answer is waited for; without, it proves nothing.

        Raises:
            NoReply: it did not answer.
        """

        def talk(tell: list[str]) -> tuple[int, int]:
            tell[0] = f"motor {motor}"
            self._asked = motor, 0
            send = self.packets.writeTxRx if answered else self.packets.writeTxOnly
            said = send(self.port, motor, address, len(data), list(data))
            return said if answered else (said, 0)

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

    def settings(self, motor: int) -> Settings:
        """Return what a motor keeps in its non-volatile memory.

        Raises:
            NoReply: it did not answer.
        """
        data, _ = self.read([motor], self.family.first, self.family.length)[0]
        return self.family.decode(data)

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
        self._questions += 1  # and a late answer to an earlier try is one to this question
        for again, self._patience in enumerate(patience):
            self._asked = None
            self._others = ()
            self._foreign = ""
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
            wrong = self._foreign or self.packets.getTxRxResult(result).removeprefix(
                "[TxRxResult] "
            )
        asked = f", {tell[0]}" if tell[0] else ""  # nobody yet, where the port itself is gone
        raise NoReply(f"port {self.name}{asked}: {wrong} ({len(patience)} tries)")

    def _drop_replies(self, quiet: float) -> None:
        """Drop what came after its time: there is no number in a reply to tell it by."""
        for _ in range(20):
            time.sleep(quiet)
            if not self.port.getBytesAvailable():
                return
            self.port.ser.reset_input_buffer()
            quiet = QUIET
