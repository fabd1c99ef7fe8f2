import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robo_al.campaign.campaign import Campaign
from robo_al.config.load import load_config
from robo_al.dataset.event_log import EventLog, read_events
from robo_al.dataset.events import Activity, Advanced, Noted, RolloutDone, Waiting
from robo_al.dataset.view import RunView
from robo_al.loop.sequential import run
from robo_al.report.page import write_report
from robo_al.testing import FakeOracle
from robo_al.testing.campaign import FAKE_SETTINGS, fake_parts, fake_settings

CONFIG = load_config("robo_al.testing:FakeEnv").text()


def kept(folder):
    return [one.event for one in read_events(folder, lambda kind, key: (kind, key))]


def test_a_view_has_what_observers_were_told(tmp_path):
    folder, first, second = tmp_path / "run", [], []
    with Campaign.create(folder, fake_parts(), FAKE_SETTINGS, CONFIG) as campaign:
        campaign.observers.append(first.append)
        run(campaign, FakeOracle(failures={1: "failed"}), second.append)
        campaign.notice("an approval is wanted: “sure?”")
        assert campaign.observers == [first.append]
    assert first[:-1] == second and first[-1] == Waiting("an approval is wanted: “sure?”")
    lasting = [event for event in first if not isinstance(event, Activity | Advanced)]
    view = RunView(folder)
    assert [one.event for one in view.events] == lasting and len(lasting) > 10
    assert {one.opening for one in view.events} == {1}
    assert [one.at for one in view.events] == sorted(one.at for one in view.events)


def test_the_page_says_what_happened(tmp_path):
    settings = fake_settings(evaluation={"starts": 2, "every": 0})
    with Campaign.create(tmp_path / "run", fake_parts(), settings, CONFIG) as campaign:
        run(campaign, FakeOracle())
        campaign.notice("an approval is wanted: <now>")
    page = write_report(tmp_path / "run").read_text()
    assert "an approval is wanted: &lt;now&gt;" in page and "What happened" in page


def test_what_the_ledger_of_a_view_does_not_have_yet_is_left_out(tmp_path):
    log = EventLog(tmp_path, 1)
    with Campaign.create(tmp_path / "run", fake_parts(), FAKE_SETTINGS, CONFIG) as campaign:
        campaign.connect(FakeOracle())
        run(campaign, FakeOracle())
        rows = [
            one.event.rollout
            for one in RunView(tmp_path / "run").events
            if isinstance(one.event, RolloutDone)
        ]
    for row in rows[:2]:
        log(RolloutDone(row))
    known = {rows[0].id: rows[0]}
    assert [one.event for one in read_events(tmp_path, lambda kind, key: known.get(key))] == [
        RolloutDone(rows[0])
    ]


WRITER = """
import sys
from pathlib import Path
from robo_al.config.load import load_config
from robo_al.dataset.event_log import EventLog
from robo_al.dataset.events import Noted
log = EventLog(Path(sys.argv[1]), 1)
while True:
    log(Noted("x" * 5000))
"""


def test_a_process_that_is_killed_while_it_writes_leaves_whole_events(tmp_path):
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        size = path.stat().st_size if path.exists() else 0
        writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path])
        while not path.exists() or path.stat().st_size < size + 100_000:
            assert writer.poll() is None
            time.sleep(0.001)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    events = kept(tmp_path)
    assert len(events) > 30 and set(events) == {Noted("x" * 5000)}


@pytest.mark.parametrize("part", [b'{"at": "2026', b"\x00\x00\x00", b'{"kind": "Noted"}'])
def test_a_part_of_a_line_is_no_event_and_is_taken_away(tmp_path, part):
    EventLog(tmp_path, 1)(Noted("first"))
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(part)
    assert kept(tmp_path) == [Noted("first")]
    EventLog(tmp_path, 2)(Noted("second"))
    assert kept(tmp_path) == [Noted("first"), Noted("second")]


def test_lines_of_a_later_version_are_left_out(tmp_path):
    EventLog(tmp_path, 1)(Noted("first"))
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'{"at": "", "opening": 1, "kind": "Invented", "text": "x"}\n[1]\nno JSON\n')
    assert kept(tmp_path) == [Noted("first")]


def test_what_finds_no_room_is_written_with_the_next(tmp_path):
    log, path = EventLog(tmp_path, 1), tmp_path / "events.jsonl"
    path.symlink_to("/dev/full")
    log(Noted("first"))
    path.unlink()
    log(Noted("second"))
    assert kept(tmp_path) == [Noted("first"), Noted("second")]


def test_a_run_of_an_earlier_version_has_none(tmp_path):
    assert list(read_events(Path(tmp_path), lambda kind, key: None)) == []
