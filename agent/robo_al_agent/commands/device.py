"""The robot of AGENT.yaml for one command alone."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from robo_al_agent.config import load_config
from robo_al_agent.devices.door import Door
from robo_al_agent.drivers.loading import make_robot
from robo_al_agent.envelope.envelope import Envelope, load_envelope
from robo_al_agent.journal.locking import lock


@contextlib.contextmanager
def device_of(path: Path) -> Iterator[tuple[Door, Envelope]]:
    """Have the robot for this process alone; let go of it in the end."""
    config = load_config(path)
    with lock(config.journal):
        door = Door(make_robot(config, path.resolve().parent))
        try:
            yield door, load_envelope(config.envelope, door.spec)
        finally:
            door.close()
