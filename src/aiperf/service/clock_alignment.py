"""A host's clock on the system controller's scale: measured and moved once, then only watched.

Owns: the round trips over the control bus. Does not own: what they say (`clock_offset`), the run clock itself
(`aiperf.clock`).

Before its services start, a host with a clock of its own measures how far it is from the controller's and moves its
anchor. From then on every instant of the run is on one scale, and nobody converts anything. While requests may be in
flight the anchor stays where it is, since all instants of a request must be on one clock: later measurements are
reported and change nothing.
"""

import asyncio
import logging
from typing import Protocol

from aiperf.clock import RunClock
from aiperf.errors import InfrastructureError
from aiperf.service.cadence import cadence_of
from aiperf.service.clock_offset import Offset, RoundTrip, best_offset, is_settled
from aiperf.service.layout import Host, Layout, ServiceType
from aiperf.wire.bus import Seat
from aiperf.wire.messages import ClockProbe, ClockReply, Exit
from aiperf.wire.ports import Pattern, Wire

log = logging.getLogger(__name__)

REACH_LIMIT_S = 600
"""How long to wait for the controller: its pod may be scheduled, and its image pulled, long after this one's."""

PATIENCE_FIRST_S = 0.5
PATIENCE_MAX_S = 10.0
"""After how long an unanswered probe is sent again; the longer, the more have been in vain. The wire keeps probes
until the controller can be connected to, so the first answer does not wait for this."""

PAUSE_S = 0.005
"""Between probes, so that one hiccup does not hit them all."""

WATCH_PROBES = 4
"""Thousands of hosts ask one controller: how often is a matter of `cadence`."""


class ClockKeeper(Protocol):
    """What a host knows of its clock."""

    async def watch(self) -> None:
        """Measures again and again, until cancelled."""
        ...

    def observations(self) -> dict[str, float]:
        """By name with unit; empty for a host whose clock is the controller's."""
        ...


class SharedClock:
    """Of a host whose clock is the controller's own: nothing is to be measured."""

    async def watch(self) -> None:
        await asyncio.Event().wait()

    def observations(self) -> dict[str, float]:
        return {}


class AlignedClock:
    """Of a host that measures round trips from its `seat`, and again every `watch_interval_s`."""

    def __init__(self, seat: Seat, clock: RunClock, watch_interval_s: float) -> None:
        self._seat = seat
        self._clock = clock
        self._watch_interval_s = watch_interval_s
        self._adopted = Offset(0, 0)
        self._drift: Offset | None = None
        self._is_over = False

    async def align(self) -> Offset | None:
        """Moves the clock to the controller's scale; returns by how much. None: the controller says that the run is
        over. Returns only when the controller answers."""
        trips: list[RoundTrip] = []
        patience_s = PATIENCE_FIRST_S
        while not is_settled(trips):
            if self._is_over:
                return None
            trip = await self._round_trip(patience_s)
            if trip is None:
                patience_s = min(2 * patience_s, PATIENCE_MAX_S)
                continue
            trips.append(trip)
            patience_s = PATIENCE_FIRST_S
            await asyncio.sleep(PAUSE_S)
        self._adopted = best_offset(trips)
        self._clock.adopt(self._adopted.offset_ns)
        return self._adopted

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(self._watch_interval_s)
            trips = [trip for _ in range(WATCH_PROBES) if (trip := await self._round_trip(PATIENCE_FIRST_S))]
            if trips:
                self._drift = best_offset(trips)

    def observations(self) -> dict[str, float]:
        """`clock_offset_ns` is what the clock was moved by; `clock_drift_ns`, how far it is off since."""
        seen = {
            "clock_offset_ns": self._adopted.offset_ns,
            "clock_uncertainty_ns": self._adopted.uncertainty_ns,
        }
        if self._drift is not None:
            seen["clock_drift_ns"] = self._drift.offset_ns
            seen["clock_drift_uncertainty_ns"] = self._drift.uncertainty_ns
        return dict[str, float](seen)

    async def _round_trip(self, patience_s: float) -> RoundTrip | None:
        """None if there was no answer in time. Late answers to earlier probes are left aside: they waited here."""
        sent_ns = self._clock.now_ns()
        self._seat.send(ClockProbe(sent_ns))
        try:
            async with asyncio.timeout(patience_s):
                while True:
                    _, reply = await self._seat.receive()
                    answered_ns = self._clock.now_ns()
                    if isinstance(reply, Exit):
                        self._is_over = True
                        return None
                    if isinstance(reply, ClockReply) and reply.probe_sent_ns == sent_ns:
                        return RoundTrip(sent_ns, reply.received_ns, reply.replied_ns, answered_ns)
        except TimeoutError:
            return None


async def align_clock(wire: Wire, layout: Layout, host: Host, clock: RunClock) -> ClockKeeper | None:
    """Puts `clock` on the system controller's scale, if it is not on it already. None: the run is over.

    Raises: InfrastructureError if the controller was not reached within REACH_LIMIT_S.
    """
    if layout.anchor_ns or host == layout.host_of(ServiceType.SYSTEM_CONTROLLER):
        return SharedClock()
    address, name = layout.address("control", host.host_id), f"clock/{host.host_id}"
    keeper = AlignedClock(
        Seat(wire.connect(Pattern.DIALOGUE, address, name), name), clock, cadence_of(layout).clock_watch_interval_s
    )
    try:
        async with asyncio.timeout(REACH_LIMIT_S):
            moved = await keeper.align()
    except TimeoutError:
        raise InfrastructureError(
            f"{host.host_id}: no answer from the system controller at {address} within {REACH_LIMIT_S} s"
        ) from None
    if moved is None:
        log.info("the run is over")
        return None
    log.info("clock moved by %d ns, to within %d ns of the controller's", *moved)
    return keeper
