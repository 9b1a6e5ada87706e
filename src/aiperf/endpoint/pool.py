"""What one target has: addresses, idle connections, requests that wait for a connection.

Owns: their order. Does not own: sockets, pacing (`dialer`). Pure data and choices.
"""

from collections import deque

from aiperf.endpoint.connection import Connection
from aiperf.endpoint.exchange import Exchange
from aiperf.endpoint.resolver import Address, numeric_address
from aiperf.endpoint.target import Target

REFRESH_INTERVAL_NS = 5_000_000_000
"""A name whose addresses all failed is looked up again, no more often than this."""


class Pool:
    """The connections of one target."""

    __slots__ = (
        "_preferred_family",
        "_turn",
        "addresses",
        "idle",
        "is_name",
        "lookup_ended_ns",
        "lookup_running",
        "lookup_started_ns",
        "target",
        "waiting",
    )

    def __init__(self, target: Target) -> None:
        self.target = target
        self.idle: dict[Connection, None] = {}
        """An ordered set; the last one in is the first one out: the fewest connections stay in use."""
        self.waiting: deque[Exchange] = deque()
        """Requests for which no connection was begun yet. May hold some that have ended meanwhile."""
        numeric = numeric_address(target.host, target.port)
        self.is_name = numeric is None
        self.addresses: list[Address] = [] if numeric is None else [numeric]
        self.lookup_running = False
        self.lookup_started_ns = 0
        self.lookup_ended_ns = 0
        self._preferred_family = 0
        self._turn = 0

    def candidates(self) -> list[Address]:
        """The addresses to try for the next connection, the first one first.

        Connections are spread over the addresses of the family that works; the other family comes after it.
        """
        addresses = self.addresses
        if len(addresses) < 2:
            return list(addresses)
        family = self._preferred_family or addresses[0].family
        preferred = [address for address in addresses if address.family == family]
        others = [address for address in addresses if address.family != family]
        if not preferred:
            return others
        turn = self._turn % len(preferred)
        self._turn += 1
        return preferred[turn:] + preferred[:turn] + others

    def connected_to(self, address: Address) -> None:
        """Remembers that this family works."""
        self._preferred_family = address.family

    def all_failed(self, now_ns: int) -> None:
        """No address could be connected to: a name is looked up again before the next connection."""
        if self.is_name and now_ns - self.lookup_ended_ns >= REFRESH_INTERVAL_NS:
            self.addresses = []

    def lookup_overlap_ns(self, since_ns: int) -> int:
        """For how long a request that waits since `since_ns` waited for the name's lookup. Units: ns."""
        return max(0, self.lookup_ended_ns - max(since_ns, self.lookup_started_ns))
