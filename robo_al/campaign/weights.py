"""What a model and a policy have learned, as one safetensors file: arrays, and no code."""

from typing import TYPE_CHECKING

from robo_al.protocols import Model, Policy, SupportsState

if TYPE_CHECKING:
    import torch


def snapshot(model: Model, policy: Policy) -> "dict[str, dict[str, torch.Tensor]]":
    """Return copies of the states of those that can be saved, by `model` and `policy`."""
    return {
        name: {key: value.detach().clone().contiguous() for key, value in part.state_dict().items()}
        for name, part in (("model", model), ("policy", policy))
        if isinstance(part, SupportsState)
    }


def take_up(states: "dict[str, dict[str, torch.Tensor]]", model: Model, policy: Policy) -> None:
    """Put states that `snapshot` returned into a model and a policy."""
    for name, part in (("model", model), ("policy", policy)):
        if name in states and states[name] and isinstance(part, SupportsState):
            part.load_state_dict(states[name])


def save_weights(model: Model, policy: Policy) -> bytes | None:
    """Return the content of a safetensors file, or None where the model cannot be saved."""
    from safetensors.torch import save

    states = snapshot(model, policy)
    if "model" not in states:
        return None
    return bytes(
        save(
            {
                f"{name}.{key}": value.cpu()
                for name, state in states.items()
                for key, value in state.items()
            }
        )
    )


def load_weights(data: bytes, model: Model, policy: Policy) -> None:
    """Take up what `save_weights` returned."""
    from safetensors.torch import load

    states: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in load(data).items():
        part, key = name.split(".", 1)
        states.setdefault(part, {})[key] = value.clone()  # aligned as torch does it
    take_up(states, model, policy)
