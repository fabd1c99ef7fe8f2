import pytest

import robo_al.dataset.clock
from robo_al.dataset.clock import ACTIVITIES, Clock


@pytest.fixture
def time(monkeypatch):
    class Time:
        now = 100.0

        def monotonic(self):
            return self.now

        def process_time(self):
            return self.now / 2

    time = Time()
    monkeypatch.setattr(robo_al.dataset.clock, "time", time)
    return time


def test_every_second_is_counted_once(time):
    began = []
    clock = Clock({"train": 5.0}, began.append)
    time.now += 1
    with clock.activity("evaluate"):
        time.now += 2
        with clock.activity("feedback"):
            time.now += 4
        time.now += 8
    time.now += 16
    expected = dict.fromkeys(ACTIVITIES, 0.0)
    expected |= {"other": 17.0, "evaluate": 10.0, "feedback": 4.0, "train": 5.0}
    assert clock.seconds == expected == clock.seconds
    assert began == ["evaluate", "feedback"]


def test_processor_time_leaves_evaluations_out(time):
    clock = Clock({}, cpu_seconds=3.0)
    with clock.activity("train"):
        time.now += 2
    with clock.activity("evaluate"):
        time.now += 100
    time.now += 4
    assert clock.cpu_seconds == 6.0 == clock.cpu_seconds


def test_an_error_ends_its_activity(time):
    clock = Clock({})
    with pytest.raises(ZeroDivisionError), clock.activity("train"):
        time.now += 1
        raise ZeroDivisionError
    time.now += 2
    assert clock.seconds["train"] == 1 and clock.seconds["other"] == 2
