"""The worker manager: knows who is alive.

Owns: listening for heartbeats; says of a silent service that it is lost. Does not own: when silence is one
(`heartbeats`), what a loss means for the run (`run_lifecycle`) or for the schedule (`aiperf.schedule.scheduler`).
Its own heartbeat goes to the controller: nobody watches himself.
"""

import asyncio
import logging

from aiperf.clock import Clock
from aiperf.service.heartbeats import HeartbeatWatch
from aiperf.wire.bus import Seat
from aiperf.wire.messages import Exit, Heartbeat, ServiceLost

log = logging.getLogger(__name__)


class WorkerManager:
    def __init__(self, *, seat: Seat, clock: Clock, silence_limit_s: float) -> None:
        self._seat = seat
        self._clock = clock
        self._watch = HeartbeatWatch(silence_limit_s)

    async def run(self) -> None:
        watching = asyncio.create_task(self._report_silence())
        try:
            while True:
                _, message = await self._seat.receive()
                match message:
                    case Heartbeat():
                        self._watch.heard(message.service_id, self._clock.now_ns())
                        log.debug("%s: %s", message.service_id, message.health)
                    case Exit():
                        return
        finally:
            watching.cancel()

    async def _report_silence(self) -> None:
        while True:
            await asyncio.sleep(1)
            for name in self._watch.take_silent(self._clock.now_ns()):
                self._seat.send(ServiceLost(name, self._watch.reason))
