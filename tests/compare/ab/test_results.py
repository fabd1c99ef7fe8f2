"""A lab's CSV file is read as it is, or refused with the line that is wrong."""

from pathlib import Path

import pytest

from robo_al.compare.ab.outcomes import SUCCESS, Judged, Scale
from robo_al.compare.ab.results import read_results
from robo_al.errors import UserError


def written(folder: Path, text: str) -> Path:
    """Return a file of results."""
    path = folder / "results.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_successes_of_many_spellings(tmp_path: Path) -> None:
    text = "Policy, Start, Success\nold,1,yes\nnew,1,False\n\nold,2,1\nnew,2,unsure\nold,3,\n"
    rollouts, scale = read_results(written(tmp_path, text), None)
    assert scale is SUCCESS
    assert rollouts == [
        Judged("old", "1", 1.0),
        Judged("new", "1", 0.0),
        Judged("old", "2", 1.0),
        Judged("new", "2", None),
        Judged("old", "3", None),
    ]


def test_a_spreadsheet_with_semicolons_and_without_starts(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeffpolicy;score\na;-3.5\nb;0\n")
    assert read_results(path, (-10.0, 0.0)) == (
        [Judged("a", "", -3.5), Judged("b", "", 0.0)],
        Scale("score", -10.0, 0.0),
    )


@pytest.mark.parametrize(
    ("text", "limits", "told"),
    [
        ("policy,success\na,1\nb,0.37\n", None, "line 3: success is '0.37'"),
        ("policy,success\na,perhaps\n", None, "line 2: success is 'perhaps'"),
        ("policy,score\na,nan\n", None, "line 2: score is nan, and not within 0 to 1"),
        ("policy,score\na,412\n", None, "--range LOW HIGH"),
        ("policy,score\na,good\n", None, "line 2: score is 'good', which is no number"),
        ("policy,success\na,1\n", (0.0, 5.0), "--range"),
        ("policy,start,success\na,1\n", None, "line 2: 2 cells under 3 columns"),
        ("policy,success\n,1\n", None, "line 2: no policy"),
        ("policy,success,Success\na,1,0\n", None, "the same name"),
        ("name,ok\na,1\n", None, "its columns are name, ok"),
        ("", None, "its columns are none"),
        ('policy,success\na,"1\n', None, "is no CSV file"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, text: str, limits: tuple[float, float] | None, told: str
) -> None:
    with pytest.raises(UserError) as raised:
        read_results(written(tmp_path, text), limits)
    assert told in str(raised.value)


def test_what_is_no_file_of_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"policy,success\na,\xff\n")
    for name, told in (("bytes.csv", "no CSV file"), ("none.csv", "no such file"), ("", "read")):
        with pytest.raises(UserError, match=told):
            read_results(tmp_path / name, None)
