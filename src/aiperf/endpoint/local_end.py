"""The local end of a connection: the address and the port it is made from.

Owns: whose turn an address and a window of ports is, the socket options that say so, connections to oneself. Does not
own: how users write addresses (`plan.source_address`), which ports there are (`local_ports`), what becomes of the
socket (`dialer`).

A connection is known by four things: local address and port, remote address and port. So many connections to one
address and port of a service need as many different pairs of a local address and a local port. The kernel picks the
port in `connect`: it tries the ports of its range one after the other, every second one first. Once half of them are
taken, each connect tries thousands in vain. Measured with a range of 9,216 ports: 27 µs a connect up to the half and
230 µs from there on, and it grows with the range. So each connect is given a window of a few hundred ports to search,
and the windows are taken in turn: 27 µs to the last port. Workers of one machine have windows of their own and do not
get into each other's way.

`IP_BIND_ADDRESS_NO_PORT` leaves the port to `connect`, which may take one that is in use towards another remote
address; `bind` may not. Where the kernel knows no windows (Linux before 6.3, gVisor, macOS), it searches by itself.
"""

import errno
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from aiperf.endpoint.local_ports import ALL_PORTS, PortShare, local_ports, port_windows
from aiperf.endpoint.resolver import Address, numeric_address

IP_BIND_ADDRESS_NO_PORT = 24
IP_LOCAL_PORT_RANGE = 51
"""linux/in.h; both hold for sockets of IPv6 too. The latter takes `high << 16 | low`. Source: ip(7)."""

TRIES_MAX = 64
"""Windows that are found full before the whole range is searched for this connection."""

Prepare = Callable[[socket.socket], None]


class LocalEnd:
    """Deals addresses and windows of ports out in turn, so that all are used evenly. Of one process, one thread."""

    def __init__(self, sources: Sequence[str] = (), share: PortShare = ALL_PORTS) -> None:
        windows = port_windows(local_ports(), share) if _kernel_knows_windows() else []
        self._windows = [_window_option(window) for window in windows]
        parsed = [address for source in sources if (address := numeric_address(source, 0)) is not None]
        self._bound = bool(parsed)
        self._sources = {
            family: [address.socket_address for address in parsed if address.family == family]
            for family in (socket.AF_INET, socket.AF_INET6)
        }
        self._turn = share.index
        """Workers begin at different addresses, so that few connections are spread too."""

    def connect(self, address: Address, prepare: Prepare) -> tuple[socket.socket, int]:
        """A socket that has begun to connect to the address, and the error that came at once (0: none).

        `prepare` sets what the socket needs before that; it must make it non-blocking.
        Raises: OSError if there is no socket to be had, or no local address for this one.
        """
        sources = self._sources[socket.AddressFamily(address.family)]
        if self._bound and not sources:
            raise OSError(errno.EAFNOSUPPORT, "no local address of this family was given")
        if self._windows:
            for _ in range(min(TRIES_MAX, len(self._windows) * max(1, len(sources)))):
                sock, code = self._begin(address, prepare, sources, self._next_window(len(sources)))
                if code != errno.EADDRNOTAVAIL:
                    return sock, code
                sock.close()
        sock, code = self._begin(address, prepare, sources, None)
        if code == errno.EADDRNOTAVAIL and not sources and route_error(None, address):
            code = errno.ENETUNREACH  # it is an address that is missing, not a port: IPv6 is switched off, for instance
        return sock, code

    def _next_window(self, source_count: int) -> bytes:
        """All addresses take the same window before the next one's turn."""
        return self._windows[self._turn // max(1, source_count) % len(self._windows)]

    def _begin(
        self, address: Address, prepare: Prepare, sources: list[tuple[object, ...]], window: bytes | None
    ) -> tuple[socket.socket, int]:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        turn, self._turn = self._turn, self._turn + 1
        try:
            prepare(sock)
            if window is not None:
                sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, window)
            if sources:
                bind_without_port(sock, sources[turn % len(sources)])
            return sock, sock.connect_ex(address.socket_address)
        except OSError:
            sock.close()
            raise


def bind_without_port(sock: socket.socket, source: tuple[object, ...]) -> None:
    """Binds to a local address. The port is found by `connect` where the system can do that."""
    if sys.platform == "linux":
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind(source)


def route_error(source: Address | None, to: Address) -> int:
    """The error with which the system refuses this way (from `source` if there is one), 0 if there is one. Nothing is
    sent: a datagram socket that is connected only asks the routing table."""
    try:
        with socket.socket(to.family, socket.SOCK_DGRAM) as sock:
            if source is not None:
                sock.bind(source.socket_address)
            return sock.connect_ex(to.socket_address)
    except OSError as error:
        return error.errno or errno.EINVAL


def is_connected_to_itself(sock: socket.socket, address: Address) -> bool:
    """Whether both ends of the connection are this one socket.

    Connecting to a local port on which nothing listens succeeds if it comes from that very port: two ends that call
    each other at the same time get a connection, and so does one that calls itself. The kernel may pick the port, for
    it is as free as any. Source: RFC 9293, section 3.5, figure 8.
    """
    here = sock.getsockname()
    return bool(here[1] == address.socket_address[1] and here == sock.getpeername())


def _kernel_knows_windows() -> bool:
    if sys.platform != "linux":
        return False
    try:
        with socket.socket() as sock:
            sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, _window_option(local_ports()))
    except OSError:
        return False
    return True


def _window_option(window: range) -> bytes:
    return struct.pack("@I", window[-1] << 16 | window[0])
