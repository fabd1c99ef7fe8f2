import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from robo_al_agent.errors import JournalError
from robo_al_agent.journal.folder import FileJournal
from robo_al_agent.journal.records import Rollout
from robo_al_agent.protocol.wire import Message

REQUEST = Message("submit", {"id": "run/r1"}, {"actions": np.eye(2)})
RESULT = Message("result", {"id": "run/r1"}, {"positions": np.ones((3, 2))})


def filled(folder: Path) -> FileJournal:
    journal = FileJournal(folder)
    journal.lease(3)
    journal.accept(Rollout("run/r1", "abc", "accepted"), REQUEST)
    journal.start("run/r1", True)
    journal.sample("run/r1", b"12345678")
    return journal


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    journal.end("run/r1", "SUCCEEDED", "", 1.0, RESULT)
    journal.latch("no_reply", "motor 3")
    journal.note(what="approved", operator="me")
    journal.close()
    again = FileJournal(tmp_path)
    assert again.fencing_token == 3 and again.fault == ("no_reply", "motor 3")
    rollout = again.rollouts["run/r1"]
    assert (rollout.state, rollout.kind, rollout.hash) == ("ended", "SUCCEEDED", "abc")
    np.testing.assert_array_equal(again.request("run/r1").arrays["actions"], np.eye(2))
    result = again.result("run/r1")
    assert result is not None
    np.testing.assert_array_equal(result.arrays["positions"], np.ones((3, 2)))
    again.acknowledge("run/r1")
    again.clear("me")
    again.close()
    last = FileJournal(tmp_path)
    assert last.rollouts["run/r1"].state == "acknowledged" and last.fault is None
    assert not list(tmp_path.glob("*.re*")) and not list(tmp_path.glob("*.samples"))
    last.close()


def test_samples_of_an_interrupted_rollout_are_there(tmp_path: Path) -> None:
    filled(tmp_path).close()
    again = FileJournal(tmp_path)
    assert again.rollouts["run/r1"].state == "started"
    assert again.samples("run/r1") == b"12345678"
    again.close()


def test_a_torn_last_line_is_dropped_wherever_it_is_torn(tmp_path: Path) -> None:
    filled(tmp_path).close()
    path = tmp_path / "journal.log"
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        journal = FileJournal(tmp_path)
        assert journal.rollouts["run/r1"].state == "accepted", end
        journal.start("run/r1", True)
        journal.close()
        again = FileJournal(tmp_path)
        assert again.rollouts["run/r1"].state == "started"
        again.close()


def test_an_altered_line_stops_the_agent(tmp_path: Path) -> None:
    filled(tmp_path).close()
    path = tmp_path / "journal.log"
    data = bytearray(path.read_bytes())
    data[12] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(JournalError, match="byte 0 is not as it was written"):
        FileJournal(tmp_path)


def test_an_altered_result_is_not_given(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    journal.end("run/r1", "SUCCEEDED", "", 1.0, RESULT)
    (path,) = tmp_path.glob("*.result")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(JournalError, match="not as it was written"):
        journal.result("run/r1")
    journal.close()


def test_a_full_disk_is_told_and_leaves_no_half_line(tmp_path: Path) -> None:
    code = f"""
import resource, signal
from pathlib import Path
from robo_al_agent.journal.folder import FileJournal
from robo_al_agent.errors import JournalError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = FileJournal(Path({str(tmp_path)!r}))
journal.note(what="first")
size = (Path({str(tmp_path)!r}) / "journal.log").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, size + 20))
try:
    journal.note(what="second, and longer than what is left")
except JournalError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "journal.log" in done.stdout
    journal = FileJournal(tmp_path)
    journal.note(what="third")
    journal.close()
    text = (tmp_path / "journal.log").read_text()
    assert "first" in text and "second" not in text and "third" in text


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    filled(tmp_path).close()
    assert os.stat(tmp_path / "journal.log").st_mode & 0o077 == 0
