"""The ports that this machine gives to connections: how many there are, and who searches which of them.

Owns: reading the range, its windows, the rule by which connections outgrow the ports of this side's addresses (one
for `aiperf plan` and for a run). Does not own: the socket options that use them (`local_end`), which addresses there
are on both sides (`reach`, `aiperf.deploy.local_plan`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
RESERVED_FILE = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
"""Both of the network namespace, and for IPv6 as well."""
_DYNAMIC_PORTS = range(49152, 65536)
"""Where the system does not say. Source: RFC 6335, section 6; macOS keeps to it."""

WINDOW_PORTS = 256

_FIRST_LOOPBACK = 2

Place = TypeVar("Place")


@dataclass(frozen=True, slots=True)
class PortShare:
    """Which of the processes that connect from this machine this one is."""

    index: int = 0
    count: int = 1


ALL_PORTS = PortShare()


def local_ports(range_file: Path = RANGE_FILE) -> range:
    """The ports that connections of this machine (or network namespace) come from."""
    try:
        low, high = map(int, range_file.read_text().split())
    except (OSError, ValueError):
        return _DYNAMIC_PORTS
    return range(low, high + 1)


def usable_ports(range_file: Path = RANGE_FILE, reserved_file: Path = RESERVED_FILE) -> int:
    """How many connections one local address can have to one address and port of a service. At least 1."""
    ports = local_ports(range_file)
    try:
        spans = [span.partition("-") for span in reserved_file.read_text().strip().split(",") if span]
    except OSError:
        spans = []
    reserved = sum(
        len(range(max(ports.start, int(low)), min(ports.stop, int(high or low) + 1))) for low, _, high in spans
    )
    return max(1, len(ports) - reserved)


@dataclass(frozen=True, slots=True)
class Heaviest(Generic[Place]):
    """The address and port of a service that gets the most connections."""

    place: Place
    connections: float


def heaviest(homes: Sequence[Sequence[Place]], connections: float) -> Heaviest[Place]:
    """Where most of so many connections go. `homes`: of each URL its addresses, at least one.

    Requests are dealt to URLs in turn, and connections to the addresses of a name.
    """
    load_by_place: dict[Place, float] = {}
    for places in homes:
        part = connections / (len(homes) * len(places))
        for place in places:
            load_by_place[place] = load_by_place.get(place, 0.0) + part
    return max((Heaviest(place, load) for place, load in load_by_place.items()), key=lambda each: each.connections)


def addresses_needed(connections: int, ports: int) -> int:
    """How many local addresses that many connections to one address and port of a service take. At least 1."""
    return max(1, math.ceil(connections / ports))


def loopback_addresses(count: int) -> str:
    """So many addresses of loopback, as `--source-address` takes them: a few thousand. 127.0.0.1 is left to others."""
    last = _FIRST_LOOPBACK + count - 1
    return f"127.0.0.{_FIRST_LOOPBACK}-127.{last >> 16}.{last >> 8 & 255}.{last & 255}"


def port_windows(ports: range, share: PortShare) -> list[range]:
    """The share's part of the ports, in windows of some `WINDOW_PORTS`. All parts together are the ports, each once.

    Where there are fewer ports than shares, some shares have no part.
    """
    mine = _part(ports, share.index, share.count)
    count = max(1, round(len(mine) / WINDOW_PORTS))
    return [window for n in range(count) if (window := _part(mine, n, count))]


def _part(ports: range, index: int, count: int) -> range:
    return ports[len(ports) * index // count : len(ports) * (index + 1) // count]
