"""Within which interval the bytes of a read arrived.

Owns: both ends of the interval and what proves them. Does not own: the stamps (`stamps`), reading (`client`),
the proof that there is no interval (`segments`).

A read brings bytes and the arrival stamp of the last of them. Which part of them came earlier is lost; that is stated
as an interval:

- Upper end, `stamp_ns`: the kernel's stamp; without one, the clock after the read.
- Lower end, `after_ns`: the latest instant at which the socket is known to have been empty. There are two witnesses.
  Its own reads: one that returns less than was asked for has emptied the socket, so a clock reading *before* it is a
  bound: that after its batch was taken (one for each read would buy less than the batch's duration).
  And the batches of all others: sockets are watched level-triggered, so a batch that did not name this one found
  nothing to read in it, and the clock before that batch is a bound too, the later one by far when tokens are rare.
- A batch is no witness if it was full (`ready_max`: those it had no room for are ready too), if it is the one being
  read, or if it named the socket; but then the socket was read, and its own read is the later witness. Only a read that
  fills its buffer leaves bytes from before behind: until they are read, no batch counts (`left_unread`), and the bound
  stays where it was. A socket opened after the batch is protected by `sent_ns`, the bound before the first read.
- While nothing happens there are no batches. `drive` makes one now and then as long as requests are in flight. When the
  process gets no CPU there are none, and the intervals are as wide as the truth.
- With TLS the same holds for plaintext: what a read decrypts was completed by bytes of that read, none is held back.
- If all bytes of a read came in one segment there is no interval: they have one arrival (`segments`). The kernel is
  asked for reads of several events, for which it matters.
- A packet is stamped when it reaches the host and becomes readable when the TCP stack has processed it, microseconds
  later, more under load. Batches are dated back by `TOLERANCE_NS` for it. If a stamp lies before the bound all the
  same, the only thing known is that it is later than the previous stamp.

Hence for every connection `sent_ns ≤ after_ns ≤ stamp_ns ≤ now`, and stamps never decrease (`stamps.placed_ns`).
"""

from time import monotonic_ns
from typing import Any

from aiperf.clock import RunClock
from aiperf.endpoint import stamps
from aiperf.endpoint.connection import Connection
from aiperf.endpoint.counters import ClientCounters
from aiperf.endpoint.stamps import TOLERANCE_NS, read_timespec
from aiperf.units import NS_PER_S


class Arrivals:
    """Of the reads of one client."""

    __slots__ = ("_anchor_ns", "_clock", "_counters", "quiet_ns")

    def __init__(self, clock: RunClock, counters: ClientCounters) -> None:
        self._clock = clock
        self._anchor_ns = clock.anchor_ns
        self._counters = counters
        self.quiet_ns = 0
        """When the latest batch was taken that held all ready sockets and has been read. Others were empty then."""

    def were_quiet(self, at_ns: int) -> None:
        """A batch was read that held all sockets that were ready at `at_ns`."""
        self.quiet_ns = at_ns - TOLERANCE_NS

    def place(self, connection: Connection, control: Any, polled_ns: int, *, is_drained: bool) -> None:
        """Sets `stamp_ns`, `after_ns` and `is_instant` of the connection for the read at hand.

        `control`: the read's control messages. `polled_ns`: a clock reading before it. `is_drained`: it left nothing.
        """
        if control:
            seconds, nanoseconds = read_timespec(control[0][2])
            stamp_ns = seconds * NS_PER_S + nanoseconds + self._clock.real_to_run_ns
            is_instant = is_drained
            if not connection.stamp_ns <= stamp_ns <= polled_ns:
                kernel_ns, stamp_ns = stamp_ns, self._placed_ns(connection, stamp_ns)
                is_instant = is_drained and stamp_ns == kernel_ns
            self._counters.kernel_stamped_read_count += 1
        else:
            stamp_ns, is_instant = monotonic_ns() + self._anchor_ns, False
            self._counters.user_stamped_read_count += 1
        after_ns = connection.empty_ns
        if after_ns < self.quiet_ns and not connection.left_unread:
            after_ns = self.quiet_ns
        if is_drained:
            connection.empty_ns, connection.left_unread = polled_ns, False
            connection.read_count += 1
        else:
            connection.empty_ns, connection.left_unread = after_ns, True
        connection.after_ns = after_ns if after_ns <= stamp_ns else connection.stamp_ns
        connection.stamp_ns = stamp_ns
        connection.is_instant = is_instant

    def _placed_ns(self, connection: Connection, stamp_ns: int) -> int:
        now_ns = monotonic_ns() + self._anchor_ns
        placed_ns, replaced = stamps.placed_ns(stamp_ns, connection.stamp_ns, now_ns)
        self._counters.replaced_stamp_count += replaced
        return placed_ns
