"""Whether the planned connections can be made from here, as far as that can be told before the load.

Owns: questions to this machine about local addresses, ways to the targets and numbers of ports; their answers as
problems of the plan. Does not own: which addresses a text names (`plan.source_address`), files and processes
(`deploy.layouts`). Looks names up; sends nothing else.
"""

import errno
import math
import os
import socket
from collections.abc import Iterator, Sequence
from operator import itemgetter

from aiperf.endpoint.local_end import bind_without_port, route_error
from aiperf.endpoint.local_ports import addresses_needed, loopback_addresses, usable_ports
from aiperf.endpoint.resolver import Address, numeric_address
from aiperf.endpoint.target import Target
from aiperf.errors import Problem

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
    found = {source: numeric_address(source, 0) for source in sources}
    local = {source: address for source, address in found.items() if address is not None}
    if not local and connections <= usable_ports():
        return []  # one address is enough, whatever the targets are
    problems = list(_absent(local, origin))
    if problems:
        return problems
    homes = [(target, _addresses_of(target)) for target in targets]
    for where, addresses in {target.where: addresses for target, addresses in homes}.items():
        problems += _no_way(local, where, addresses, origin)
    return problems or list(_too_many(list(local.values()), homes, connections))


def _absent(local: dict[str, Address], origin: str) -> Iterator[Problem]:
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


def _no_way(local: dict[str, Address], where: str, addresses: list[Address], origin: str) -> Iterator[Problem]:
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
    """More connections to one address of a service than there are ports for. Requests are dealt to URLs in turn, and
    connections to the addresses of a name."""
    if not all(addresses for _, addresses in homes):
        return  # a name that cannot be looked up: the run says so
    load_by_address: dict[Address, float] = {}
    for _, addresses in homes:
        near = [each for each in addresses if not local or any(each.family == mine.family for mine in local)]
        near = [each for each in near if each.family == near[0].family]
        for address in near:
            part = connections / (len(homes) * len(near))
            load_by_address[address] = load_by_address.get(address, 0) + part
    address, load = max(load_by_address.items(), key=itemgetter(1))
    ports = usable_ports()
    here = max(1, sum(mine.family == address.family for mine in local))
    if load <= ports * here:
        return
    needed = addresses_needed(math.ceil(load), ports)
    on_loopback = address.family == socket.AF_INET and str(address.socket_address[0]).startswith("127.")
    example = f" (on loopback any will do: {loopback_addresses(needed)})" if on_loopback else ""
    to = f"{address.socket_address[0]}:{address.socket_address[1]}"
    have = f"{here} local address" + ("es have" if here > 1 else " has")
    yield Problem(
        f"{connections:,} connections at once put {math.ceil(load):,} on {to}, for which {have} {ports * here:,} ports",
        "--concurrency",
        f"Give {needed:,} addresses of this machine by {FLAG}{example}, widen net.ipv4.ip_local_port_range, or name "
        "more addresses of the service by --url.",
    )


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
