"""Which addresses a text names, and what is said about one that names none."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.plan.source_address import ADDRESSES_MAX, checked_source, source_addresses


@pytest.mark.parametrize(
    ("texts", "addresses"),
    [
        ((), ()),
        (("10.0.0.5",), ("10.0.0.5",)),
        (("127.0.0.2-127.0.0.4",), ("127.0.0.2", "127.0.0.3", "127.0.0.4")),
        (("127.0.0.2 - 127.0.0.3",), ("127.0.0.2", "127.0.0.3")),
        (("127.0.0.255-127.0.1.1",), ("127.0.0.255", "127.0.1.0", "127.0.1.1")),
        (("10.0.0.0/30",), ("10.0.0.1", "10.0.0.2")),  # neither the network nor its broadcast address
        (("10.0.0.0/31",), ("10.0.0.0", "10.0.0.1")),  # a link of two has neither (RFC 3021)
        (("10.0.0.7/32",), ("10.0.0.7",)),
        (("fd00::0005", "[fd00::6]"), ("fd00::5", "fd00::6")),
        (("fd00::/126",), ("fd00::1", "fd00::2", "fd00::3")),  # not the routers' anycast address
        (("10.0.0.2", "10.0.0.1-10.0.0.3"), ("10.0.0.2", "10.0.0.1", "10.0.0.3")),  # each once, in their order
    ],
)
def test_texts_name_addresses(texts, addresses):
    assert all(checked_source(text) == text for text in texts)
    assert source_addresses(texts) == addresses


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("somewhere", "write 10.0.0.5,"),
        ("127.0.0.2-60", "'60' in '127.0.0.2-60' is no address"),
        ("127.0.0.2-", "is no address"),
        ("10.0.0.0/33", "is no network"),
        ("10.0.0.9-10.0.0.2", "write 10.0.0.2-10.0.0.9"),
        ("10.0.0.9-fd00::1", "begins with an address of IPv4"),
        ("10.0.0.5/28", "write 10.0.0.5 for that one, or 10.0.0.0/28 for all"),
        ("10.0.0.0/0", "holds 4,294,967,296 addresses; at most 1,024 can be used: each brings some 28,000 connections"),
        ("fd00::/64", "holds 18,446,744,073,709,551,616 addresses"),
        ("10.0.0.0-10.255.255.255", "more than 1,024 addresses"),
        ("0.0.0.0", "stands for any address"),
        ("::", "stands for any address"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("223.255.255.250-224.0.0.5", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("fe80::1", "needs a zone"),
        ("::ffff:10.0.0.1", "write 10.0.0.1"),
    ],
)
def test_what_names_no_usable_address_is_refused_with_the_reason(text, told):
    with pytest.raises(ValueError, match="'") as refusal:
        checked_source(text)
    assert told in str(refusal.value)


def test_too_many_addresses_together_are_refused():
    texts = [f"10.0.{n}.0/24" for n in range(5)]
    assert all(map(checked_source, texts))
    assert len(source_addresses(texts[:4])) == 4 * 254
    with pytest.raises(ValueError, match="more than 1,024 addresses together"):
        source_addresses(texts)
    assert len(source_addresses(["10.0.0.0-10.0.3.255"] * 3)) == ADDRESSES_MAX, "said again, they are no more"


@given(st.integers(0, 2**32 - 1 - ADDRESSES_MAX), st.integers(0, ADDRESSES_MAX - 1))
def test_a_range_holds_every_address_from_its_first_to_its_last(first, length):
    ends = ipaddress.IPv4Address(first), ipaddress.IPv4Address(first + length)
    found = source_addresses([f"{ends[0]}-{ends[1]}"])
    assert [int(ipaddress.IPv4Address(each)) for each in found] == list(range(first, first + length + 1))
