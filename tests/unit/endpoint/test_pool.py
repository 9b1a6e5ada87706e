"""Which address is tried next, and who waited for a name how long."""

import socket

from aiperf.endpoint.pool import REFRESH_INTERVAL_NS, Pool
from aiperf.endpoint.resolver import Address
from aiperf.endpoint.target import Target

SIX = Address(socket.AF_INET6, ("::1", 80))
FOUR = [Address(socket.AF_INET, (f"10.0.0.{n}", 80)) for n in range(3)]


def named() -> Pool:
    return Pool(Target.from_url("http://name.test"))


def test_numeric_address_needs_no_lookup():
    pool = Pool(Target.from_url("http://127.0.0.1:80"))
    assert not pool.is_name
    assert pool.candidates() == [Address(socket.AF_INET, ("127.0.0.1", 80))]
    pool.all_failed(REFRESH_INTERVAL_NS * 10)
    assert pool.addresses


def test_name_has_no_address_at_first():
    assert named().is_name
    assert named().candidates() == []


def test_connections_are_spread_over_the_addresses_of_one_family():
    pool = named()
    pool.addresses = FOUR
    assert [pool.candidates()[0] for _ in range(6)] == FOUR * 2
    assert all(sorted(pool.candidates()) == sorted(FOUR) for _ in range(3))


def test_first_family_of_the_resolver_is_tried_first_until_the_other_one_worked():
    pool = named()
    pool.addresses = [SIX, *FOUR]
    assert pool.candidates()[0] == SIX
    assert len(pool.candidates()) == 4
    pool.connected_to(FOUR[0])
    assert all(pool.candidates()[-1] == SIX for _ in range(4))


def test_family_that_is_gone_is_not_insisted_on():
    pool = named()
    pool.connected_to(FOUR[0])
    pool.addresses = [SIX, Address(socket.AF_INET6, ("::2", 80))]
    assert len(pool.candidates()) == 2


def test_name_is_looked_up_again_when_all_addresses_failed_but_not_at_once():
    pool = named()
    pool.addresses = list(FOUR)
    pool.lookup_ended_ns = 1000
    pool.all_failed(1000 + REFRESH_INTERVAL_NS - 1)
    assert pool.addresses == FOUR
    pool.all_failed(1000 + REFRESH_INTERVAL_NS)
    assert pool.addresses == []


def test_lookup_counts_for_those_who_waited_for_it():
    pool = named()
    pool.lookup_started_ns, pool.lookup_ended_ns = 100, 200
    assert pool.lookup_overlap_ns(50) == 100
    assert pool.lookup_overlap_ns(150) == 50
    assert pool.lookup_overlap_ns(250) == 0
