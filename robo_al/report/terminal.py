"""What a terminal of any width shows: texts and tables in which no number is broken."""

import re
from collections.abc import Collection, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.style import Style
from rich.text import Text

from robo_al.report.words import unbroken, wrapped

GAP = 2
"""Characters between two columns."""
_LAYOUTS = (
    (r"(?!)", r"(?!)"),
    (r" ", r"(?!)"),
    (r" ", r" (?=\()"),
    (r" ", r" (?=\()|(?<= to) "),
)
"""Where headings and cells may be broken, tried one after another: nowhere; headings between
words; cells before an interval too; and within one."""
_HEADING = Style(color="bright_black")


class Prose:
    """A text whose lines end neither inside a number nor between a number and its unit.

    Args:
        text: of one or several paragraphs.
        style: of all of it.
    """

    def __init__(self, text: str, style: str = "") -> None:
        self._text = text
        self._style = style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the text in lines as wide as there is room for."""
        lines = wrapped(self._text, options.max_width)
        yield Text("\n".join(lines), self._style, no_wrap=True, overflow="ignore")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the narrowest and the widest room that the text can use."""
        longest = _width(self._text.split("\n"))
        narrowest = _width(re.split(" |\n", unbroken(self._text)))
        return Measurement(min(narrowest, options.max_width), min(longest, options.max_width))


class Listing:
    """A table; where the terminal is too narrow for its columns, its rows one under another.

    Args:
        columns: their headings.
        rows: the cells of each row.
        numbers: the columns that hold numbers, and are aligned to the right.
    """

    def __init__(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[str] = ()
    ) -> None:
        self._columns = columns
        self._rows = rows
        self._numbers = numbers

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines of the first layout that fits."""
        for of_headings, of_cells in _LAYOUTS:
            cells = [[re.split(of_cells, cell) for cell in row] for row in self._rows]
            heads = [re.split(of_headings, column) for column in self._columns]
            widths = [max(map(_width, column)) for column in zip(heads, *cells, strict=True)]
            if sum(widths) + GAP * (len(widths) - 1) <= options.max_width:
                yield from self._table(cells, widths)
                return
        for number, row in enumerate(self._rows):
            if number:
                yield Text()
            for index, (column, cell) in enumerate(zip(self._columns, row, strict=True)):
                yield Prose(f"{column}: {cell}", "" if index else "bold")

    def _table(
        self, cells: Sequence[Sequence[Sequence[str]]], widths: Sequence[int]
    ) -> RenderResult:
        """Yield the lines of the table, its headings standing on their rule."""
        heads = [
            wrapped(column, width) for column, width in zip(self._columns, widths, strict=True)
        ]
        height = max(map(len, heads))
        yield self._lines([[""] * (height - len(head)) + head for head in heads], widths, _HEADING)
        yield Text("─" * (sum(widths) + GAP * (len(widths) - 1)), _HEADING)
        for row in cells:
            yield self._lines(row, widths, Style())

    def _lines(self, row: Sequence[Sequence[str]], widths: Sequence[int], style: Style) -> Text:
        """Return a row of cells that may have several lines each."""
        lines = []
        for at in range(max(map(len, row))):
            parts = [cell[at] if at < len(cell) else "" for cell in row]
            aligned = [
                part.rjust(width) if column in self._numbers else part.ljust(width)
                for part, width, column in zip(parts, widths, self._columns, strict=True)
            ]
            lines.append((" " * GAP).join(aligned).rstrip())
        return Text("\n".join(lines), style, no_wrap=True, overflow="ignore")


def say(text: str, style: str = "", console: Console | None = None) -> None:
    """Print a text: in a terminal in lines of its width, anywhere else in one line."""
    console = console or Console()
    if console.is_terminal:
        console.print(Prose(text, style))
    else:
        console.print(Text(text, style), soft_wrap=True)


def _width(lines: Sequence[str]) -> int:
    return max(map(len, lines), default=0)
