"""Samples as numbers: one row each while they are taken, columns once they are whole."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robo_al_agent.errors import SetupError
from robo_al_agent.robot import Array, RobotSpec, Sample

MEASURED = ("positions", "velocities", "efforts", "sensors")


def numbers(sample: Sample) -> list[Array]:
    """Return the parts of a row: time (ns) and sequence number [2], then what was measured."""
    head = np.array([sample.time_ns, sample.sequence], float)  # exact up to 2^53 ns: 104 days
    return [head, *(getattr(sample, name) for name in MEASURED)]


def measured(sample: Sample) -> dict[str, Array]:
    """Return what a reading measured, as it goes to the host."""
    return {name: getattr(sample, name) for name in MEASURED}


def samples_of(spec: RobotSpec, data: bytes, further: int = 0) -> tuple[list[Sample], Array]:
    """Return the samples of the rows that a journal kept; a torn last row is left out.

    Args:
        spec: of the robot.
        data: rows of `numbers` and `further` more each, float64, little-endian.
        further: numbers of a row after those of the sample.

    Returns:
        The samples, and the further numbers [T, further].

    Raises:
        SetupError: these are rows of another robot: of other joints or sensors.
    """
    joints, sensors = len(spec.joints), len(spec.sensors)
    width = 2 + 3 * joints + sensors + further
    whole = len(data) // (8 * width) * 8 * width
    table = np.frombuffer(data[:whole], "<f8").reshape(-1, width)
    times, sequence = table[:, 0], table[:, 1]
    if (np.diff(times) < 0).any() or (table[:, :2] % 1 != 0).any() or not np.diff(sequence).all():
        raise SetupError(
            f"{spec.name}: what was running when the agent ended has rows of other joints or "
            "sensors than AGENT.yaml now names; start the agent once with those that it had then"
        )
    ends = np.cumsum([2, joints, joints, joints, sensors])
    samples = []
    for row in table:
        head, q, speeds, efforts, others, _ = np.split(row, ends)
        samples.append(Sample(int(head[0]), int(head[1]), q, speeds, efforts, others))
    return samples, table[:, ends[-1] :]


def arrays_of(spec: RobotSpec, samples: Sequence[Sample]) -> dict[str, NDArray[np.generic]]:
    """Return samples as columns: `time_ns` and `sequence` [T], the rest [T, J] or [T, S]."""
    joints = len(spec.joints)
    widths = dict.fromkeys(MEASURED, joints) | {"sensors": len(spec.sensors)}
    return {
        "time_ns": np.array([sample.time_ns for sample in samples], np.int64),
        "sequence": np.array([sample.sequence for sample in samples], np.int64),
        **{
            name: rows([getattr(sample, name) for sample in samples], width)
            for name, width in widths.items()
        },
    }


def rows(values: Sequence[Array], width: int) -> Array:
    """Return values [T, width], also where there is none."""
    return np.array(values, np.float64).reshape(len(values), width)
