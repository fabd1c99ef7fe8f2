"""Keys that somebody presses: one at a time from a terminal, or the characters of a file."""

import os
import sys
import termios
import tty
from typing import Any

from robo_al.errors import UserError

_ERASE = "\x7f\b"
"""What the key for the last character sends."""


class Keys:
    """The keyboard, whose keys are read without Enter while this is entered.

    Raises:
        UserError: there is none, and no file in its place.
    """

    def __init__(self) -> None:
        if sys.stdin is None:
            raise UserError("keys: standard input is closed; use a terminal, or a file of keys")
        self._file = sys.stdin.fileno()
        self._before: list[Any] | None = None

    def __enter__(self) -> "Keys":
        if os.isatty(self._file):
            self._before = termios.tcgetattr(self._file)
            tty.setcbreak(self._file, termios.TCSANOW)  # keys that were pressed before stay
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            termios.tcsetattr(self._file, termios.TCSANOW, self._before)

    def key(self) -> str:
        """Wait for a key; return its character, or nothing where no more will come."""
        return os.read(self._file, 1).decode("latin-1")

    def line(self, question: str) -> str:
        """Ask for a line, which can be corrected until Enter; return it, stripped."""
        print(question, end="", flush=True)
        self.__exit__()
        read = bytearray()
        try:
            while (byte := os.read(self._file, 1)) not in (b"", b"\n", b"\r"):
                read += byte
        finally:
            self.__enter__()
        line = ""
        for character in read.decode("utf-8", "replace"):
            # What was typed before the question came, the terminal has not corrected.
            line = line[:-1] if character in _ERASE else line + character
        return line.strip()
