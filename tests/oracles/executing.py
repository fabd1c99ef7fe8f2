"""Executing candidates by an oracle, and the processes that it has for it."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from robo_al.plugins import make_env
from robo_al.tasks import describe, sample_contexts
from robo_al.types import Candidate, OpenLoop


def candidates_for(spec, n, horizon, goal=None):
    """n open-loop candidates; with a goal, all have it (the envs of tests mind negative ones)."""
    env = make_env(spec)
    task = describe(env, spec)
    rngs = [np.random.default_rng(i) for i in range(n)]
    contexts = sample_contexts(env, rngs)
    if goal is not None:
        contexts = [replace(c, options={"state": (0.0, 0.0), "goal": (goal,)}) for c in contexts]
    size = len(task.action_low)
    return [
        Candidate(
            c,
            OpenLoop(rng.uniform(task.action_low, task.action_high, (horizon, size))),
            horizon,
            i,
            f"c{i}",
        )
        for i, (c, rng) in enumerate(zip(contexts, rngs, strict=True))
    ]


def execute(oracle, candidates):
    """Execute candidates; return the result of each by its id."""
    for candidate in candidates:
        oracle.submit(candidate)
    results = {}
    while len(results) < len(candidates):
        for outcome in oracle.poll():
            assert outcome.candidate_id not in results
            results[outcome.candidate_id] = outcome.result
    return results


def gone(pid):
    """Whether a process has ended, reaped or not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def wait_until(condition):
    """Wait until something is true."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers_of(folder):
    """The pids of the workers that were started for envs of this folder."""
    return [int(path.name.removeprefix("pid-")) for path in Path(folder).glob("pid-*")]


def children_of(pid):
    """The pids of the processes in the group that a worker leads, but for itself."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == pid and int(stat.parent.name) != pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found
