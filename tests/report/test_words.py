import pytest

from robo_al.report import words


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"), (-0.0, "0"), (3.0, "3"), (-12.345, "-12.3"), (-645.26, "-645"),
        (999.6, "1000"), (1234.5, "1230"), (-123456.0, "-123000"), (1.234e6, "1.23e6"),
        (-1e12, "-1e12"), (0.00979, "0.00979"), (-4.56e-7, "-4.56e-7"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits(value: float, said: str) -> None:
    assert words.number(value) == said


@pytest.mark.parametrize(
    ("amount", "word", "said"),
    [
        (0, "rollout", "0 rollouts"), (1, "rollout", "1 rollout"), (1.0, "seed", "1 seed"),
        (7.5, "rollout", "7.5 rollouts"), (123456, "transition", "123456 transitions"),
        (2, "strategy", "2 strategies"),
    ],
)  # fmt: skip
def test_one_is_singular(amount: float, word: str, said: str) -> None:
    assert words.count(amount, word) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.5, "0.5 CPU-seconds"), (1.0, "1 CPU-second"), (1.0004, "1 CPU-second"),
        (35.24, "35.2 CPU-seconds"), (120, "2 CPU-minutes"), (7560, "2.1 CPU-hours"),
        (3.6e6, "1000 CPU-hours"),
    ],
)  # fmt: skip
def test_computing_is_told_in_units_that_people_read(seconds: float, said: str) -> None:
    assert words.computing(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"), (0.00064, "0.64 ms"), (0.2, "0.2 s"), (9.96, "10 s"), (99, "99 s"),
        (100, "2 min"), (5900, "98 min"), (6400, "1 h 47 min"),
    ],
)  # fmt: skip
def test_times_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("a", "a"),
        ("ab", "a and b"),
        ("abc", "a, b and c"),
        ("abcdefg", "a, b, c, d, e and 2 others"),
    ],
)
def test_names_are_listed_as_in_a_sentence(names: str, said: str) -> None:
    assert words.listed(list(names)) == said


TEXT = (
    "Not solved within 123 rollouts and 4567 transitions (95 % interval -12.25 to 4.5, n = 20, "
    "> 8 s), seconds(budget=5.0123456,reset=12.5)"
)


@pytest.mark.parametrize("width", range(14, 60))
def test_no_line_ends_inside_a_number_or_before_its_unit(width: int) -> None:
    lines = words.wrapped(TEXT, width)
    assert max(map(len, lines)) <= width
    assert "".join(lines).replace(" ", "") == TEXT.replace(" ", "")
    for whole in (
        "123 rollouts", "4567", "(95 %", "-12.25 to", "4.5,", "n = 20", "> 8 s", "5.0123456",
        "12.5",
    ):  # fmt: skip
        assert any(whole in line for line in lines), lines


def test_paragraphs_stay_apart() -> None:
    assert words.wrapped("one\n\ntwo", 20) == ["one", "", "two"]
