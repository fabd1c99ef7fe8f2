"""What is kept of pictures: with a rollout, as durable as its episode, and told like it."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from robo_al.campaign.campaign import Campaign
from robo_al.dataset.view import RunView
from robo_al.encoding.film import FilmWriter
from robo_al.errors import IntegrityError, StorageError, UserError
from robo_al.testing import FakeOracle
from robo_al.testing.campaign import fake_parts, fake_settings
from robo_al.types import Failure, Film

SETTINGS = fake_settings(initial_rollouts=2)


def filmed(path, outcome):
    """Return an outcome with a film of its own: each picture is as bright as its step."""
    writer = FilmWriter(path, {"eye": (4, 6, 3)}, "png", 0.1)
    for step in range(outcome.result.steps + 1):
        writer.add({"eye": np.full((4, 6, 3), step, np.uint8)})
    return replace(outcome, result=replace(outcome.result, film=writer.end()))


def executed(campaign, folder):
    """Ask for two rollouts; return their outcomes, filmed."""
    oracle = FakeOracle()
    campaign.connect(oracle)
    for candidate in campaign.ask():
        oracle.submit(candidate)
    outcomes = sorted(oracle.poll(), key=lambda outcome: outcome.candidate_id)
    return [filmed(folder / "episodes" / f".{x.candidate_id}.mp4.tmp", x) for x in outcomes]


@pytest.fixture
def run(tmp_path):
    """A run with two recorded rollouts, both filmed."""
    folder = tmp_path / "run"
    with Campaign.create(folder, fake_parts(), SETTINGS, "env: {name: fake}\n") as campaign:
        for outcome in executed(campaign, folder):
            campaign.tell(outcome)
    return folder


def states(folder):
    with Campaign.open(folder, fake_parts(), SETTINGS) as campaign:
        campaign.dataset.quarantine_damaged()
        campaign.dataset.take_back()
    return {row.id: (row.state, row.reason) for row in RunView(folder).rollout_rows}


def test_pictures_are_kept_beside_the_episode_and_decoded_on_demand(run, tmp_path):
    assert sorted(path.name for path in (run / "episodes").iterdir()) == [
        f"r0001-0{index}.{kind}" for index in (0, 1) for kind in ("mp4", "parquet")
    ]
    view = RunView(run)
    (eye,) = view.pictures("r0001-01").values()
    assert [int(picture.mean()) for picture in eye] == list(range(len(eye)))
    assert len(eye) == view.episode("r0001-01").steps + 1
    shutil.move(run, tmp_path / "copied")
    film = RunView(tmp_path / "copied").episode("r0001-00").film
    assert film.path == tmp_path / "copied/episodes/r0001-00.mp4"


def test_a_film_that_is_not_what_was_written_is_told_as_of_an_episode(run):
    film, aside = run / "episodes/r0001-00.mp4", run.parent / "aside"
    for damage in (lambda: film.write_bytes(film.read_bytes()[:-1]), film.unlink):
        shutil.copy(film, aside)
        damage()
        with pytest.raises(IntegrityError, match=r"film of rollout r0001-00: .*mp4"):
            RunView(run).pictures("r0001-00")
        with Campaign.open(run, fake_parts(), SETTINGS) as campaign:
            (row,) = campaign.dataset.quarantine_damaged()
            assert row.state == "quarantined" and "film of rollout r0001-00" in row.reason
        shutil.move(aside, film)
        assert states(run)["r0001-00"] == ("recorded", None)


def test_a_film_that_cannot_be_read_now_is_not_altered(run):
    film = run / "episodes/r0001-00.mp4"
    aside = film.rename(run / "aside")
    film.mkdir()
    with pytest.raises(StorageError, match="film of rollout r0001-00: .* cannot be read now"):
        states(run)
    film.rmdir()
    aside.rename(film)
    assert states(run)["r0001-00"] == ("recorded", None)


def test_what_is_told_again_is_the_same_and_another_film_is_not(tmp_path):
    folder = tmp_path / "run"
    with Campaign.create(folder, fake_parts(), SETTINGS, "x") as campaign:
        first, other = executed(campaign, folder)
        row = campaign.tell(first)
        assert campaign.tell(first) == row
        repeated = filmed(first.result.film.path, first)
        assert campaign.tell(repeated) == row and not repeated.result.film.path.exists()
        kept = campaign.dataset.trajectory(row)
        assert campaign.tell(replace(first, result=kept)) == row and kept.film.path.exists()
        with pytest.raises(IntegrityError, match="recorded already, with another outcome"):
            campaign.tell(replace(first, result=replace(first.result, film=None)))
        with pytest.raises(UserError, match="film of rollout r0001-01 is 'x.mp4'"):
            campaign.tell(replace(other, result=replace(other.result, film="x.mp4")))
        wrong = Film(other.result.film.path, "0" * 64)
        with pytest.raises(IntegrityError, match="film of rollout r0001-01: .* is not what"):
            campaign.tell(replace(other, result=replace(other.result, film=wrong)))
        failed = replace(other, result=Failure("failed", "it fell", other.result))
        assert campaign.tell(failed).state == "failed"
    assert len(RunView(folder).pictures("r0001-01")["eye"]) == other.result.steps + 1


def test_the_hash_of_the_film_is_in_that_of_the_episode(run, tmp_path):
    with Campaign.create(tmp_path / "dark", fake_parts(), SETTINGS, "x") as campaign:
        for outcome in executed(campaign, tmp_path / "dark"):
            campaign.tell(replace(outcome, result=replace(outcome.result, film=None)))
    bright, dark = (RunView(folder) for folder in (run, tmp_path / "dark"))
    pairs = zip(bright.rollout_rows, dark.rollout_rows, strict=True)
    assert all(one.sha256 != other.sha256 for one, other in pairs)
    assert dark.pictures("r0001-00") == {}


def test_what_nobody_recorded_is_cleared_away(tmp_path):
    folder = tmp_path / "run"
    with Campaign.create(folder, fake_parts(), SETTINGS, "x") as campaign:
        executed(campaign, folder)
    assert len(list((folder / "episodes").iterdir())) == 2
    Campaign.open(folder, fake_parts(), SETTINGS).close()
    assert not list((folder / "episodes").iterdir())
