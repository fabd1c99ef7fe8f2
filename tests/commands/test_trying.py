"""`ab` answers in one sentence, or says what is wrong and writes nothing."""

import json
from pathlib import Path

import pytest

from robo_al.cli import main


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file of results, in the working folder."""
    monkeypatch.chdir(tmp_path)
    lines = [f"{policy},{i},{policy == 'new'}" for i in range(8) for policy in ("old", "new")]
    path = Path("mine.csv")
    path.write_text("\n".join(["policy,start,success", *lines]), encoding="utf-8")
    return path


def test_the_answer_of_a_file_of_results(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ab", str(results)]) == 0
    answer, page = capsys.readouterr().out.splitlines()
    assert answer.startswith("new succeeds more often than old: 8 against 0 successes in 8 pairs")
    assert page == "page: runs/ab-mine/ab.html"
    assert json.loads(Path("runs/ab-mine/ab.json").read_text())["answer"] == answer
    assert main(["ab", str(results), "old", "--against", "0.5", "--out", "old"]) == 0
    assert "old succeeds in less than 50 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing.csv"], "there is no such file"),
        (["mine.csv", "old"], "1 policy (old) alone"),
        (["mine.csv", "old", "old"], "compared with itself"),
        (["mine.csv", "--against", "80"], "--against: 80 is not within 0 to 1"),
        (["mine.csv", "--range", "1", "0"], "--range: 1 to 0"),
        (["mine.csv", "--out", "."], "not empty"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    results: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main(["ab", *arguments]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert said.err.count("\n") == 1
    assert not said.out
    assert [path.name for path in Path.cwd().iterdir()] == [results.name]
