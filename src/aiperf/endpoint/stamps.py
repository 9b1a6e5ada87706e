"""Arrival times from the kernel: asking for them, reading them, and refusing those that cannot be.

Owns: `SO_TIMESTAMPING` and the rule that a stamp must lie between what was seen before it and now. Does not own: the
conversion's offset (`aiperf.clock`), when a socket is read (`client`).

A read's stamp is the arrival of its last byte at this host, on the real-time clock. End of file carries none; macOS,
gVisor and reads within the first moments after stamping was switched on have none either: the caller falls back to the
clock, read by read.
"""

import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, Literal

from aiperf.clock import WallError, wall_error
from aiperf.errors import InfrastructureError
from aiperf.units import NS_PER_S

SO_TIMESTAMPING = 37
"""asm-generic/socket.h; the control message that carries the stamp has the same number."""
_RX_SOFTWARE = 1 << 3
_REPORT_SOFTWARE = 1 << 4
CONTROL_BYTES = 64
"""Room for the one control message: 16 bytes of header, three timespecs."""
ReadTimespec = Callable[[Any], tuple[int, int]]

_unpack: ReadTimespec = struct.Struct("@qq").unpack_from


def reading_with(error: WallError) -> ReadTimespec:
    """As the stamps would be if this process's wall clock were wrong."""

    def read(data: Any) -> tuple[int, int]:
        seconds, nanoseconds = _unpack(data)
        true_ns = seconds * NS_PER_S + nanoseconds
        return divmod(true_ns + error.at_ns(true_ns), NS_PER_S)

    return read


read_timespec: ReadTimespec = _unpack if wall_error is None else reading_with(wall_error)
"""(seconds, nanoseconds) of the first timespec, the software stamp."""

TOLERANCE_NS = 100_000
"""How far outside of the possible a stamp may lie and still be noise: of the clock conversion, which ignores steps
below 50 µs (`RunClock.sync`), twice that; and of the network stack, which stamps a packet before it can be read (on
loopback 1 read in 10,000 had waited for more than 5 µs, none for 100 µs)."""


def enable(sock: socket.socket) -> bool:
    """Asks the kernel to stamp what this socket receives; False if it will not."""
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, _RX_SOFTWARE | _REPORT_SOFTWARE)
    except OSError:
        return False
    return True


def stamping_socket(timestamps: Literal["auto", "kernel", "user"]) -> socket.socket | None:
    """A socket that keeps stamping switched on in the kernel while it is open; None if times come from user space.

    Stamping is off for the whole host until some socket asks for it, and goes on a moment later, by a work queue. One
    socket held for the whole run keeps the first packets of later connections from arriving unstamped.
    Raises: InfrastructureError if `kernel` is insisted on and the kernel will not.
    """
    if timestamps == "user":
        return None
    keeper = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if enable(keeper):
        return keeper
    keeper.close()
    if timestamps == "kernel":
        raise InfrastructureError("the kernel gives no arrival times here; use --timestamps auto or user")
    return None


def placed_ns(stamp_ns: int, floor_ns: int, now_ns: int) -> tuple[int, bool]:
    """The stamp moved into [floor_ns, now_ns], and whether it was so far out that the clock's reading stands in for it.

    A stamp slightly outside is noise of the conversion and is moved to the nearer end. One further out is from before
    a step of the wall clock, or of a segment that arrived out of order and could not be read before the one missing:
    in both cases `now_ns` is the only time known to be no earlier than the truth. Units: ns on the run clock.
    """
    if stamp_ns > now_ns:
        return now_ns, stamp_ns - now_ns > TOLERANCE_NS
    if stamp_ns >= floor_ns:
        return stamp_ns, False
    if floor_ns - stamp_ns <= TOLERANCE_NS:
        return floor_ns, False
    return now_ns, True
