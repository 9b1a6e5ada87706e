"""How far two hosts' clocks are apart, from round trips between them.

Owns: the arithmetic and the judgement whether more round trips would help. Does not own: making them
(`clock_alignment`), moving a clock (`aiperf.clock`).

A round trip leaves at `sent_ns`, is taken up there at `received_ns`, leaves there at `replied_ns` and is back at
`answered_ns`. Had both ways taken the same time, the offset would be exact; they may differ by all of the time under
way, so it is uncertain by half of that, and by no more. Hence the quickest round trip knows best, and averaging with
slower ones would only spoil it. Source: RFC 5905, sections 8 and 10 (the clock filter).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

PROBES_MIN = 20
PROBES_MAX = 200

FLOOR_COUNT = 3
FLOOR_FRACTION = 0.25
FLOOR_NS = 20_000
"""The quickest round trip is taken for the floor when FLOOR_COUNT lie within so much of it: the path then is as quick
as it gets, and a quicker one would win less than half of that."""


class RoundTrip(NamedTuple):
    """Units: ns; the outer two instants on the asker's clock, the inner two on the other one."""

    sent_ns: int
    received_ns: int
    replied_ns: int
    answered_ns: int

    @property
    def under_way_ns(self) -> int:
        """Both ways together, without the time the other side took to reply."""
        return max(0, self.answered_ns - self.sent_ns - (self.replied_ns - self.received_ns))

    @property
    def offset_ns(self) -> int:
        """The other clock minus the asker's, if both ways took the same time."""
        return ((self.received_ns - self.sent_ns) + (self.replied_ns - self.answered_ns)) // 2


class Offset(NamedTuple):
    """The truth lies within `offset_ns` ± `uncertainty_ns`."""

    offset_ns: int
    uncertainty_ns: int


def best_offset(trips: Sequence[RoundTrip]) -> Offset:
    """What the quickest round trip says. Undefined when: there is none."""
    quickest = min(trips, key=lambda trip: trip.under_way_ns)
    return Offset(quickest.offset_ns, math.ceil(quickest.under_way_ns / 2))


def is_settled(trips: Sequence[RoundTrip]) -> bool:
    """Whether further round trips would hardly tell more."""
    if len(trips) < PROBES_MIN:
        return False
    if len(trips) >= PROBES_MAX:
        return True
    quickest, *_, last = sorted(trip.under_way_ns for trip in trips)[:FLOOR_COUNT]
    return last - quickest <= max(FLOOR_NS, FLOOR_FRACTION * quickest)
