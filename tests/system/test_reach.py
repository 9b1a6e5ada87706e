"""What is told before the load about local addresses and ports, on a real machine's answers."""

import os
import socket

import pytest
from tests.networks import own_network
from tests.ports import ipv6_loopback_is_there

from aiperf.endpoint.reach import reach_problems, source_problems
from aiperf.endpoint.target import Target

with_ipv6 = pytest.mark.skipif(not ipv6_loopback_is_there(), reason="this machine has no ::1")


def problems(*urls, sources=(), connections=0):
    targets = [Target.from_url(url) for url in urls or ("http://127.0.0.1:80",)]
    return reach_problems(sources=sources, targets=targets, connections=connections)


@pytest.fixture
def ports(stack_of_networks):
    """A network in which every local address has so many ports."""
    return lambda count: stack_of_networks(ip_local_port_range=f"40000 {40000 + count - 1}")


@pytest.fixture
def stack_of_networks(request):
    def enter(**settings):
        network = own_network(**settings)
        network.__enter__()
        request.addfinalizer(lambda: network.__exit__(None, None, None))

    return enter


def test_addresses_of_this_machine_are_fine():
    assert problems(sources=("127.0.0.2", "127.9.9.9"), connections=100) == []
    assert problems("http://localhost:80", sources=("127.0.0.2",)) == []


def test_addresses_that_this_machine_does_not_have_are_named(stack_of_networks):
    stack_of_networks()
    (problem,) = problems(sources=("127.0.0.2", "10.9.9.1", "10.9.9.2", "10.9.9.3", "10.9.9.4"))
    assert problem.what == "10.9.9.1, 10.9.9.2, 10.9.9.3 and 1 more: no address of this machine"
    assert (problem.origin, "ip address" in problem.hint) == ("--source-address", True)


@with_ipv6
def test_addresses_of_the_wrong_family_are_named():
    (problem,) = problems("http://127.0.0.1:80", sources=("::1",))
    assert problem.what == "127.0.0.1:80 is reached by IPv4, and none of these is an address of IPv4"


@pytest.fixture
def lookup(monkeypatch):
    """A name of both families, whatever the machine's own list of hosts says."""
    both = [(socket.AF_INET6, ("::1", 80, 0, 0)), (socket.AF_INET, ("127.0.0.1", 80))]

    def getaddrinfo(host, port, *args, asked=socket.getaddrinfo, **kwargs):
        if host == "both.test":
            return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in both]
        return asked(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@with_ipv6
def test_addresses_of_a_family_that_no_url_has_are_named(stack_of_networks, lookup):
    """They would never be used."""
    stack_of_networks()
    (problem,) = problems("http://127.0.0.1:80", sources=("127.0.0.2", "::1"))
    assert problem.what == "::1: an address of IPv6, by which no URL is reached"
    (problem,) = problems("http://[::1]:80", sources=("127.0.0.2", "127.0.0.3", "::1"))
    assert problem.what == "127.0.0.2, 127.0.0.3: an address of IPv4, by which no URL is reached"
    assert problems("http://127.0.0.1:80", "http://[::1]:80", sources=("127.0.0.2", "::1")) == []
    assert problems("http://both.test:80", sources=("127.0.0.2", "::1")) == []
    assert problems("http://nowhere.invalid:80", "http://127.0.0.1:80", sources=("127.0.0.2", "::1")) == []


def test_without_a_url_only_the_addresses_are_asked_for(stack_of_networks):
    stack_of_networks()
    assert source_problems(sources=(), targets=[]) == []
    assert source_problems(sources=("127.0.0.2",), targets=[]) == []
    (problem,) = source_problems(sources=("10.9.9.1",), targets=[])
    assert "no address of this machine" in problem.what


def test_loopback_addresses_lead_nowhere_else():
    """To an address of this machine they do; to one of a documentation network they cannot."""
    (problem,) = problems("http://203.0.113.9:80", sources=("127.0.0.2", "127.0.0.3"))
    assert "127.0.0.2, 127.0.0.3: no way from there to 203.0.113.9:80" in problem.what
    assert "reach this machine only" in problem.hint


def test_the_broadcast_address_of_a_network_is_named(stack_of_networks):
    stack_of_networks()
    if os.system("ip address add 10.9.9.1/24 brd + dev lo 2>/dev/null"):
        pytest.skip("addresses are added with iproute2")
    assert problems("http://10.9.9.1:80", sources=("10.9.9.1",)) == []
    (problem,) = problems("http://10.9.9.1:80", sources=("10.9.9.1", "10.9.9.255"))
    assert problem.what == "10.9.9.255: the broadcast address of a network of this machine"


def test_every_address_brings_its_ports(ports):
    ports(1000)
    assert problems(connections=1000) == []
    assert problems(sources=("127.0.0.2", "127.0.0.3"), connections=2000) == []
    (problem,) = problems(connections=3500)
    assert problem.what == (
        "3,500 connections at once put 3,500 on 127.0.0.1:80, for which 1 local address has 1,000 ports"
    )
    assert problem.origin == "--concurrency"
    assert "Give 4 addresses of this machine by --source-address" in problem.hint
    assert "127.0.0.2-127.0.0.5" in problem.hint
    (problem,) = problems(sources=("127.0.0.2", "127.0.0.3"), connections=2001)
    assert "2 local addresses have 2,000 ports" in problem.what
    (problem,) = problems(connections=1_000_000)
    assert "Give 1,000 addresses" in problem.hint
    assert "127.0.0.2-127.0.3.233" in problem.hint
    (problem,) = problems(connections=2_000_000)
    assert "That takes 2,000 addresses of this machine, and 1,024 can be given" in problem.hint


def test_every_address_of_the_service_has_its_ports_again(ports):
    ports(1000)
    two = ("http://127.0.0.1:80", "http://127.0.0.2:80")
    assert problems(*two, connections=2000) == []
    assert problems("http://127.0.0.1:80", "http://127.0.0.1:81", connections=2000) == []
    assert problems("http://127.0.0.1:80", "http://127.0.0.1:80/other", connections=2000) != []
    # Requests are dealt to the URLs in turn, so two of three go to the same address.
    assert problems(*two, two[0], connections=1500) == []
    (problem,) = problems(*two, two[0], connections=1800)
    assert "1,800 connections at once put 1,200 on 127.0.0.1:80" in problem.what


def test_reserved_ports_are_not_counted(stack_of_networks):
    stack_of_networks(ip_local_port_range="40000 40999", ip_local_reserved_ports="40000-40899")
    assert problems(connections=100) == []
    assert problems(connections=101) != []


def test_names_that_cannot_be_looked_up_are_left_to_the_run(ports):
    ports(10)
    assert problems("http://nowhere.invalid:80", connections=1000) == []
