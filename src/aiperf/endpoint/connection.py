"""One connection to a target and everything that is known of it.

Owns: the state of a socket between its making and its end. Does not own: what happens to it (`dialer` until it is
open, `client` from then on). Small on purpose: there may be a hundred thousand.
"""

import socket
import ssl
from collections.abc import Sequence
from enum import IntEnum

from aiperf.endpoint.exchange import Exchange
from aiperf.endpoint.framing import Framing
from aiperf.endpoint.resolver import Address


class Stage(IntEnum):
    CONNECTING = 0
    HANDSHAKING = 1
    OPEN = 2
    """Idle or busy: `exchange` tells."""


class Connection:
    """A socket with its framing and its stamps."""

    __slots__ = (
        "after_ns",
        "attempt_started_ns",
        "candidates",
        "connected_ns",
        "descriptor",
        "dial_started_ns",
        "empty_ns",
        "error_bytes_left",
        "exchange",
        "framing",
        "is_instant",
        "left_unread",
        "read_count",
        "segment_excess",
        "send_error",
        "served_count",
        "sock",
        "stage",
        "stamp_ns",
        "tls",
        "unsent",
        "url_index",
    )

    sock: socket.socket
    descriptor: int
    framing: Framing

    def __init__(self, exchange: Exchange, candidates: Sequence[Address], now_ns: int) -> None:
        self.url_index = exchange.url_index
        self.exchange: Exchange | None = exchange
        """Whom the connection is being made for, or who uses it; None while it is idle."""
        self.candidates: Sequence[Address] = candidates
        """Addresses still to be tried, the present one included; empty once connected."""
        self.stage = Stage.CONNECTING
        self.dial_started_ns = now_ns
        self.attempt_started_ns = now_ns
        self.connected_ns = 0
        self.tls: ssl.SSLObject | None = None
        self.stamp_ns = 0
        """Arrival of the latest read; the sending of the request before the first one."""
        self.after_ns = 0
        """The bytes of the latest read arrived after this."""
        self.is_instant = False
        """The last byte of the latest read arrived at `stamp_ns`, by the kernel's word, and none was left behind."""
        self.empty_ns = 0
        """A clock reading at which everything that had been received was also read: what comes later arrived later."""
        self.left_unread = False
        """The latest read filled its buffer: there may be more, from before any poll since."""
        self.read_count = 0
        """Reads, once it was open, that left nothing behind."""
        self.segment_excess = 0
        """How many more segments than reads there were when nothing was left unread (`segments`)."""
        self.unsent: memoryview | None = None
        """The rest of a request that the socket did not take at once."""
        self.send_error: OSError | None = None
        """Why sending failed. The socket is still read: a server may answer a request it refuses, and then close."""
        self.served_count = 0
        self.error_bytes_left = 0
