"""Every selector says the same of the same sockets."""

import socket
import sys

import pytest

from aiperf.endpoint.selector import READABLE, WRITABLE, make_selector
from aiperf.errors import InfrastructureError


@pytest.fixture(params=["auto", "poll"])
def selector(request):
    made = make_selector(request.param)
    yield made
    made.close()


@pytest.fixture
def pair():
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_readable_socket_is_ready_until_it_is_read(selector, pair):
    near, far = pair
    selector.add(near.fileno(), writable=False)
    assert selector.ready() == []
    far.send(b"x")
    assert selector.ready() == selector.ready() == [(near.fileno(), READABLE)]
    near.recv(1)
    assert selector.ready() == []


def test_writable_is_told_while_it_is_asked_for(selector, pair):
    near, _ = pair
    selector.add(near.fileno(), writable=True)
    ((descriptor, mask),) = selector.ready()
    assert descriptor == near.fileno()
    assert mask & WRITABLE
    selector.change(near.fileno(), writable=False)
    assert selector.ready() == []
    selector.change(near.fileno(), writable=True)
    assert len(selector.ready()) == 1


def test_end_of_file_is_readable(selector, pair):
    near, far = pair
    selector.add(near.fileno(), writable=False)
    far.close()
    ((_, mask),) = selector.ready()
    assert mask & ~WRITABLE


def test_closed_socket_is_forgotten(selector, pair):
    near, far = pair
    selector.add(near.fileno(), writable=False)
    far.send(b"x")
    selector.remove(near.fileno())
    near.close()
    assert selector.ready() == []


def test_only_poll_has_no_descriptor():
    assert make_selector("poll").fileno() == -1
    if sys.platform in {"linux", "darwin"}:
        native = make_selector("auto")
        assert native.fileno() >= 0
        native.close()


def test_selector_of_another_platform_is_refused():
    with pytest.raises(InfrastructureError, match="--io-selector"):
        make_selector("kqueue" if sys.platform == "linux" else "epoll")
