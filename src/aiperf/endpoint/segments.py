"""Whether all bytes of a read came to this host in one TCP segment, and so at one instant.

Owns: asking the kernel for a connection's counters, and the proof. Does not own: reading (`client`), what follows for
intervals.

Events that share a read are known to have arrived before its stamp, which is that of the last byte. If all bytes came
in one segment they have one arrival, and the stamp is it: nothing came earlier. Servers that write several events at
once (a one-chunk answer with its end) send one segment.

*The proof.* The kernel counts the segments with data that reached the connection (`tcpi_data_segs_in`), the client the
reads that left nothing behind. Each such read holds the bytes of at least one segment that no other read has. So
segments minus reads, the excess, never falls; if it is the same as at an earlier instant, then every read since then
held exactly one segment, this one among them. What could make the count say less than happened:

- An earlier excess that was taken too high, because a segment had been counted and not been read yet. It is taken only
  when nothing is left unread after the question (`FIONREAD`).
- Segments out of order: the one that was counted may have made others readable which had come before. The kernel counts
  these (`tcpi_rcv_ooopack`); a connection that ever had one is believed no more.
- A read that filled its buffer shares a segment with the next. It is not counted, and the next is.

Retransmitted, merged (GRO) and late segments, and those that came after the read, make the count say more: the interval
stays wide. So does a kernel that does not count (before Linux 5.4, gVisor, macOS).

A question costs 1.3 µs (benchmarks/http_client.py), so it is asked for reads of several events alone.
"""

import fcntl
import socket
import struct
import sys
import termios

from aiperf.endpoint.connection import Connection

_UNKNOWN = -1

_TCP_INFO = 11
"""linux/tcp.h, as are the places of the two counters in `struct tcp_info`."""
_DATA_SEGS_IN = struct.Struct("=152xI")
_RCV_OOOPACK = struct.Struct("=224xI")
_INFO_BYTES = _RCV_OOOPACK.size
_ALL_ONES = 0xFFFFFFFF
_NOTHING = struct.pack("i", 0)


def forget_count(connection: Connection) -> None:
    """Its reads until now were not counted: the first question will only find out how many segments there were."""
    connection.segment_excess = _UNKNOWN


def came_in_one_segment(connection: Connection) -> bool:
    """Whether the read at hand, which left nothing behind and is counted in `read_count`, was exactly one segment.

    False if it was not, or if that cannot be proved.
    """
    if sys.platform != "linux":
        return False
    try:
        info = connection.sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO_BYTES)
    except OSError:
        return False
    if len(info) < _INFO_BYTES or _RCV_OOOPACK.unpack(info)[0]:
        return False
    excess = (_DATA_SEGS_IN.unpack_from(info)[0] - connection.read_count) & _ALL_ONES
    if excess == connection.segment_excess:
        return True
    if fcntl.ioctl(connection.descriptor, termios.FIONREAD, _NOTHING) == _NOTHING:
        connection.segment_excess = excess
    return False
