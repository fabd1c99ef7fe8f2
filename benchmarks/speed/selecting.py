"""Selection from large pools: what benchmarks/selection.py measures, and its ratios."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import Result, Timing

FOLDER = Path(__file__).parent.parent
BESIDE = {
    "plain greedy": ("greedy_joint (lazy)", "3", "3.5"),
    "bmdal_reg maxdet (kernel)": ("greedy_joint (lazy)", "1", "1.1"),
    "bmdal_reg maxdist": ("k_center", "1", "0.6"),
    "bmdal_reg lcmd": ("lcmd", "1", "0.7"),
    "bmdal_reg bait": ("bait", "1", "1.8"),
}
"""Alternative: what of ours does the same, the goal (to be ahead), and what earlier runs gave."""


def run(quick: bool) -> Result:
    """Run it; a whole run renews its own results too."""
    result = Result()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json" if quick else FOLDER / "results" / "selection.json"
        words = ["--scale", "0.02"] if quick else []
        command = [sys.executable, str(FOLDER / "selection.py"), "--out", str(out), *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        rows = json.loads(out.read_text())["rows"]
    result.timings = [Timing(row["case"], row["name"], row["seconds"]) for row in rows]
    seconds = {(t.case, t.name): t.seconds for t in result.timings}
    for row in rows:
        if row["name"] in BESIDE:
            name, goal, predicted = BESIDE[row["name"]]
            ratio = row["seconds"] / max(seconds[row["case"], name], 1e-3)
            result.find(row["case"], f"{name} x {row['name']}", ratio, goal, predicted)
    return result
