"""What the benchmarks share: alternatives in turn, the best of several, and the machine's peak."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

CORES = len(os.sched_getaffinity(0))
PEAK = "GEMM peak"
SIDE = 2048
"""Rows and columns of the square float32 matrices that the peak is measured with."""


@dataclass(frozen=True)
class Timing:
    """How long one alternative took."""

    case: str
    name: str
    seconds: float


@dataclass(frozen=True)
class Finding:
    """One number that there is a goal for."""

    case: str
    what: str
    value: float
    goal: str
    predicted: str
    """Written down before it was measured."""


@dataclass
class Result:
    """What one benchmark found."""

    timings: list[Timing] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def time(
        self, case: str, alternatives: Mapping[str, Callable[[], object]], repeats: int
    ) -> dict[str, float]:
        """Time alternatives in turn, note the best of each, and return them (s)."""
        best = interleaved(alternatives, repeats)
        self.timings += [Timing(case, name, seconds) for name, seconds in best.items()]
        return best

    def find(self, case: str, what: str, value: float, goal: str, predicted: str) -> None:
        """Note a number that there is a goal for."""
        self.findings.append(Finding(case, what, value, goal, predicted))

    def note(self, text: str) -> None:
        """Note something that could not be measured, or that a reader must know."""
        self.notes.append(text)


def interleaved(alternatives: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the best seconds of each alternative, each run once in every turn.

    Whatever else the machine does then slows all of them, and the best is the least disturbed.
    One turn before, which is not counted, warms them up.
    """
    best = dict.fromkeys(alternatives, float("inf"))
    for turn in range(repeats + 1):
        for name, run in alternatives.items():
            synchronize()
            began = time.perf_counter()
            run()
            synchronize()
            if turn:
                best[name] = min(best[name], time.perf_counter() - began)
    return best


def device() -> str:
    """Return the GPU if there is one, and let torch use all cores."""
    torch.set_num_threads(CORES)  # making a campaign sets it to 1
    return "cuda" if torch.cuda.is_available() else "cpu"


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def gemm(place: str) -> Callable[[], object]:
    """Return a product of square matrices in float32: 2 SIDE^3 operations."""
    left, right = (torch.randn(SIDE, SIDE, device=place) for _ in range(2))
    out = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=out)


def fraction_of_peak(operations: float, seconds: float, gemm_seconds: float) -> float:
    """Return operations a second, by those of the product of square matrices."""
    return operations / seconds / (2 * SIDE**3 / gemm_seconds)


def multiplications(widths: tuple[int, ...]) -> int:
    """Return the weights of a network with layers of these widths."""
    return sum(i * o for i, o in zip(widths[:-1], widths[1:], strict=True))
