"""How slow and how sparse answers are, and how often one therefore needs to look for them.

Owns: what is remembered of latencies and reads; the intervals that follow. Does not own: looking (`drive`), requests
(`client`). Pure. Units: ns.
"""

from aiperf.units import NS_PER_MS

_GLANCE_MIN_NS = 2 * NS_PER_MS
_GLANCE_MAX_NS = 10 * NS_PER_MS
_GLANCE_SHARE = 32
_GATHER_MIN_NS = 1 * NS_PER_MS
_GATHER_MAX_NS = 10 * NS_PER_MS
_GATHER_SHARE = 2048
"""Of a request's latency: a slot is refilled later by at most 0.05 % of the time it is in use."""
_GATHER_GAP_SHARE = 8
"""Of the mean gap between a stream's chunks: how much nearer than usual two may come before they share a read."""
_SMOOTHED_TICKS = 20


def glance_interval_ns(latency_ns: int) -> int:
    """For how long nobody needs to look when requests take so long."""
    return min(max(latency_ns // _GLANCE_SHARE, _GLANCE_MIN_NS), _GLANCE_MAX_NS)


def gather_interval_ns(latency_ns: int, gap_ns: int) -> int:
    """How long what has arrived may wait to be read when requests take so long and a stream's chunks are so far apart.

    0: not at all.
    """
    interval_ns = min(latency_ns // _GATHER_SHARE, gap_ns // _GATHER_GAP_SHARE, _GATHER_MAX_NS)
    return interval_ns if interval_ns >= _GATHER_MIN_NS else 0


class Tempo:
    """Of one client. `tick_interval_ns`: between two calls of `tick`."""

    __slots__ = ("_last_latency_ns", "_read_count", "_reads_per_tick", "_shortest_latency_ns", "_tick_interval_ns")

    def __init__(self, tick_interval_ns: int) -> None:
        self._tick_interval_ns = tick_interval_ns
        self._last_latency_ns = 0
        self._shortest_latency_ns = 0
        """Of late: it grows until there is a shorter one. 0: nothing has been completed."""
        self._reads_per_tick = 0.0
        """Smoothed over a second or so."""
        self._read_count = 0

    def completed(self, latency_ns: int) -> None:
        """A request took so long from dispatch to end."""
        self._last_latency_ns = latency_ns
        if latency_ns < self._shortest_latency_ns or not self._shortest_latency_ns:
            self._shortest_latency_ns = latency_ns

    def tick(self, read_count: int) -> None:
        """`read_count`: reads stamped by the kernel since `count_anew`. Others must not wait, and so do not count."""
        self._reads_per_tick += (read_count - self._read_count - self._reads_per_tick) / _SMOOTHED_TICKS
        self._read_count = read_count
        self._shortest_latency_ns += self._shortest_latency_ns // _SMOOTHED_TICKS

    def count_anew(self, read_count: int) -> None:
        """After `read_count` reads their count begins at 0 again. Those since the last tick belong to the next."""
        self._read_count -= read_count

    def patience_ns(self, *, in_flight_count: int, oldest_age_ns: int) -> int:
        """How long what arrives may wait to be read; 0: not at all."""
        if self._reads_per_tick < 1:
            return 0
        gap_ns = in_flight_count / self._reads_per_tick * self._tick_interval_ns
        return gather_interval_ns(self._shortest_latency_ns or oldest_age_ns, int(gap_ns))

    def glance_interval_ns(self, *, youngest_age_ns: int) -> int:
        """For how long nobody needs to look."""
        return glance_interval_ns(max(youngest_age_ns, self._last_latency_ns))
