"""Whether the planned connections can be made from here, as far as that can be told before the load.

Owns: questions to this machine about local addresses, ways to the targets and numbers of ports; their answers as
problems of the plan. Does not own: which addresses a text names (`plan.source_address`), files and processes
(`deploy.layouts`). Looks names up; sends nothing else.
"""

import errno
import math
import os
import socket
from collections.abc import Iterator, Mapping, Sequence

from aiperf.endpoint.local_end import bind_without_port, route_error
from aiperf.endpoint.local_ports import addresses_needed, heaviest, loopback_addresses, usable_ports
from aiperf.endpoint.resolver import Address, numeric_address
from aiperf.endpoint.target import Target
from aiperf.errors import Problem
from aiperf.plan.source_address import ADDRESSES_MAX

FLAG = "--source-address"
_DISCARD = 9
"""A port, for questions that need one. Source: RFC 863."""
_WORD_BY_FAMILY = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}


def reach_problems(
    *, sources: Sequence[str], targets: Sequence[Target], connections: int, origin: str = FLAG
) -> list[Problem]:
    """Everything that would keep so many connections at once from being made. `sources` empty: the system chooses.

    `connections`: 0 if the plan does not say how many there are at once.
    """
    local = _parsed(sources)
    if not local and connections <= usable_ports():
        return []  # one address is enough, whatever the targets are
    if problems := list(_absent(local, origin)):
        return problems
    homes = [(target, _addresses_of(target)) for target in targets]
    return _useless(local, homes, origin) or list(_too_many(list(local.values()), homes, connections))


def source_problems(*, sources: Sequence[str], targets: Sequence[Target], origin: str = FLAG) -> list[Problem]:
    """Local addresses that this machine does not have, or from which a target cannot be reached. No names are looked up
    if `sources` is empty."""
    local = _parsed(sources)
    if not local:
        return []
    return list(_absent(local, origin)) or _useless(local, [(each, _addresses_of(each)) for each in targets], origin)


def _parsed(sources: Sequence[str]) -> dict[str, Address]:
    found = {source: numeric_address(source, 0) for source in sources}
    return {source: address for source, address in found.items() if address is not None}


def _useless(local: Mapping[str, Address], homes: Sequence[tuple[Target, list[Address]]], origin: str) -> list[Problem]:
    """Addresses that connections can come from, but not to these targets."""
    problems: list[Problem] = []
    for where, addresses in {target.where: addresses for target, addresses in homes}.items():
        problems += _no_way(local, where, addresses, origin)
    return problems or list(_of_no_use(local, homes, origin))


def _of_no_use(
    local: Mapping[str, Address], homes: Sequence[tuple[Target, list[Address]]], origin: str
) -> Iterator[Problem]:
    """Addresses of a family that no target has: no connection would come from them."""
    if not homes or not all(addresses for _, addresses in homes):
        return  # a name that cannot be looked up may have either
    used = {address.family for _, addresses in homes for address in addresses}
    for family, word in _WORD_BY_FAMILY.items():
        names = [source for source, address in local.items() if address.family == family]
        if names and family not in used:
            what = f"{_some(names)}: an address of {word}, by which no URL is reached"
            yield Problem(what, origin, "It would never be used: leave it out, or name a URL of that family.")


def _absent(local: Mapping[str, Address], origin: str) -> Iterator[Problem]:
    """Addresses that no connection can come from."""
    names_by_reason: dict[str, list[str]] = {}
    for source, address in local.items():
        if (reason := _why_absent(address)) is not None:
            names_by_reason.setdefault(reason, []).append(source)
    for reason, names in names_by_reason.items():
        hint = "`ip address` lists those it has; `ip address add ADDRESS/PREFIX dev DEVICE` adds one."
        yield Problem(f"{_some(names)}: {reason}", origin, hint)


def _why_absent(address: Address) -> str | None:
    try:
        with socket.socket(address.family, socket.SOCK_STREAM) as sock:
            bind_without_port(sock, address.socket_address)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            return "no address of this machine"
        return "cannot be used on this machine: " + os.strerror(error.errno or 0)
    # A broadcast address can be bound to. Datagrams to one need a leave that this socket has not asked for.
    if route_error(None, Address(address.family, (address.socket_address[0], _DISCARD))) == errno.EACCES:
        return "the broadcast address of a network of this machine"
    return None


def _no_way(local: Mapping[str, Address], where: str, addresses: list[Address], origin: str) -> Iterator[Problem]:
    """Local addresses from which the target cannot be reached."""
    if not local or not addresses:
        return
    families = {address.family for address in addresses}
    if families.isdisjoint(address.family for address in local.values()):
        word = _WORD_BY_FAMILY[socket.AddressFamily(addresses[0].family)]
        what = f"{where} is reached by {word}, and none of these is an address of {word}"
        yield Problem(what, origin, f"Name addresses of {word} that this machine has (`ip address`).")
        return
    names_by_reason: dict[str, list[str]] = {}
    for source, address in local.items():
        codes = [route_error(address, to) for to in addresses if to.family == address.family]
        if codes and all(codes):
            names_by_reason.setdefault(os.strerror(codes[0]), []).append(source)
    for reason, names in names_by_reason.items():
        hint = "Take addresses of the network that leads there; 127.x.x.x and ::1 reach this machine only."
        yield Problem(f"{_some(names)}: no way from there to {where} ({reason})", origin, hint)


def _too_many(
    local: Sequence[Address], homes: Sequence[tuple[Target, list[Address]]], connections: int
) -> Iterator[Problem]:
    """More connections to one address of a service than there are ports for."""
    if not all(addresses for _, addresses in homes):
        return  # a name that cannot be looked up: the run says so
    busiest = heaviest([_near(addresses, local) for _, addresses in homes], connections)
    address, load = busiest.place, math.ceil(busiest.connections)
    ports = usable_ports()
    here = max(1, sum(mine.family == address.family for mine in local))
    needed = addresses_needed(load, ports)
    if needed <= here:
        return
    on_loopback = address.family == socket.AF_INET and str(address.socket_address[0]).startswith("127.")
    example = f" (on loopback any will do: {loopback_addresses(needed)})" if on_loopback else ""
    name_them = f"Give {needed:,} addresses of this machine by {FLAG}{example}, widen"
    if needed > ADDRESSES_MAX:
        name_them = (
            f"That takes {needed:,} addresses of this machine, and {ADDRESSES_MAX:,} can be given. Ask for less, widen"
        )
    to = f"{address.socket_address[0]}:{address.socket_address[1]}"
    have = f"{here} local address" + ("es have" if here > 1 else " has")
    yield Problem(
        f"{connections:,} connections at once put {load:,} on {to}, for which {have} {ports * here:,} ports",
        "--concurrency",
        f"{name_them} net.ipv4.ip_local_port_range, or name more addresses of the service by --url.",
    )


def _near(addresses: Sequence[Address], local: Sequence[Address]) -> list[Address]:
    """Those that connections are made to: of one family, which this side has too."""
    fitting = [each for each in addresses if not local or any(each.family == mine.family for mine in local)]
    return [each for each in fitting if each.family == fitting[0].family]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _addresses_of(target: Target) -> list[Address]:
    """Empty if the name cannot be looked up."""
    numeric = numeric_address(target.host, target.port)
    if numeric is not None:
        return [numeric]
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(Address(int(entry[0]), entry[4]) for entry in found))
