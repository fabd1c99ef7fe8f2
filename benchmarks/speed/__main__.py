"""How fast robo-al is, beside what a user would pick instead and beside the limit.

    python benchmarks/speed --quick                  # does everything work
    python benchmarks/speed --only rollouts growth
    python benchmarks/speed --out benchmarks/results/speed.json    # all, and the table of README.md

Ratios are of alternatives that ran in turn, in one process; benchmarks/README.md says how.
"""

import argparse
import importlib
import json
import platform
import sys
import time
from dataclasses import asdict
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from measure import CORES, Result, device

NAMES = ("rollouts", "training", "imagination", "planning", "selecting", "overhead", "growth")
VERSIONS_OF = ("robo-al", "torch", "mujoco", "gymnasium", "stable-baselines3", "mbrl", "envpool")
README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- the table of `make bench` -->", "<!-- end of the table -->"


def machine() -> dict[str, Any]:
    """Return what the numbers depend on."""
    versions = {}
    for name in VERSIONS_OF:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    place = device()
    kind = torch.cuda.get_device_name() if place == "cuda" else platform.processor() or "CPU"
    return {
        "date": date.today().isoformat(),
        "device": f"{place} ({kind})",
        "cores": CORES,
        "python": platform.python_version(),
        "versions": versions,
    }


def tables(about: dict[str, Any], results: dict[str, Result]) -> str:
    """Return the findings, the timings and the notes as Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    lines = [f"{about['date']}, {about['cores']} cores, {about['device']}; {versions}.", ""]
    lines += [
        "| benchmark | case | what | measured | goal | predicted |",
        "|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        for f in result.findings:
            value = f"{f.value:.3g}"
            lines.append(f"| {name} | {f.case} | {f.what} | {value} | {f.goal} | {f.predicted} |")
    lines += ["", "| case | alternative | seconds |", "|---|---|---|"]
    for result in results.values():
        lines += [f"| {t.case} | {t.name} | {t.seconds:.3g} |" for t in result.timings]
    notes = [f"- {note}" for result in results.values() for note in result.notes]
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, once; no numbers")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--out", type=Path, help="JSON; of all, also renews README.md's table")
    options = parser.parse_args()
    about, results = machine(), {}
    for name in options.only:
        began = time.perf_counter()
        device()
        results[name] = importlib.import_module(name).run(options.quick)
        print(tables(about, {name: results[name]}))
        print(f"{name}: {time.perf_counter() - began:.0f} s\n", file=sys.stderr, flush=True)
    if options.out:
        content = {name: asdict(result) for name, result in results.items()}
        options.out.write_text(json.dumps({"machine": about, **content}, indent=1) + "\n")
        if not options.quick and tuple(options.only) == NAMES:
            head, _, rest = README.read_text().partition(BEGIN)
            tail = rest.partition(END)[2]
            README.write_text(f"{head}{BEGIN}\n\n{tables(about, results)}\n{END}{tail}")


if __name__ == "__main__":
    main()
