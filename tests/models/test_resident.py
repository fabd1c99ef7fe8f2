import copy
import secrets

import numpy as np
import pytest
import torch

from robo_al.models.resident import Resident
from robo_al.types import Transitions

CPU = torch.device("cpu")


def rollouts(rng, lengths):
    """Return transitions of rollouts of these lengths."""
    n = sum(lengths)
    columns = [rng.normal(size=(n, size)) for size in (3, 2, 3)]
    rollouts = np.repeat(np.arange(len(lengths)), lengths)
    ends = np.append(rollouts[1:] > rollouts[:-1], True)
    return Transitions(*columns, rng.normal(size=n), rollouts, ends)


def joined(*parts):
    """Return the rollouts of several transitions, numbered anew."""
    columns = [
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("observations", "actions", "next_observations", "rewards", "terminated")
    ]
    counts = [np.bincount(part.rollouts) for part in parts]
    lengths = np.concatenate(counts)
    *columns, ends = columns
    return Transitions(*columns, np.repeat(np.arange(len(lengths)), lengths), ends)


def check(steps, transitions):
    """Assert that steps are the transitions, bit for bit."""
    for name in steps._fields:
        np.testing.assert_array_equal(getattr(steps, name).numpy(), getattr(transitions, name))


@pytest.fixture
def parts():
    rng = np.random.default_rng(secrets.randbelow(2**32))
    return rollouts(rng, [5, 4]), rollouts(rng, [6]), rollouts(rng, [3, 2])


def test_only_new_rollouts_travel(parts):
    resident, moved = Resident(CPU, keep=True), []
    for n in (1, 2, 3, 3):
        transitions = joined(*parts[:n])
        check(resident(transitions), transitions)
        moved.append(resident.moved)
    assert moved == [9, 6, 5, 0]


def test_a_late_rollout_in_the_middle_moves_what_is_after_it(parts):
    resident = Resident(CPU, keep=True)
    resident(joined(parts[0], parts[2]))
    late = joined(*parts)
    check(resident(late), late)
    assert resident.moved == 11
    check(resident(late), late)
    assert resident.moved == 0


def test_what_was_taken_back_is_gone(parts):
    resident = Resident(CPU, keep=True)
    resident(joined(*parts))
    check(resident(parts[0]), parts[0])
    assert resident.moved == 0
    without = joined(parts[0], parts[2])
    check(resident(without), without)
    assert resident.moved == 5


@pytest.mark.parametrize(
    "column", ["observations", "actions", "next_observations", "rewards", "rollouts"]
)
def test_a_change_in_any_column_is_noticed(parts, column):
    resident = Resident(CPU, keep=True)
    resident(copy.deepcopy(parts[0]))
    getattr(parts[0], column)[4] += 1
    check(resident(parts[0]), parts[0])
    assert resident.moved == 5


def test_other_sizes_and_nan_are_moved(parts):
    resident, rng = Resident(CPU, keep=True), np.random.default_rng(0)
    columns = [rng.normal(size=(4, 5)) for _ in range(3)]
    resident(Transitions(*columns, np.zeros(4), np.arange(4), np.zeros(4, dtype=bool)))
    parts[0].rewards[7] = np.nan
    check(resident(parts[0]), parts[0])
    check(resident(parts[0]), parts[0])
    assert resident.moved == 2


def test_a_copy_goes_its_own_way(parts):
    resident = Resident(CPU, keep=True)
    resident(parts[0])
    other = copy.deepcopy(resident)
    check(other(joined(*parts)), joined(*parts))
    assert (other.moved, resident.moved) == (11, 9)
    check(resident(parts[0]), parts[0])


def test_on_a_cpu_nothing_is_kept(parts):
    resident = Resident(CPU)
    for _ in range(2):
        steps = resident(parts[0])
        assert np.shares_memory(steps.observations.numpy(), parts[0].observations)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_the_steps_are_there(parts):
    resident = Resident(torch.device("cuda"))
    for n, moved in ((2, 15), (3, 5)):
        steps = resident(joined(*parts[:n]))
        assert steps.rewards.is_cuda and resident.moved == moved
        np.testing.assert_array_equal(steps.actions.cpu().numpy(), joined(*parts[:n]).actions)
