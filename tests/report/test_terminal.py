import io

import pytest
from rich.console import Console

from robo_al.report.terminal import Listing, Prose, say

COLUMNS = ("strategy", "final return", "rollouts saved")
ROWS = [["random", "-1350 (-1390 to -1300)", "–"], ["lcmd", "-25", "3.8 (2.4 to 4.8)"]]


def shown(listing: Listing, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(listing)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_wide_table_has_a_line_for_each_row() -> None:
    assert shown(Listing(COLUMNS, ROWS, COLUMNS[1:]), 80) == [
        "strategy            final return    rollouts saved",
        "──────────────────────────────────────────────────",
        "random    -1350 (-1390 to -1300)                 –",
        "lcmd                         -25  3.8 (2.4 to 4.8)",
    ]


@pytest.mark.parametrize("width", range(12, 80))
def test_every_number_is_whole_at_any_width(width: int) -> None:
    lines = shown(Listing(COLUMNS, ROWS, COLUMNS[1:]), width)
    if width >= 24:
        assert max(map(len, lines)) <= width
    for number in ("-1350", "-1390 to", "-1300", "-25", "3.8", "2.4 to", "4.8"):
        assert any(number in line for line in lines), lines


def test_rows_of_a_narrow_terminal_stand_one_under_another() -> None:
    assert shown(Listing(COLUMNS, ROWS, COLUMNS[1:]), 24)[-3:] == [
        "strategy: lcmd", "final return: -25", "rollouts saved: 3.8",
    ] or shown(Listing(COLUMNS, ROWS, COLUMNS[1:]), 24)[-4:] == [
        "strategy: lcmd", "final return: -25", "rollouts saved: 3.8", "(2.4 to 4.8)",
    ]  # fmt: skip


@pytest.mark.parametrize("terminal", [True, False])
def test_only_a_terminal_gets_broken_lines(terminal: bool) -> None:
    file = io.StringIO()
    console = Console(file=file, width=20, force_terminal=terminal, color_system=None)
    say("solved after 12 rollouts and 34 transitions", "bold", console)
    lines = [line.strip() for line in file.getvalue().splitlines()]
    one = ["solved after 12 rollouts and 34 transitions"]
    assert lines == (["solved after", "12 rollouts and", "34 transitions"] if terminal else one)


def test_prose_says_how_much_room_it_needs() -> None:
    console = Console(width=80, file=io.StringIO())
    measured = console.measure(Prose("after 12 rollouts"))
    assert (measured.minimum, measured.maximum) == (len("12 rollouts"), len("after 12 rollouts"))
