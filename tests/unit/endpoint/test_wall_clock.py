"""The watch on the wall clock. The clock itself is left alone; its setting is played."""

import errno
import select
import sys
import time

import pytest

from aiperf.clock import WallError
from aiperf.endpoint.timerfd import TimerDescriptor
from aiperf.endpoint.wall_clock import WallClockWatch, watch_wall_clock
from aiperf.units import NS_PER_S


@pytest.fixture
def watch():
    made = watch_wall_clock()
    if made is None:
        assert sys.platform != "linux"
        pytest.skip("no timerfd on this platform")
    yield made
    made.close()


def test_watch_is_silent_while_the_clock_runs(watch):
    assert select.select([watch], [], [], 0)[0] == []
    assert not watch.was_set()


def test_setting_the_clock_is_told_and_watched_for_again(watch, monkeypatch):
    set_to = []

    def cancelled(_):
        raise OSError(errno.ECANCELED, "Operation canceled")

    monkeypatch.setattr(TimerDescriptor, "has_fired", cancelled)
    monkeypatch.setattr(TimerDescriptor, "set", lambda self, at_ns, flags: set_to.append((at_ns, flags)))
    assert watch.was_set()
    assert len(set_to) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="no timerfd on this platform")
def test_a_step_of_a_tests_wrong_clock_is_told_as_a_real_one_is():
    steps = tuple((time.time_ns() + after_ns, NS_PER_S) for after_ns in (20_000_000, 60_000_000))
    watch = WallClockWatch(WallError(0, steps))
    for instant_ns, _ in steps:
        assert select.select([watch], [], [], 10)[0] == [watch]
        assert time.time_ns() >= instant_ns
        assert watch.was_set()
    assert select.select([watch], [], [], 0)[0] == []
    watch.close()
