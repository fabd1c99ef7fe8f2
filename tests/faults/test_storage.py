"""A full disk: the campaign stops with a message, and goes on to what it would have been."""

import errno
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from robo_al.campaign.campaign import Campaign
from robo_al.dataset import files, lock
from robo_al.encoding.film import FilmWriter
from robo_al.errors import StorageError
from robo_al.loop.sequential import run
from robo_al.testing import FakeOracle
from robo_al.testing.campaign import fake_parts, fake_settings

SETTINGS = fake_settings(rounds=2)


def finish(folder):
    parts = fake_parts()
    started = (folder / "config.yaml").exists()
    campaign = (
        Campaign.open(folder, parts, SETTINGS)
        if started
        else Campaign.create(folder, parts, SETTINGS, "x")
    )
    with campaign:
        run(campaign, FakeOracle(), lambda event: None)
        return campaign.dataset.ledger.digest()


class Full:
    """A disk that is full from the n-th write of a file on."""

    def __init__(self, monkeypatch, at):
        self.calls, self.at = 0, at
        for module in (files, lock):
            monkeypatch.setattr(module, "open", self.open, raising=False)
        monkeypatch.setattr(os, "fsync", self.fsync)

    def open(self, path, mode):
        self.count()
        return open(path, mode)

    def fsync(self, descriptor):
        self.count()

    def count(self):
        self.calls += 1
        if self.calls >= self.at:
            raise OSError(errno.ENOSPC, "No space left on device")


def test_full_at_every_write(tmp_path, monkeypatch):
    expected = finish(tmp_path / "whole")
    at = 0
    while True:
        at += 1
        folder = tmp_path / f"run{at}"
        with monkeypatch.context() as patch:
            Full(patch, at)
            try:
                assert finish(folder) == expected
                break
            except StorageError as error:
                assert "disk is full" in str(error)
        assert finish(folder) == expected, f"full at write {at}"
    assert at > 30


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_really_full(tmp_path, small_disk):
    expected = finish(tmp_path / "whole")
    page = os.sysconf("SC_PAGE_SIZE")
    stopped = 0
    for free in range(1, 40, 3):
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * (_free(small_disk) - free * page))
        folder = small_disk / f"run{free}"
        try:
            finish(folder)
        except StorageError:
            stopped += 1
        ballast.unlink()
        assert finish(folder) == expected, f"{free} pages were free"
        subprocess.run(["rm", "-r", str(folder)], check=True)
    assert stopped > 5


@pytest.mark.parametrize("codec", ["png", "h264"])
def test_a_film_on_a_disk_that_is_really_full(small_disk, codec):
    rng, path = np.random.default_rng(0), small_disk / "film"
    (small_disk / "ballast").write_bytes(b"x" * (_free(small_disk) - 50_000))
    with pytest.raises(StorageError, match="film: cannot be written: the disk is full"):
        writer = FilmWriter(path, {"eye": (48, 64, 3)}, codec, 0.1)
        for _ in range(200):
            writer.add({"eye": rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)})
    assert not path.exists() and _free(small_disk) >= 45_000


def _free(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize
