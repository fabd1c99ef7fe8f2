"""Results that a lab has already: a CSV file with a line for each rollout, in their order."""

import csv
from collections.abc import Mapping
from pathlib import Path

from robo_al.compare.ab.outcomes import SUCCESS, Judged, Scale
from robo_al.errors import UserError

_SUCCESS: Mapping[str, float | None] = {
    **dict.fromkeys(("yes", "y", "true", "success", "1", "1.0"), 1.0),
    **dict.fromkeys(("no", "n", "false", "failure", "0", "0.0"), 0.0),
    **dict.fromkeys(("unsure", ""), None),
}
"""What may stand in a column `success`, in letters of any case."""


def read_results(path: Path, limits: tuple[float, float] | None) -> tuple[list[Judged], Scale]:
    """Read a file of results: `policy`, `success` or `score`, and `start` where there are pairs.

    A file without starts says of no two rollouts that they began alike: the first of one policy is
    then compared with the first of the other. Where there are both, success is what counts.

    Args:
        path: of the file; its columns are separated by commas, semicolons or tabs.
        limits: between which a score lies; None for 0 and 1.

    Returns:
        The rollouts in the order of their lines, and what they are judged by.

    Raises:
        UserError: it cannot be read, or a line of it says something else; names line and value.
    """
    lines = _lines(path)
    names = [name.strip().lower() for name in (lines[0][1] if lines else [])]
    if "policy" not in names or not {"success", "score"} & set(names):
        raise UserError(
            f"{path}: its columns are {', '.join(names) or 'none'}; needed are policy, success or "
            "score, and start where rollouts of both policies began alike"
        )
    if len(set(names)) < len(names):
        raise UserError(f"{path}: two of its columns have the same name: {', '.join(names)}")
    scale = SUCCESS if "success" in names else Scale("score", *(limits or (0.0, 1.0)))
    if scale is SUCCESS and limits is not None:
        raise UserError(f"--range: {path} has a column success, which is 0 or 1; leave --range out")
    rollouts = []
    for number, cells in lines[1:]:
        where = f"{path}, line {number}"
        if len(cells) != len(names):
            raise UserError(f"{where}: {len(cells)} cells under {len(names)} columns")
        row = dict(zip(names, map(str.strip, cells), strict=True))
        if not row["policy"]:
            raise UserError(f"{where}: no policy")
        value = _success(row["success"], where) if scale is SUCCESS else _score(row, scale, where)
        rollouts.append(Judged(row["policy"], row.get("start", ""), value))
    return rollouts, scale


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the cells of each line that is not empty, and its number."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t", key=heading.count), strict=True)
            return [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: is no CSV file in UTF-8: {error}") from error


def _success(text: str, where: str) -> float | None:
    """Return 1, 0, or None where nobody can say."""
    try:
        return _SUCCESS[text.lower()]
    except KeyError:
        raise UserError(
            f"{where}: success is {text!r}; it is yes, no or unsure (true and false, 1 and 0 too); "
            "a column of other numbers is to be named score"
        ) from None


def _score(row: Mapping[str, str], scale: Scale, where: str) -> float | None:
    """Return a score, or None where there is none."""
    text = row["score"]
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise UserError(f"{where}: score is {text!r}, which is no number") from None
    if not scale.low <= value <= scale.high:
        raise UserError(
            f"{where}: score is {text}, and not within {scale.low:g} to {scale.high:g}; say "
            "between which numbers every score must lie, whatever happens: --range LOW HIGH"
        )
    return value
