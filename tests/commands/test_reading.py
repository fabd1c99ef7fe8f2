import json
from collections.abc import Callable
from pathlib import Path

from robo_al.compare.plan import load_plan

Run = Callable[..., tuple[int, str, str]]


def test_report_writes_the_page_of_a_run_again(robo_al: Run, tmp_path: Path) -> None:
    assert robo_al("run", "fake.yaml", "--out", "here")[0] == 0
    page = tmp_path / "here" / "report.html"
    first = page.read_text()
    page.unlink()
    assert robo_al("report", "here") == (0, "report: here/report.html\n", "")
    assert page.read_text() == first


def test_report_writes_the_page_of_a_comparison_again(robo_al: Run, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(
        "tasks: {fake: {config: fake.yaml, threshold: 0}}\n"
        "strategies: [random]\nseeds: 1\nbudget: 2\n"
    )
    assert robo_al("compare", "plan.yaml", "--out", "there", "--jobs", "1")[0] == 0
    written = [tmp_path / "there" / f"comparison.{kind}" for kind in ("html", "json", "csv")]
    first = [path.read_bytes() for path in written]
    for path in written:
        path.unlink()
    assert robo_al("report", "there") == (0, "report: there/comparison.html\n", "")
    assert [path.read_bytes() for path in written] == first


def test_report_takes_another_reference(robo_al: Run, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(
        "tasks: {fake: {config: fake.yaml, threshold: 0}}\n"
        "strategies: [random, variance]\nseeds: 1\nbudget: 2\n"
    )
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "comparison.yaml").write_text(load_plan(tmp_path / "plan.yaml").text())
    assert robo_al("report", "there", "--reference", "variance")[0] == 0
    found = json.loads((tmp_path / "there" / "comparison.json").read_text())
    assert found["reference"] == found["tasks"]["fake"]["reference"] == "variance"
    for command in (("report", "there"), ("compare", "plan.yaml", "--out", "new")):
        code, _, err = robo_al(*command, "--reference", "lcmd")
        assert code == 2
        assert "expected one of the strategies, random, variance, given lcmd" in err
    assert not (tmp_path / "new").exists()
    assert robo_al("run", "fake.yaml", "--out", "here")[0] == 0
    code, _, err = robo_al("report", "here", "--reference", "variance")
    assert code == 2 and "--reference: a comparison has one, and here is a run" in err


def test_report_refuses_what_is_neither(robo_al: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "nothing", "fake.yaml"):
        code, out, err = robo_al("report", folder)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"{folder}: no run" in err
    (tmp_path / "empty" / "comparison.yaml").write_text("tasks: {}\n")
    code, _, err = robo_al("report", "empty")
    assert code == 2 and "not as a comparison wrote it" in err
