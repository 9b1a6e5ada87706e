import socket
import sys
import time

import pytest

from aiperf.mock.poller import READABLE, EpollPoller, PollPoller

KINDS = [PollPoller, EpollPoller] if sys.platform == "linux" else [PollPoller]


@pytest.fixture(params=KINDS)
def poller(request):
    made = request.param()
    yield made
    made.close()


def test_it_never_wakes_before_the_instant(poller):
    for wait_ns in (0, 100_000, 1_500_000, 20_000_000):
        wake_ns = time.time_ns() + wait_ns
        while time.time_ns() < wake_ns:  # poll may come back early and is asked again
            assert poller.wait(wake_ns) == []


def test_an_instant_in_the_past_does_not_wait(poller):
    assert poller.wait(time.time_ns() - 1_000_000_000) == []
    assert poller.wait(0) == []


def test_a_readable_socket_ends_the_wait(poller):
    one, other = socket.socketpair()
    with one, other:
        poller.register(one.fileno(), READABLE)
        other.send(b"x")
        assert poller.wait(-1) == [(one.fileno(), READABLE)]
        assert poller.wait(time.time_ns() + 10**12) == [(one.fileno(), READABLE)]
        poller.unregister(one.fileno())


def test_the_same_instant_may_be_waited_for_twice(poller):
    wake_ns = time.time_ns() + 5_000_000
    for _ in range(3):
        while poller.wait(wake_ns) or time.time_ns() < wake_ns:
            pass
