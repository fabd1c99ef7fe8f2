"""Makes docs/benchmark.md from the committed records of configs/compare/first.yaml.

robo-al compare configs/compare/first.yaml --out runs/first --resume
python benchmarks/benchmark.py --collect runs/first      # runs -> the records
python benchmarks/benchmark.py                           # the records -> the page
"""

import argparse
import json
from pathlib import Path

from robo_al.compare.analysis import analyse
from robo_al.compare.plan import load_plan
from robo_al.compare.records import RunRecord
from robo_al.compare.report import markdown
from robo_al.compare.runner import read_records

ROOT = Path(__file__).parent.parent
PLAN = ROOT / "configs" / "compare" / "first.yaml"
RECORDS = ROOT / "benchmarks" / "results" / "benchmark.jsonl"
FINDINGS = ROOT / "benchmarks" / "benchmark.md"
PAGE = ROOT / "docs" / "benchmark.md"

HEAD = """# Which strategy is worth a robot's time: a first result

[configs/compare/first.yaml](../configs/compare/first.yaml), the first part of
[benchmark.yaml](../configs/compare/benchmark.yaml): from scratch, every transition counted, the
shipped Gaussian process and iCEM, one rollout a round. `python benchmarks/benchmark.py` makes this
page from [the records of every run](../benchmarks/results/benchmark.jsonl).
"""


def collect(folder: Path) -> None:
    """Write the records of a comparison's runs, one line each."""
    records = read_records(folder, load_plan(PLAN)).values()
    RECORDS.write_text("".join(f"{json.dumps(record.to_json())}\n" for record in records))


def page() -> str:
    """Return docs/benchmark.md."""
    plan = load_plan(PLAN)
    records = [RunRecord.from_json(json.loads(line)) for line in RECORDS.read_text().splitlines()]
    comparison = analyse(plan.tasks, plan.strategies, plan.seeds, plan.bounds, records)
    return "\n".join([HEAD, FINDINGS.read_text(), "## The figures", "", markdown(comparison)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collect", type=Path, metavar="DIR", help="of the comparison")
    arguments = parser.parse_args()
    if arguments.collect:
        collect(arguments.collect)
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
