"""The page says the answer, shows the confidence sequences, and needs nothing but itself."""

import re
from pathlib import Path

import pytest

from robo_al.compare.ab.outcomes import SUCCESS, Judged
from robo_al.compare.ab.page import need_place, page, write_answer
from robo_al.compare.ab.verdict import judge
from robo_al.errors import RunFolderError

ROLLOUTS = [
    Judged(policy, str(start), value)
    for start in range(8)
    for policy, value in (("<old>", 0.0), ("_new", 1.0))
]


def test_the_page_of_two_policies_and_a_threshold() -> None:
    result = judge([*ROLLOUTS, Judged("_new", "9", None)], ["<old>", "_new"], SUCCESS, 0.5)
    text = page(result)
    assert result["decided"]
    for part in (
        "&lt;old&gt;",
        "succeeds more often",
        "decided after",
        "8 against 0",
        "no partner",
    ):
        assert part in text.replace("\N{NO-BREAK SPACE}", " ")
    assert text.count("<svg") == 2
    assert not re.search(r'(src|href)="?(http|//)', text)
    assert "<old>" not in text


def test_the_page_of_one_policy_and_that_of_no_pair() -> None:
    alone = page(judge(ROLLOUTS, ["_new"], SUCCESS, 0.5))
    assert "Does _new reach 0.5?" in alone
    assert alone.count("<svg") == 1
    none = page(judge([Judged("a", "", None), Judged("b", "", 1.0)], ["a", "b"], SUCCESS, None))
    assert "have no pair" in none


def test_an_answer_is_written_again_and_nothing_else_is_written_over(tmp_path: Path) -> None:
    result = judge(ROLLOUTS, ["<old>", "_new"], SUCCESS, None)
    folder = tmp_path / "runs" / "ab"
    need_place(folder)
    assert write_answer(folder, result) == folder / "ab.html"
    first = (folder / "ab.html").read_bytes()
    need_place(folder)
    assert write_answer(folder, result).read_bytes() == first
    (folder / "mine.txt").touch()
    with pytest.raises(RunFolderError, match="not empty"):
        need_place(folder)
