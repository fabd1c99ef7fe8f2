"""Rollouts and transitions to a solved task, from scratch: the table of docs/results.md.

Runs `robo-al run` for each task and seed in processes of their own and reads `robo-al show`.
Runs that are there already are resumed or read, so the script may be stopped and started again.

    python benchmarks/targets.py --out runs/targets --jobs 2
"""

import argparse
import json
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TASKS = {
    # task: (overrides, transitions that the project set itself as its target)
    "pendulum": (["--threshold", "-200"], 60),
    "cartpole": ([], 100),
    "reacher": ([], 200),
    "cartpole_swingup": ([], 800),
}


def run(task: str, seed: int, out: Path, extra: list[str]) -> dict:
    """Run or resume one campaign; return what `robo-al show --json` says of it."""
    folder = out / f"{task}-{seed}"
    program = str(Path(sys.executable).parent / "robo-al")
    if (folder / "config.yaml").exists():
        command = [program, "resume", str(folder)]
    else:
        overrides = [*TASKS[task][0], "--seed", str(seed), *extra]
        command = [program, "run", f"configs/{task}.yaml", "--out", str(folder), *overrides]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{folder}: {done.stderr.strip()}", file=sys.stderr)
    shown = subprocess.run(
        [program, "show", str(folder), "--json"], capture_output=True, text=True, check=True
    )
    print(f"{folder}: {done.stdout.strip().splitlines()[-2:]}", flush=True)
    return json.loads(shown.stdout)


def first_at(shown: dict, threshold: float) -> int | None:
    """Return the transitions at the first evaluation at or above the threshold."""
    for evaluation in shown["evaluations"]:
        if evaluation["mean_return"] is not None and evaluation["mean_return"] >= threshold:
            return evaluation["transitions"]
    return None


def table(results: dict[str, list[dict]]) -> str:
    """Return the Markdown table of all results."""
    lines = [
        "| task | threshold | target | solved at (median) | first crossing (median) "
        "| solved at, each seed | seconds a run (median) |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, shown in results.items():
        threshold = shown[0]["threshold"]
        solved = [s["solved_at"]["transitions"] if s["solved_at"] else None for s in shown]
        first = [first_at(s, threshold) for s in shown]
        seconds = statistics.median(sum(s["seconds"].values()) for s in shown)
        lines.append(
            f"| {task} | {threshold:g} | {TASKS[task][1]} | {median(solved)} | {median(first)} "
            f"| {', '.join('-' if s is None else str(s) for s in solved)} | {seconds:.0f} |"
        )
    return "\n".join(lines)


def median(values: list[int | None]) -> str:
    """Return the median with what was never reached counted as beyond every number."""
    reached = sorted(float("inf") if value is None else float(value) for value in values)
    middle = reached[len(reached) // 2]
    return "not reached" if middle == float("inf") else f"{middle:g}"


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/targets"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    arguments, extra = parser.parse_known_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        futures = {
            task: [
                pool.submit(run, task, seed, arguments.out, extra)
                for seed in range(arguments.seeds)
            ]
            for task in arguments.tasks
        }
        results = {task: [f.result() for f in found] for task, found in futures.items()}
    print(table(results))
    raw = {
        task: [{k: s[k] for k in ("seed", "evaluations", "solved_at", "seconds")} for s in shown]
        for task, shown in results.items()
    }
    (arguments.out / "targets.json").write_text(json.dumps(raw, indent=1) + "\n")


if __name__ == "__main__":
    main()
