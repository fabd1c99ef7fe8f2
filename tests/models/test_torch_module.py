import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import save_file

from robo_al.checks import check_plugin
from robo_al.errors import ConfigError, PluginError
from robo_al.models.torch_module import TorchModule
from robo_al.types import EnvSpec

HERE = Path(__file__)
FOREIGN = HERE.parents[1] / "tasks/foreign_envs.py"
SPACE = spaces.Dict(
    {
        "eye": spaces.Box(0, 255, (4, 6, 3), np.uint8),
        "arm": spaces.Tuple([spaces.Box(-1, 1, (2,), np.float64), spaces.Discrete(3)]),
    }
)


class Net(torch.nn.Module):
    """Of the brightness of a picture, and of numbers beside it."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 5)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, seen):
        eye, (arm, choice) = seen["eye"], seen["arm"]
        assert eye.dtype == torch.uint8 and eye.shape == (1, 4, 6, 3)
        assert arm.dtype == torch.float32 and choice.shape == (1,)
        bright = eye.float().mean(dim=(1, 2, 3)) / 255
        return self.drop(self.linear(torch.cat([bright[:, None], arm], dim=1)))


class Eye(torch.nn.Module):
    """Of a picture alone."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(27, 2)

    def forward(self, picture):
        return self.linear(picture[:, ::4, ::4, :].float().flatten(1) / 255)


class Mute(Eye):
    def forward(self, picture):
        return None


class Needing(torch.nn.Module):
    def __init__(self, size):
        super().__init__()


def weights(folder, module, seed=0):
    torch.manual_seed(seed)
    network = module()
    save_file(network.state_dict(), folder / "net.safetensors")
    return network, str(folder / "net.safetensors")


def test_it_is_what_the_network_makes_of_an_observation(tmp_path):
    network, file = weights(tmp_path, Net)
    encoder = TorchModule(SPACE, f"{HERE}:Net", file)
    assert [channel.name for channel in encoder.channels] == [f"embedding[{i}]" for i in range(5)]
    assert encoder.sha256 == hashlib.sha256(Path(file).read_bytes()).hexdigest()
    eye, arm = np.full((4, 6, 3), 51, np.uint8), np.array([0.5, -0.25])
    code = encoder.encode({"eye": eye, "arm": (arm, 1)})
    with torch.no_grad():
        expected = network.linear(torch.tensor([[0.2, 0.5, -0.25]]))[0]
    np.testing.assert_allclose(code, expected.numpy(), rtol=1e-5)
    assert code.dtype == np.float64


def test_it_keeps_the_contract_of_encoders(tmp_path):
    _, file = weights(tmp_path, Eye)
    parameters = {"module": f"{HERE}:Eye", "file": file}
    name = "robo_al.models.torch_module:TorchModule"
    report = check_plugin("encoders", name, parameters, EnvSpec(f"{FOREIGN}:Picturing"))
    assert report.tried == ("channels", "encode")


@pytest.mark.parametrize(
    ("module", "error", "why"),
    [
        ("Net", ConfigError, "net.safetensors does not hold its weights: .*linear"),
        ("Mute", PluginError, "its forward answered with a NoneType"),
        ("Needing", PluginError, "its constructor, called with nothing, raised TypeError"),
        ("weights", PluginError, "called with nothing, raised TypeError"),
        ("EnvSpec", PluginError, "called with nothing, raised TypeError"),
        ("Path", PluginError, "makes a PosixPath, which is no torch.nn.Module"),
        ("Absent", PluginError, "has no 'Absent'"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path, module, error, why):
    _, file = weights(tmp_path, Eye)
    space = spaces.Box(0, 255, (12, 12, 3), np.uint8)
    with pytest.raises(error, match=why):
        TorchModule(space, f"{HERE}:{module}", file)
    with pytest.raises(ConfigError, match="gone cannot be read: No such file"):
        TorchModule(space, f"{HERE}:Eye", str(tmp_path / "gone"))
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(ConfigError, match="does not hold its weights"):
        TorchModule(space, f"{HERE}:Eye", str(tmp_path / "text"))
