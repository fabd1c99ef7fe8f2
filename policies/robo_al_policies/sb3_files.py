"""An `sb3` policy in a folder: weights as safetensors, what it was made with as JSON. No pickle."""

import json
from pathlib import Path

from robo_al.errors import UserError
from robo_al.types import Task
from robo_al_policies.sb3 import SB3

WEIGHTS, DESCRIPTION = "policy.safetensors", "policy.json"


def save_policy(policy: SB3, folder: str | Path) -> None:
    """Write a policy into a folder, which is made if there is none."""
    from safetensors.torch import save

    folder, task = Path(folder), policy.task
    folder.mkdir(parents=True, exist_ok=True)
    state = {key: value.cpu().clone() for key, value in policy.state_dict().items()}
    description = {
        "policy": "sb3",
        "env": {"name": task.env.name, "parameters": dict(task.env.parameters)},
        "channels": [channel.name for channel in task.channels],
        "parameters": policy.parameters,
    }
    (folder / WEIGHTS).write_bytes(save(state))
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2, allow_nan=False) + "\n")


def load_policy(folder: str | Path, task: Task, device: str = "cpu") -> SB3:
    """Return the policy that `save_policy` wrote, to act or to be trained further.

    Raises:
        UserError: there is none in the folder, or it is of another task.
        ModelError: its weights do not fit its description.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder = Path(folder)
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
        state = load((folder / WEIGHTS).read_bytes())
        channels, parameters = description["channels"], description["parameters"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"{folder}: no sb3 policy here: {type(error).__name__}: {error}") from None
    if channels != [channel.name for channel in task.channels]:
        raise UserError(
            f"{folder}: its policy observes {', '.join(channels)}, and {task.env.name} something "
            "else"
        )
    policy = SB3(task, device, **parameters)
    policy.load_state_dict(state)
    return policy
