import math

import pytest

from robo_al.config.plain_yaml import MAX_SIZE, dump, parse
from robo_al.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1.5E+3", 1500.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-3", -3),
        ("0", 0),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("Null", None),
        ("null", None),
        ("", None),
        # words that YAML 1.1 takes for something else
        ("no", "no"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"),
        ("a: {b: [1, x]}", {"a": {"b": [1, "x"]}}),
    ],
)
def test_scalars_are_what_they_look_like(text: str, value: object) -> None:
    found = parse(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "line 3, column 1: the key `a` is given twice"),
        ("a: {b: 1, b: 2}", "the key `b` is given twice"),
        ("a: &x 1\nb: *x", "line 2, column 4: aliases are not allowed"),
        ("a: .inf", "not a finite number"),
        ("a: .nan", "not a finite number"),
        ("a: 1e999", "not a finite number"),
        ("{1: 2}", "a key must be a word"),
        ("? [1]\n: 2", "a key must be a word"),
        ("[1", "line 1, column 3"),
        ("!!python/object/apply:os.system [x]", "tag"),
        ("!!int x", "not YAML"),
        ("a: \x00", "not YAML"),
        ("[" * 100_000, "nested too deeply"),
        ("x" * (MAX_SIZE + 1), "characters"),
    ],
)
def test_what_surprises_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        parse(text)


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    with pytest.raises(ConfigError, match="aliases"):
        parse("\n".join(lines))


def test_what_is_dumped_is_what_is_parsed() -> None:
    shared = [1.5, "null", None, True, 1e-20, -1e20, math.pi]
    data = {"words": ["1e3", "010", "yes", "- x", "é", ""], "one": shared, "two": shared, "n": {}}
    assert parse(dump(data)) == data
