"""How numbers, amounts and times are written for people: on pages, in charts, in a terminal."""

import re
import textwrap
from collections.abc import Sequence

_UNBROKEN = re.compile(r"(?<=[\d<>=]) (?=[^\s(])| (?==)")
"""The spaces between a number and what belongs to it: `3 rollouts`, `> 8`, `n = 2`."""
_WITHIN_NUMBER = re.compile(r"(?<=[\d.,+-])(?=\d)|(?<=\d)(?=[.,])")
"""The places in a text where a cut would take a number apart."""
_MINUTE, _HOUR = 60.0, 3600.0
_LISTED = 6
"""How many names a sentence lists at most."""


def number(value: float) -> str:
    """Return a measured number to three significant digits: `0.00979`, `-645`, `12300`, `1.2e6`."""
    text = f"{value + 0.0:.3g}"  # minus zero is zero
    if "e+" in text and abs(float(text)) < 1e6:
        return f"{float(text):.0f}"
    return re.sub(r"e\+?(-?)0*", r"e\1", text)


def noun(word: str, amount: float) -> str:
    """Return a noun in the singular for exactly one, and in the plural for anything else."""
    if amount == 1:
        return word
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def count(amount: float, word: str) -> str:
    """Return an amount and its noun: `1 rollout`, `0 rollouts`; whole amounts with all digits."""
    shown = f"{amount:.0f}" if amount == round(amount) else number(amount)
    return f"{shown} {noun(word, amount)}"


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: `a, b and c`; of many, how many more there are."""
    if len(names) > _LISTED:
        names = [*names[: _LISTED - 1], f"{len(names) - _LISTED + 1} others"]
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def percent(share: float) -> str:
    """Return a share of the whole: `68 %`."""
    return f"{100 * share:.0f} %"


def duration(seconds: float) -> str:
    """Return a time as people say it: `64 ms`, `0.75 s`, `40 s`, `12 min`, `3 h 05 min`."""
    if 0 < seconds < 0.0995:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / _MINUTE)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def computing_unit(seconds: float) -> tuple[str, float]:
    """Return the unit in which so much of a processor's time is told, and its seconds."""
    if seconds < 99.5:
        return "CPU-second", 1.0
    if seconds < 99.5 * _MINUTE:
        return "CPU-minute", _MINUTE
    return "CPU-hour", _HOUR


def computing(seconds: float) -> str:
    """Return an amount of a processor's time: `35 CPU-seconds`, `2.1 CPU-hours`."""
    unit, length = computing_unit(seconds)
    shown = number(seconds / length)
    return f"{shown} {noun(unit, float(shown))}"


def unbroken(text: str) -> str:
    """Return a text in which no line breaks between a number and what belongs to it."""
    return _UNBROKEN.sub("\N{NO-BREAK SPACE}", text)


def wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text, none of which ends inside a number or before its unit.

    A word that is longer than a line is cut, but never inside a number.
    """
    lines = []
    for paragraph in text.split("\n"):
        for line in textwrap.wrap(
            unbroken(paragraph), width, break_long_words=False, break_on_hyphens=False
        ) or [""]:
            lines += _cut(line, width)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _cut(line: str, width: int) -> list[str]:
    """Return a line that has no place to break, cut to pieces that fit as far as possible."""
    pieces = []
    while len(line) > width:
        kept = {found.start() for found in _WITHIN_NUMBER.finditer(line)}
        ends = [end for end in range(1, len(line)) if end not in kept]
        end = max((end for end in ends if end <= width), default=min(ends, default=len(line)))
        pieces.append(line[:end])
        line = line[end:].lstrip()
    return [*pieces, line] if line or not pieces else pieces
