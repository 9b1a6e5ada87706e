"""A bounded pace: how many things may begin, so that no more than a given number begin in any second.

Owns: the arithmetic. Does not own: the clock, what begins, what waits.
"""

from aiperf.units import NS_PER_S

BURST_NS = NS_PER_S // 10
"""So much of the pace may be caught up on at once: callers that look ten times a second lose nothing of it."""


class Pace:
    """Permits at `rate_per_s`; None: as many as are asked for.

    Source: the generic cell rate algorithm (ITU-T I.371), virtual scheduling form.
    """

    __slots__ = ("_interval_ns", "_next_ns")

    def __init__(self, rate_per_s: float | None) -> None:
        self._interval_ns = 0 if rate_per_s is None else round(NS_PER_S / rate_per_s)
        self._next_ns = 0
        """When the next one is due, were they evenly spaced."""

    def permits(self, now_ns: int) -> bool:
        """Whether one more may begin now; if so, it counts as begun."""
        if self._next_ns - now_ns > BURST_NS:
            return False
        self._next_ns = max(self._next_ns, now_ns) + self._interval_ns
        return True
