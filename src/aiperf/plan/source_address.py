"""The local addresses that connections are made from, as a user writes them.

Owns: text → addresses: one (`10.0.0.5`), a range (`127.0.0.2-127.0.0.60`), a network (`10.0.0.0/28`), of either family;
how many are too many. Does not own: whether this machine has them, who takes which (`endpoint.local_end`).
"""

import ipaddress
from collections.abc import Iterator, Sequence
from itertools import chain, islice

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

ADDRESSES_MAX = 1_024
"""Some 29 million connections to one address and port of a service: more is a slip of the hand."""


def checked_source(text: str) -> str:
    """The text itself. Raises: ValueError with the reason if it names no addresses that connections can come from."""
    found = list(islice(_members(text), ADDRESSES_MAX + 1))
    if len(found) > ADDRESSES_MAX:
        raise ValueError(f"'{text}' holds more than {ADDRESSES_MAX:,} addresses: {_ADVICE}")
    for address in (found[0], found[-1]):
        if (reason := _unusable(address)) is not None:
            raise ValueError(f"'{text}': {reason}")
    return text


_ADVICE = (
    "each brings some 28,000 connections to one address of the service, so a few dozen are enough for a million; "
    "name those that this machine has (`ip address`)"
)


def source_addresses(texts: Sequence[str]) -> tuple[str, ...]:
    """Every address that the texts name, once, in their order, as the operating system spells it.

    The texts have passed `checked_source`. Raises: ValueError if they are too many together.
    """
    found = tuple(dict.fromkeys(str(address) for address in islice(_all(texts), ADDRESSES_MAX * 2)))
    if len(found) > ADDRESSES_MAX:
        raise ValueError(f"these are more than {ADDRESSES_MAX:,} addresses together: {_ADVICE}")
    return found


def _all(texts: Sequence[str]) -> Iterator[IPAddress]:
    return chain.from_iterable(_members(text) for text in texts)


def _members(text: str) -> Iterator[IPAddress]:
    """The addresses of one text, at least one. Raises: ValueError with the reason."""
    if "/" in text:
        return _network(text)
    first, dash, last = text.partition("-")
    if dash:
        return _range(text, _address(first.strip(), text), _address(last.strip(), text))
    return iter((_address(text, text),))


def _address(spelled: str, text: str) -> IPAddress:
    try:
        return ipaddress.ip_address(spelled.removeprefix("[").removesuffix("]"))
    except ValueError:
        within = "" if spelled == text else f" in '{text}'"
        raise ValueError(
            f"'{spelled}'{within} is no address: write 10.0.0.5, 10.0.0.5-10.0.0.9, 10.0.0.0/28 or fd00::5"
        ) from None


def _range(text: str, first: IPAddress, last: IPAddress) -> Iterator[IPAddress]:
    if first.version != last.version:
        raise ValueError(
            f"'{text}' begins with an address of IPv{first.version} and ends with one of IPv{last.version}"
        )
    if int(last) < int(first):
        raise ValueError(f"'{text}' ends before it begins: write {last}-{first}")
    kind = type(first)
    return (kind(number) for number in range(int(first), int(last) + 1))


def _network(text: str) -> Iterator[IPAddress]:
    """Those of a network that hosts can have: without its own and its broadcast address."""
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(f"'{text}' is no network: write 10.0.0.0/28 or fd00::/120") from None
    network = interface.network
    if network.num_addresses > ADDRESSES_MAX + 2:
        held = f"'{text}' holds {network.num_addresses:,} addresses"
        raise ValueError(f"{held}; at most {ADDRESSES_MAX:,} can be used: {_ADVICE}")
    if interface.ip != network.network_address:
        raise ValueError(
            f"'{text}' is one address within {network}: write {interface.ip} for that one, or {network} for all"
        )
    return iter(network.hosts())


def _unusable(address: IPAddress) -> str | None:
    """Why no connection can come from it, whatever the machine; None if one may."""
    if address.is_unspecified:
        return f"{address} stands for any address: leave the flag out, or name the addresses themselves"
    if address.is_multicast:
        return f"{address} is a multicast address, which no connection can come from"
    if str(address) == "255.255.255.255":
        return f"{address} is the broadcast address, which no connection can come from"
    if address.version == 6 and address.is_link_local:
        return f"{address} needs a zone, which is not supported: name a global or a unique local (fd00::/8) address"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return f"{address} is an IPv4 address in disguise: write {address.ipv4_mapped}"
    return None
