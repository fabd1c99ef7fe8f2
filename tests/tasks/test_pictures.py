"""Whole campaigns in an env that shows pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from robo_al import RunView, loop
from robo_al.build import create_campaign, load_run_config, make_oracle, open_campaign
from robo_al.config.schema import Config
from robo_al.encoding.film import read_film
from robo_al.errors import UserError
from robo_al.report.page import write_report
from robo_al.tasks import shelf

FOREIGN = Path(__file__).with_name("foreign_envs.py")
SMALL = {
    "env": f"{FOREIGN}:Picturing",
    "encoder": {"name": "downscale", "size": 2},
    "policy": "robo_al.testing:FakePolicy",
    "model": "robo_al.testing:FakeModel",
    "strategy": "random",
    "rounds": 2,
    "rollout_steps": 4,
    "candidates": 2,
    "evaluation": {"starts": 2},
    "device": "cpu",
}


class Eye(torch.nn.Module):
    """An encoder: of the brightness of rows."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(12, 2)

    def forward(self, picture):
        return self.linear(picture.float().mean(dim=(2, 3)))


def go_on(campaign, config):
    with campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, lambda event: None)


def run(folder, **changes):
    config = Config.model_validate(SMALL | changes)
    go_on(create_campaign(config, folder), config)
    return RunView(folder)


def test_both_oracles_keep_what_was_seen_and_encode_it(tmp_path):
    views = [run(tmp_path / name, oracle=name) for name in ("simulation", "gymnasium")]
    hashes = [[row.sha256 for row in view.recorded] for view in views]
    assert hashes[0] == hashes[1] and len(hashes[0]) == 2
    for row in views[0].recorded:
        (seen,) = views[0].pictures(row.id).values()
        episode = views[0].episode(row.id)
        quarters = [
            picture.mean(-1).reshape(2, 6, 2, 6).mean(axis=(1, 3)).ravel() / 255 for picture in seen
        ]
        np.testing.assert_allclose(quarters, episode.observations, atol=1e-12)
    for evaluation in views[0].evaluation_rows:
        for _, trajectory, _ in views[0].evaluation(evaluation):
            (seen,) = read_film(trajectory.film.path).values()
            assert len(seen) == trajectory.steps + 1


def test_a_report_shows_what_was_observed(tmp_path):
    run(tmp_path / "run")
    page = write_report(tmp_path / "run").read_text()
    assert page.count("It shows what was observed, observation.") >= 1
    assert "data:video/mp4;base64," in page and "There is no video" not in page


def test_a_run_that_was_stopped_goes_on_to_the_same_ledger(tmp_path):
    whole = run(tmp_path / "whole", pictures="h264").folder
    run(tmp_path / "stopped", pictures="h264", rounds=1)
    config = load_run_config(tmp_path / "stopped", ["--rounds", "2"])
    go_on(open_campaign(tmp_path / "stopped", ["--rounds", "2"]), config)
    seen, again = (RunView(folder).rollout_rows for folder in (whole, tmp_path / "stopped"))
    assert [row.sha256 for row in seen] == [row.sha256 for row in again]


def test_what_an_encoder_has_learned_is_part_of_the_run(tmp_path):
    torch.manual_seed(0)
    save_file(Eye().state_dict(), tmp_path / "eye.safetensors")
    encoder = {
        "name": "robo_al.models.torch_module:TorchModule",
        "module": f"{__file__}:Eye",
        "file": str(tmp_path / "eye.safetensors"),
    }
    view = run(tmp_path / "run", encoder=encoder, rounds=1)
    noted = view.config["encoder_sha256"]
    assert len(noted) == 64
    save_file(Eye().state_dict(), tmp_path / "eye.safetensors")
    shelf.clear()  # another process has no env left
    with pytest.raises(UserError, match=f"what it has learned is [0-9a-f]*, not {noted}"):
        open_campaign(tmp_path / "run", ["--rounds", "2"])
    other = run(tmp_path / "other", encoder=encoder, rounds=1)
    assert other.config["encoder_sha256"] != noted
    assert other.rollout_rows[0].config_hash != view.rollout_rows[0].config_hash
