"""The due timer on real loops: never early, once, replaced and closed as told."""

import asyncio

import pytest
import uvloop

from aiperf.clock import RunClock
from aiperf.endpoint.timer import DueTimer

MS = 1_000_000


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop(request):
    loop = request.param()
    yield loop
    loop.close()


@pytest.fixture(params=[True, False], ids=["timerfd", "loop"])
def timer(request, loop):
    fired_ns: list[int] = []
    clock = RunClock()
    made = DueTimer(loop, clock, lambda: fired_ns.append(clock.now_ns()), use_timerfd=request.param)
    made_clock, made_fired = clock, fired_ns
    yield made, made_clock, made_fired
    made.close()
    made.close()


def run(loop, seconds):
    loop.call_later(seconds, loop.stop)
    loop.run_forever()


def test_fires_once_and_never_early(loop, timer):
    due, clock, fired_ns = timer
    at_ns = clock.now_ns() + 20 * MS
    due.arm(at_ns)
    run(loop, 0.2)
    assert len(fired_ns) == 1
    assert fired_ns[0] >= at_ns


def test_past_instant_fires_at_once(loop, timer):
    due, clock, fired_ns = timer
    due.arm(clock.now_ns() - 1000 * MS)
    run(loop, 0.1)
    due.arm(0)
    run(loop, 0.1)
    assert len(fired_ns) == 2


def test_arming_again_replaces(loop, timer):
    due, clock, fired_ns = timer
    due.arm(clock.now_ns() + 5 * MS)
    at_ns = clock.now_ns() + 60 * MS
    due.arm(at_ns)
    run(loop, 0.3)
    assert len(fired_ns) == 1
    assert fired_ns[0] >= at_ns


def test_arming_for_earlier_replaces(loop, timer):
    due, clock, fired_ns = timer
    due.arm(clock.now_ns() + 3_600_000 * MS)
    due.arm(clock.now_ns() + 5 * MS)
    run(loop, 0.2)
    assert len(fired_ns) == 1


def test_closed_timer_stays_silent(loop, timer):
    due, clock, fired_ns = timer
    due.arm(clock.now_ns() + 5 * MS)
    due.close()
    run(loop, 0.1)
    assert fired_ns == []


def test_callback_may_arm_again(loop):
    clock, fired_ns = RunClock(), []

    def fire():
        fired_ns.append(clock.now_ns())
        if len(fired_ns) < 5:
            timer.arm(clock.now_ns() + 2 * MS)

    timer = DueTimer(loop, clock, fire)
    timer.arm(clock.now_ns())
    run(loop, 0.3)
    timer.close()
    assert len(fired_ns) == 5
