"""How often members speak to the centre, by how many there are.

Owns: the intervals of credit returns, record columns, heartbeats and looks at the clock. Does not own: those of credit
batches, which the scheduler grows by the same thought (`aiperf.schedule.scheduler`); what speaks at once, whatever the
interval.

The centre pays by the message, some 50 µs of CPU time each. So every kind of message has a rate that the members of a
run share: few members speak often, many seldom. Each derives the same intervals from the layout.
Figures: benchmarks/README.md, "Controller at scale".
"""

from typing import NamedTuple

from aiperf.service.layout import Layout, ServiceType

RETURNS_PER_S = 2_000
RETURN_INTERVAL_MIN_S, RETURN_INTERVAL_MAX_S = 0.1, 1.0
"""At the most as long as the scheduler's own interval: its view of who waits for slots is as old as that."""

COLUMN_BATCHES_PER_S = 1_000
COLUMN_INTERVAL_MIN_S, COLUMN_INTERVAL_MAX_S = 0.2, 2.0
"""The live view is as old as that."""

HEARTBEATS_PER_S = 1_000
HEARTBEAT_INTERVAL_MIN_S, HEARTBEAT_INTERVAL_MAX_S = 1.0, 3.0
"""Five at the least before a silent service counts as lost."""

CLOCK_WATCHES_PER_S = 100
CLOCK_WATCH_INTERVAL_MIN_S, CLOCK_WATCH_INTERVAL_MAX_S = 10.0, 60.0
"""Clocks drift by microseconds a second. A watch is several round trips."""


class Cadence(NamedTuple):
    """Seconds between two messages of one member."""

    return_interval_s: float = RETURN_INTERVAL_MIN_S
    column_interval_s: float = COLUMN_INTERVAL_MIN_S
    heartbeat_interval_s: float = HEARTBEAT_INTERVAL_MIN_S
    clock_watch_interval_s: float = CLOCK_WATCH_INTERVAL_MIN_S


def cadence_of(layout: Layout) -> Cadence:
    """The intervals for the members of this layout."""
    workers = len(layout.services(ServiceType.WORKER))
    processors = len(layout.services(ServiceType.RECORD_PROCESSOR))
    members = len(layout.services())
    return Cadence(
        return_interval_s=_clamped(workers / RETURNS_PER_S, RETURN_INTERVAL_MIN_S, RETURN_INTERVAL_MAX_S),
        column_interval_s=_clamped(processors / COLUMN_BATCHES_PER_S, COLUMN_INTERVAL_MIN_S, COLUMN_INTERVAL_MAX_S),
        heartbeat_interval_s=_clamped(members / HEARTBEATS_PER_S, HEARTBEAT_INTERVAL_MIN_S, HEARTBEAT_INTERVAL_MAX_S),
        clock_watch_interval_s=_clamped(
            len(layout.hosts) / CLOCK_WATCHES_PER_S, CLOCK_WATCH_INTERVAL_MIN_S, CLOCK_WATCH_INTERVAL_MAX_S
        ),
    )


def _clamped(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)
