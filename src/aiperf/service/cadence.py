"""How often members speak to the centre, by how many there are, and how much of it may wait there.

Owns: the intervals of credit returns, record columns, heartbeats, looks at the clock and log lines; after which silence
a member counts as lost; the bound of the columns' queue. Does not own: the interval of credit batches, which the
scheduler makes longer by the same thought (`aiperf.schedule.scheduler`); what speaks at once, whatever the interval.

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

HEARTBEATS_PER_S = 500
HEARTBEAT_INTERVAL_MIN_S, HEARTBEAT_INTERVAL_MAX_S = 1.0, 6.0

SILENCE_LIMIT_MIN_S = 15.0
HEARTBEATS_BEFORE_LOST = 5
"""A service starved of CPU gets one of so many out: silent for longer is lost. That is at most half a minute."""

CLOCK_WATCHES_PER_S = 20
CLOCK_WATCH_INTERVAL_MIN_S, CLOCK_WATCH_INTERVAL_MAX_S = 10.0, 120.0
"""Clocks drift by microseconds a second. A watch is several round trips."""

LOG_RELAYS_PER_S = 1_000
LOG_INTERVAL_MIN_S, LOG_INTERVAL_MAX_S = 1.0, 4.0
"""A run that is over waits for the last lines for so long."""

LATECOMERS_PER_S = 1_000
LATECOMERS_INTERVAL_MIN_S = 0.02
"""At the end, members are tried to be reached that are not connected yet."""

COLUMN_QUEUE_MESSAGES = 8_000
COLUMN_QUEUE_MIN, COLUMN_QUEUE_MAX = 2, 64
"""Per sender and side. A batch of a large run is some tens of KB: a records manager that is far behind holds a few
hundred MB, and record processors keep the rest."""

GATHER_FROM_WORKERS = 200
GATHERS_PER_RETURN_INTERVAL = 50
"""With more workers than that, what they say waits some milliseconds for others' words; nothing that is timed does."""


class Cadence(NamedTuple):
    """Seconds between two messages of one member, and what follows from them."""

    return_interval_s: float = RETURN_INTERVAL_MIN_S
    column_interval_s: float = COLUMN_INTERVAL_MIN_S
    heartbeat_interval_s: float = HEARTBEAT_INTERVAL_MIN_S
    clock_watch_interval_s: float = CLOCK_WATCH_INTERVAL_MIN_S
    log_interval_s: float = LOG_INTERVAL_MIN_S
    silence_limit_s: float = SILENCE_LIMIT_MIN_S
    column_queue: int = COLUMN_QUEUE_MAX
    gather_s: float = 0.0


def cadence_of(layout: Layout) -> Cadence:
    """The intervals for the members of this layout."""
    workers = len(layout.services(ServiceType.WORKER))
    processors = len(layout.services(ServiceType.RECORD_PROCESSOR))
    members, hosts = len(layout.services()), len(layout.hosts)
    heartbeat_interval_s = _clamped(members / HEARTBEATS_PER_S, HEARTBEAT_INTERVAL_MIN_S, HEARTBEAT_INTERVAL_MAX_S)
    return_interval_s = _clamped(workers / RETURNS_PER_S, RETURN_INTERVAL_MIN_S, RETURN_INTERVAL_MAX_S)
    return Cadence(
        return_interval_s=return_interval_s,
        column_interval_s=_clamped(processors / COLUMN_BATCHES_PER_S, COLUMN_INTERVAL_MIN_S, COLUMN_INTERVAL_MAX_S),
        heartbeat_interval_s=heartbeat_interval_s,
        clock_watch_interval_s=_clamped(
            workers / CLOCK_WATCHES_PER_S, CLOCK_WATCH_INTERVAL_MIN_S, CLOCK_WATCH_INTERVAL_MAX_S
        ),
        log_interval_s=_clamped(hosts / LOG_RELAYS_PER_S, LOG_INTERVAL_MIN_S, LOG_INTERVAL_MAX_S),
        silence_limit_s=max(SILENCE_LIMIT_MIN_S, HEARTBEATS_BEFORE_LOST * heartbeat_interval_s),
        column_queue=min(max(COLUMN_QUEUE_MESSAGES // max(1, processors), COLUMN_QUEUE_MIN), COLUMN_QUEUE_MAX),
        gather_s=return_interval_s / GATHERS_PER_RETURN_INTERVAL if workers > GATHER_FROM_WORKERS else 0.0,
    )


def latecomers_interval_s(count: int) -> float:
    """After how long to try again to reach so many members."""
    return max(LATECOMERS_INTERVAL_MIN_S, count / LATECOMERS_PER_S)


def _clamped(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)
