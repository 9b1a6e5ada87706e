"""Names to addresses, in threads."""

import socket
import threading

import pytest

from aiperf.endpoint.exchange import ErrorKind
from aiperf.endpoint.failures import Failure
from aiperf.endpoint.resolver import Address, Resolver, numeric_address


@pytest.mark.parametrize("host", ["name.test", "localhost", "1.2.3", "::zz", "0x7f.1"])
def test_name_is_no_numeric_address(host):
    assert numeric_address(host, 80) is None


def test_numeric_addresses_are_recognised():
    assert numeric_address("10.1.2.3", 80) == Address(socket.AF_INET, ("10.1.2.3", 80))
    six = numeric_address("::1", 80)
    assert six is not None
    assert (six.family, six.socket_address[:2]) == (socket.AF_INET6, ("::1", 80))


def look_up(getaddrinfo):
    over = threading.Event()
    resolver = Resolver(over.set, getaddrinfo)
    assert list(resolver.finished()) == []
    resolver.look_up(7, "name.test", 80)
    assert over.wait(10)
    ((key, result),) = resolver.finished()
    assert key == 7
    assert list(resolver.finished()) == []
    return result


def test_addresses_come_once_each_in_the_resolvers_order():
    stream = (socket.SOCK_STREAM, 6, "")
    found = [(socket.AF_INET6, *stream, ("::1", 80, 0, 0)), (socket.AF_INET, *stream, ("10.0.0.1", 80))]
    assert look_up(lambda *a, **k: found * 2) == [Address(entry[0], entry[4]) for entry in found]


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_failed_lookup_is_a_failure_not_an_exception(error):
    def fail(*_, **__):
        raise error

    result = look_up(fail)
    assert isinstance(result, Failure)
    assert result.kind == ErrorKind.DNS
