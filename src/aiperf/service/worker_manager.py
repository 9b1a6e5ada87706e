"""The worker manager: knows who is alive.

Owns: the watch over heartbeats; says of a silent service that it is lost. Does not own: what a loss means for the run
(`run_lifecycle`) or for the schedule (`aiperf.schedule.scheduler`).
"""

import asyncio
import logging

from aiperf.clock import Clock
from aiperf.units import NS_PER_S
from aiperf.wire.bus import Seat
from aiperf.wire.messages import Exit, Heartbeat, ServiceLost

log = logging.getLogger(__name__)

SILENCE_LIMIT_NS = 15 * NS_PER_S
"""Silent for so long is lost. Fifteen heartbeats: a service starved of CPU still gets one of them out."""


class HeartbeatWatch:
    """Who was heard of when. Pure; tests own time."""

    def __init__(self, silence_limit_ns: int = SILENCE_LIMIT_NS) -> None:
        self._silence_limit_ns = silence_limit_ns
        self._last_heard_ns: dict[str, int] = {}

    def heard(self, service_id: str, now_ns: int) -> None:
        self._last_heard_ns[service_id] = now_ns

    def take_silent(self, now_ns: int) -> list[str]:
        """Services silent for longer than the limit; each is named once."""
        silent = [name for name, heard_ns in self._last_heard_ns.items() if now_ns - heard_ns > self._silence_limit_ns]
        for name in silent:
            del self._last_heard_ns[name]
        return silent


class WorkerManager:
    def __init__(self, *, seat: Seat, clock: Clock) -> None:
        self._seat = seat
        self._clock = clock
        self._watch = HeartbeatWatch()

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
        last_ns = self._clock.now_ns()
        while True:
            await asyncio.sleep(1)
            now_ns = self._clock.now_ns()
            if now_ns - last_ns > SILENCE_LIMIT_NS / 2:
                # This process itself was stopped (a suspended laptop): nobody could be heard meanwhile.
                self._watch = HeartbeatWatch()
            last_ns = now_ns
            for name in self._watch.take_silent(now_ns):
                self._seat.send(ServiceLost(name, f"no sign of life for {SILENCE_LIMIT_NS // NS_PER_S} s"))
