"""The channels between services: one table of who listens, how the two sides relate, and what is said.

Owns: that table. Does not own: addresses (`layout`), messages (`aiperf.wire.messages`), sockets.
"""

from typing import NamedTuple

from aiperf.service.layout import ServiceType
from aiperf.wire.ports import Pattern


class Channel(NamedTuple):
    """One kind of channel; of `records` there is one for each record processor."""

    kind: str
    binder: ServiceType
    pattern: Pattern
    connectors: tuple[str, ...]
    flows: str
    """What travels there, for people."""


CHANNELS = {
    channel.kind: channel
    for channel in (
        Channel(
            "control",
            ServiceType.SYSTEM_CONTROLLER,
            Pattern.DIALOGUE,
            ("every other service", "the operator"),
            "registrations, orders, progress, heartbeats, measurements of clocks, log lines of hosts without a shared "
            "disk; the controller passes on what is for others",
        ),
        Channel(
            "credits",
            ServiceType.TIMING_MANAGER,
            Pattern.DIALOGUE,
            (ServiceType.WORKER.value,),
            "credit batches ahead of time; what became of credits",
        ),
        Channel(
            "records",
            ServiceType.RECORD_PROCESSOR,
            Pattern.FUNNEL,
            (ServiceType.WORKER.value,),
            "slices: response bytes with the time stamps of their reads",
        ),
        Channel(
            "columns",
            ServiceType.RECORDS_MANAGER,
            Pattern.FUNNEL,
            (ServiceType.RECORD_PROCESSOR.value,),
            "columns and sketches of finished records; compressed lines of requests",
        ),
    )
}


def channel_of(name: str) -> Channel:
    """The kind that a channel's name belongs to: `records/record-processor-0` is one of `records`."""
    return CHANNELS[name.partition("/")[0]]
