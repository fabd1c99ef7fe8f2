"""Terminals and files that cannot show every character: what they cannot is replaced, not raised.

A program must not end because a log is in ASCII or EUC-JP: it prints a dot, and a robot waits.
"""

import codecs
import sys
from io import TextIOWrapper

_INSTEAD = {
    "·": "-",
    "█": "#",
    "…": "...",
    "─": "-",
    "–": "-",
    "—": "-",
    "×": "x",
    "±": "+/-",
    "µ": "u",
}
"""Marks that have a like in ASCII; everything else becomes a question mark."""


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(_INSTEAD.get(character, "?") for character in lacking), error.end


codecs.register_error("robo_al", _replace)


def tolerate() -> None:
    """Let standard output replace what its encoding lacks, as standard error does by itself."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="robo_al")
