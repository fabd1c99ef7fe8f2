"""Parts of a comparison become the whole of it, or are refused with what keeps them apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robo_al.compare import folder as folder_module
from robo_al.compare.folder import begun_in, check_folder, lock, planned
from robo_al.compare.merging import merge
from robo_al.compare.plan import load_plan
from robo_al.compare.report import write_comparison
from robo_al.compare.runner import read_records
from robo_al.compare.worker import turn
from robo_al.dataset.start_folder import note_start_folder
from robo_al.errors import RunFolderError

Write = Callable[..., Path]


@pytest.fixture
def part(write: Write, tmp_path: Path) -> Callable[..., Path]:
    """Run a comparison, one after another in this process, and return its folder."""

    def run(name: str, turned: bool = True, **entries: Any) -> Path:
        plan, folder = load_plan(write(budget=2, **entries)), tmp_path / name
        folder.mkdir()
        (folder / "runs").mkdir()
        note_start_folder(folder)
        (folder / "comparison.yaml").write_text(plan.text())
        for each in plan.runs if turned else ():
            config, there = plan.config(each).model_dump(), folder / each.folder
            there.parent.mkdir(parents=True, exist_ok=True)
            request = {"folder": str(there), "config": config, "strategy": each.strategy}
            turn(request, lambda **fields: None)
        return folder

    return run


def test_parts_with_seeds_of_their_own_are_one_comparison(
    part: Callable[..., Path], write: Write, tmp_path: Path
) -> None:
    parts, out = [part("a", seeds=[0]), part("b", seeds=[5, 3])], tmp_path / "all"
    merge(parts, out)
    plan = planned(out)
    assert (plan.seeds, plan.planned) == ((0, 5, 3), ())
    records = read_records(out, plan)
    assert len(records) == 6 and not any(record.failed for record in records.values())
    found = write_comparison(out, plan, records.values())
    assert found["tasks"]["fake"]["strategies"]["joint_information"]["seeds_compared"] == 3
    more = load_plan(write(budget=2, seeds=[0]), begun_in(out), seeds=1)
    check_folder(more, out, resume=True)
    assert more.seeds == (0, 5, 3, 6)


def test_what_keeps_parts_apart_is_named_and_nothing_is_written(
    part: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "_PATIENCE", 0.2)
    first, out = part("a", turned=False, seeds=[0, 1]), tmp_path / "all"
    same = part("b", turned=False, seeds=[1, 2])
    with pytest.raises(RunFolderError, match="a and .*b: both have seed 1; a seed counts once"):
        merge([first, same], out)
    other = part("c", turned=False, seeds=[4], strategies=["random", "variance"])
    with pytest.raises(RunFolderError) as caught:
        merge([first, other], out)
    assert "strategies.joint_information: there, missing here" in str(caught.value)
    assert "strategies.variance: there, missing here" in str(caught.value)
    with lock(first), pytest.raises(RunFolderError, match="in use"):
        merge([first, part("d", turned=False, seeds=[7])], out)
    assert not out.exists()
