"""What a lab pays until so101_reach is solved, and known to be: rollouts and seconds in all.

    python benchmarks/evaluations.py FOLDER [SEEDS]

Runs `configs/so101_reach.yaml` on the simulated arm with the frugal evaluation and with the full
one, and writes FOLDER/evaluations.json: of each run what was learned from and what was executed in
all. Runs that are there already are read, and not run again.
"""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

from robo_al.dataset.view import RunView
from robo_al.report.summary import summarise

CONFIG = Path(__file__).parent.parent / "configs" / "so101_reach.yaml"
KINDS = {
    "frugal": ["--evaluation.kind", "frugal", "--evaluation.starts", "20"],
    "full": ["--evaluation.kind", "full"],
}


def main(folder: Path, seeds: int) -> None:
    """Run what is missing, and write what all runs have come to."""
    runs = []
    for kind, options in KINDS.items():
        for seed in range(seeds):
            out = folder / f"{kind}-{seed}"
            if not (out / "config.yaml").exists():
                command = ["robo-al", "run", str(CONFIG), *options, "--seed", str(seed)]
                subprocess.run([*command, "--out", str(out)], check=False)
            runs.append(_record(out, kind, seed))
    for kind in KINDS:
        own = [run for run in runs if run["evaluation"] == kind]
        solved = [run for run in own if run["solved"]]
        print(f"{kind}: solved {len(solved)} of {len(own)}")
        for key in ("rollouts", "robot_seconds"):
            print(f"  {key} executed in all, median {median(run[key] for run in own)}")
    (folder / "evaluations.json").write_text(json.dumps(runs, indent=1) + "\n")


def _record(out: Path, kind: str, seed: int) -> dict[str, object]:
    summary = summarise(RunView(out))
    executed = summary["executed"]
    return {
        "evaluation": kind,
        "seed": seed,
        "solved": summary["solved"],
        "rounds": summary["rounds"],
        "learned_from": summary["rollouts"],
        "rollouts": executed["rollouts"],
        "robot_seconds": executed["robot_seconds"],
        "evaluations": summary["evaluations"],
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10)
