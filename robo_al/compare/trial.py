"""Whether tasks and strategies of a comparison go together, tried before anything is written."""

from collections.abc import Callable, Collection
from pathlib import Path
from tempfile import TemporaryDirectory

from robo_al.build import create_campaign
from robo_al.compare.plan import Plan
from robo_al.errors import ConfigError, RoboALError


def dry_run(
    plan: Plan, begun: Collection[tuple[str, str]], tell: Callable[[str, str], None]
) -> dict[str, tuple[str, ...]]:
    """Create one campaign of each task and strategy, in a scratch folder.

    Args:
        plan: the comparison.
        begun: tasks and strategies that are known to go together.
        tell: told the task and strategy that are tried next.

    Returns:
        For each task that was tried, what is to be said of it (`robo_al.types.Task.notes`).

    Raises:
        ConfigError: some do not go together: all of them, and why.
    """
    lines, notes = [], dict[str, tuple[str, ...]]()
    for (task, strategy), config in plan.configs.items():
        if (task, strategy) in begun:
            continue
        tell(task, strategy)
        try:
            with TemporaryDirectory() as scratch:
                with create_campaign(config, Path(scratch) / "run") as campaign:
                    notes[task] = campaign.parts.task.notes
        except RoboALError as error:
            lines.append(f"task {task}, strategy {strategy}: {error}")
    if lines:
        raise ConfigError("\n  ".join(["the comparison cannot be run", *lines]))
    return notes
