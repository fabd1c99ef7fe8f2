"""A network of one's own as an encoder: a class, and a file of its weights."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from robo_al import plugins
from robo_al.errors import ConfigError, PluginError
from robo_al.torch_defaults import one_thread
from robo_al.types import Channel


class TorchModule:
    """What a `torch.nn.Module` makes of an observation, each number of it a channel.

    Its `forward` is given one observation as the env shows it, a tensor or dictionaries and tuples
    of them, each with a first axis of 1 for the batch: pictures of uint8, other numbers of float32.
    It answers with numbers, as many each time. It is never trained here.

    Args:
        space: of the observations.
        module: the class, `path/to/file.py:Class` or `package.module:Class`; it is constructed
            without arguments.
        file: its `state_dict` as safetensors.

    Raises:
        ConfigError: the file cannot be read, or is not that of the class.
        PluginError: there is no such class, or what it answers cannot be used.
    """

    def __init__(self, space: spaces.Space[Any], module: str, file: str) -> None:
        content = _read(Path(file).expanduser())
        self.sha256 = hashlib.sha256(content).hexdigest()
        """Of the file, for the record."""
        self._where = f"encoder torch_module: {module}"
        self._module = _loaded(module, content, file, self._where)
        size = len(self.encode(_nothing(space)))
        self.channels = tuple(Channel(f"embedding[{i}]", "1") for i in range(size))

    @one_thread
    def encode(self, observation: Any) -> Float[np.ndarray, "O"]:
        """Return what the network makes of an observation; raises `PluginError` if nothing."""
        import torch

        with torch.no_grad():
            try:
                answer = self._module(_tensors(observation))
            except Exception as error:
                said = f"its forward raised {type(error).__name__}: {error}".split("\n")[0]
                raise PluginError(f"{self._where}: {said}") from error
        if not isinstance(answer, torch.Tensor) or not answer.numel():
            kind = type(answer).__name__
            raise PluginError(f"{self._where}: its forward answered with a {kind}; numbers needed")
        numbers: Float[np.ndarray, "O"] = answer.ravel().double().numpy()
        return numbers


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        said = f"encoder torch_module: file {file} cannot be read: {error.strerror}"
        raise ConfigError(f"{said}; give the safetensors file of the module's weights") from error


def _loaded(module: str, content: bytes, file: str, where: str) -> Any:
    """Return a network with the weights of a file."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        network = plugins.load("encoders", module)()
    except (ConfigError, PluginError):
        raise
    except Exception as error:
        said = f"its constructor, called with nothing, raised {type(error).__name__}: {error}"
        raise PluginError(f"{where}: {said}") from error
    if not isinstance(network, torch.nn.Module):
        raise PluginError(f"{where} makes a {type(network).__name__}, which is no torch.nn.Module")
    try:
        network.load_state_dict(load(content))
    except (SafetensorError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"{where}: file {file} does not hold its weights: {said}") from error
    return network.eval().requires_grad_(False)


def _nothing(space: spaces.Space[Any]) -> Any:
    """Return an observation of zeros."""
    from gymnasium.vector.utils import create_empty_array

    match space:
        case spaces.Dict():
            return {key: _nothing(each) for key, each in space.spaces.items()}
        case spaces.Tuple():
            return tuple(_nothing(each) for each in space.spaces)
    zeros: Any = create_empty_array(space, n=1, fn=np.zeros)
    return zeros[0]


def _tensors(observation: Any) -> Any:
    """Return an observation with tensors in place of arrays, each with an axis for the batch."""
    import torch

    if isinstance(observation, dict):
        return {key: _tensors(part) for key, part in observation.items()}
    if isinstance(observation, tuple):
        return tuple(map(_tensors, observation))
    array = np.asarray(observation)
    dtype = torch.uint8 if array.dtype == np.uint8 else torch.float32
    return torch.as_tensor(array[None].copy()).to(dtype)
