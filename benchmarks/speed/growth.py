"""Time of a round, and memory, against the number of rollouts recorded: 10 to 10,000.

One campaign whose ledger is filled with synthetic rollouts, one a round, through the dataset; at
each size it turns the loop for real. Only training may grow. The files are not synced while it is
filled: that would take longer than everything else here. Memory is what the process holds once the
allocator has given back what training does not use any more, and what it held before that.
"""

import ctypes
import ctypes.util
import gc
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
from measure import Result, Timing, device

from robo_al import loop
from robo_al.build import create_campaign, make_oracle
from robo_al.campaign.campaign import Campaign
from robo_al.config.load import load_config
from robo_al.dataset.ledger import RolloutRow, RoundRow, to_json
from robo_al.types import Outcome, Trajectory

SETTINGS = [
    *("--rollout_steps", "10", "--candidates", "8", "--evaluation.every", "0"),
    *("--stop_when_solved", "false", "--policy.name", "random", "--rounds", "1000000"),
    *("--model.name", "ensemble", "--model.max_steps", "50", "--model.hidden", "64"),
]
STEPS, TURNS = 10, 3
MEBIBYTE = 2**20


@contextmanager
def unsynced(campaign: Campaign) -> Iterator[None]:
    """Let files be written without waiting for the disk."""
    connection = campaign.dataset.ledger._connection
    connection.execute("PRAGMA synchronous=OFF")
    with mock.patch("os.fsync"):
        yield
    connection.execute("PRAGMA synchronous=EXTRA")


def give_back() -> None:
    """Return memory that nothing uses to the system (glibc only)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(ctypes.util.find_library("c")), "malloc_trim", None)
    if trim is not None:
        trim(0)


def fill(campaign: Campaign, until: int) -> None:
    """Record synthetic rollouts, each a round of its own with a record like a real one."""
    ledger, draw = campaign.dataset.ledger, np.random.default_rng(0)
    row, record = ledger.rows(RolloutRow)[-1], ledger.rows(RoundRow)[-1].record
    assert record is not None
    first = campaign.dataset.trajectory(row)
    began, shape = campaign.rounds, first.observations.shape
    for index in range(began + 1, began + until - len(campaign.dataset) + 1):
        fresh = replace(row, id=f"r{index:04d}-00", round=index, state="dispatched", sequence=None)
        with ledger.transaction():
            line = to_json(json.loads(record) | {"round": index, "rollouts": index})
            ledger.insert(RoundRow(index, None, line), fresh)
        made = Trajectory(
            first.observations + draw.normal(0, 0.1, shape),
            draw.uniform(-1, 1, first.actions.shape),
            first.requested,
            draw.normal(size=len(first.rewards)),
        )
        campaign.dataset.record(fresh, Outcome(fresh.id, made, 1.0), 0.0, 1.0)


def run(quick: bool) -> Result:
    """Measure rounds at each size."""
    result = Result()
    sizes = (10, 30, 100) if quick else (10, 100, 1000, 10_000)
    config = load_config("pendulum", [*SETTINGS, "--device", device()])
    process, found = psutil.Process(os.getpid()), {}
    with (
        tempfile.TemporaryDirectory() as folder,
        create_campaign(config, Path(folder) / "run") as campaign,
        make_oracle(config) as oracle,
    ):

        def turn() -> dict[str, float]:
            before = campaign.clock.seconds
            limit = campaign.rounds + 1
            campaign.settings = campaign.settings.model_copy(update={"rounds": limit})
            loop.run(campaign, oracle, lambda event: None)
            return {name: s - before[name] for name, s in campaign.clock.seconds.items()}

        for _ in range(2):
            turn()
        for size in sizes:
            with unsynced(campaign):
                fill(campaign, size)
            turn()  # reads and trains what is new
            rounds = [turn() for _ in range(TURNS)]
            train = min(spent["train"] for spent in rounds)
            rest = min(sum(spent.values()) - spent["train"] for spent in rounds)
            trained = process.memory_info().rss
            give_back()
            found[size] = (train, rest, trained, process.memory_info().rss)
            case = f"{size} rollouts recorded"
            result.timings += [Timing(case, "training", train), Timing(case, "rest", rest)]
    least, most = sizes[0], sizes[-1]
    case = f"from {least} to {most} rollouts of {STEPS} steps"
    train, rest, trained, kept = found[least]
    later_train, later_rest, later_trained, later_kept = found[most]
    result.find(case, "x time of a round without training", later_rest / rest, "1", "10")
    result.find(case, "x time of training", later_train / train, "", "10")
    per_step = (later_kept - kept) / ((most - least) * STEPS)
    result.find(case, "bytes of memory a transition", per_step, "", "300")
    result.find(case, "MiB of memory more", (later_kept - kept) / MEBIBYTE, "0", "30")
    more = (later_trained - trained) / MEBIBYTE
    result.find(case, "MiB of memory more, after training", more, "", "")
    return result
