import numpy as np
import pytest

from robo_al.dataset.recordings.reading import read_recording
from robo_al.errors import UserError


def test_the_format_is_told_by_the_files(make_run, write_lerobot):
    run = make_run("all/run")
    assert len(read_recording(run).episodes) == len(read_recording(run.parent).episodes) == 6
    states = [np.random.default_rng(i).normal(size=(4, 2)) for i in range(2)]
    folder = write_lerobot(states, [np.arange(4.0), np.arange(4.0)])
    assert len(read_recording(folder).episodes) == 2


def test_what_is_no_recording_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        read_recording(tmp_path / "none")
    with pytest.raises(UserError, match="no recording: neither a run folder of robo-al"):
        read_recording(tmp_path)
