"""The system controller: performs what the run lifecycle decides.

Owns: the hub of the control bus and the loop around `RunLifecycle`. Does not own: any decision.
"""

import asyncio
import logging

import msgspec

from aiperf.clock import Clock
from aiperf.service.cadence import latecomers_interval_s
from aiperf.service.membership import TOLD_TO_LEAVE
from aiperf.service.run_lifecycle import RunLifecycle, State
from aiperf.service.tell import Tell
from aiperf.service.together import run_together
from aiperf.wire.bus import CONTROLLER, OPERATOR, Hub
from aiperf.wire.messages import ClockProbe, ClockReply, Exit, Heartbeat, Progress, RunFinished, ServiceLost

log = logging.getLogger(__name__)

TICK_S = 0.5

LATECOMERS_S = 10.0
"""At the end: how long to try to reach members who are not connected yet."""

LEAVE_LIMIT_S = 10.0
"""Told to leave before its time: so long the results of what there is may take to be written."""

LEAVE_INTERVAL_S = 0.02
"""How often to look whether they are."""

SHOWN_AS = {State.FLUSHING: "processing", State.PROCESSING: "processing", State.EXPORTING: "exporting"}
"""States that the live view shows by themselves; while phases run it shows what the timing manager says."""


class SystemController:
    """`run()` returns when the run is over and everybody was told."""

    def __init__(self, *, hub: Hub, lifecycle: RunLifecycle, clock: Clock) -> None:
        self._hub = hub
        self._lifecycle = lifecycle
        self._clock = clock
        self._progress: Progress | None = None
        self._untold: list[Tell] = []

    async def run(self) -> None:
        await run_together(self._listen(), self._tick())  # both end with the run
        await run_together(self._tell_latecomers(), self.turn_away())

    @property
    def is_refused(self) -> bool:
        """The run is over, and its verdict is not what was required."""
        return self._lifecycle.is_refused

    async def leave(self) -> None:
        """Ends the load and reports what there is, as far as that is quickly done; then everybody is told why."""
        self._perform(self._lifecycle.leave(TOLD_TO_LEAVE, self._clock.now_ns()))
        tries = round(LEAVE_LIMIT_S / LEAVE_INTERVAL_S)
        while self._lifecycle.state is not State.OVER and tries:
            tries -= 1
            await asyncio.sleep(LEAVE_INTERVAL_S)
        lost = ServiceLost(CONTROLLER, TOLD_TO_LEAVE)
        self._perform(self._lifecycle.handle(lost, self._clock.now_ns()))

    async def _listen(self) -> None:
        while self._lifecycle.state is not State.OVER:
            sender, message = await self._hub.receive()
            if isinstance(message, ClockProbe):
                self._tell_time(message, sender)
                continue
            if isinstance(message, ServiceLost):
                log.warning("%s was lost: %s", message.service_id, message.reason)
            before = self._lifecycle.state
            self._perform(self._lifecycle.handle(message, self._clock.now_ns()))
            if isinstance(message, Progress):
                self._progress = message
                self._tell_progress()
            if self._lifecycle.state is not before:
                log.info("%s after %s from %s", self._lifecycle.state.name, type(message).__name__, sender)
                self._tell_progress()

    async def turn_away(self) -> None:
        """Tells whoever still comes that the run is over, until cancelled: a host may have waited for its image."""
        while True:
            sender, _ = await self._hub.receive()
            self._hub.send(Exit(), sender)

    def _tell_time(self, probe: ClockProbe, asker: str) -> None:
        received_ns = self._clock.now_ns()
        self._hub.send(ClockReply(probe.sent_ns, received_ns, self._clock.now_ns()), asker)

    async def _tell_latecomers(self) -> None:
        """A run that ends early has members who connect later. They too shall know that it is over."""
        waited_s = 0.0
        while self._untold and waited_s < LATECOMERS_S:
            interval_s = latecomers_interval_s(len(self._untold))
            waited_s += interval_s
            await asyncio.sleep(interval_s)
            self._untold = [tell for tell in self._untold if not self._hub.send(tell.message, tell.to)]

    def _tell_progress(self) -> None:
        """The numbers come from the records manager; where the run stands is known here."""
        shown = SHOWN_AS.get(self._lifecycle.state)
        if self._progress is not None and self._lifecycle.state is not State.OVER:
            progress = msgspec.structs.replace(self._progress, notices=list(self._lifecycle.notices))
            self._hub.send(msgspec.structs.replace(progress, state=shown) if shown else progress, OPERATOR)

    async def _tick(self) -> None:
        while self._lifecycle.state is not State.OVER:
            await asyncio.sleep(TICK_S)
            now_ns = self._clock.now_ns()
            # The operator's sign of life: before the load there may be nothing to report for minutes.
            self._hub.send(Heartbeat(CONTROLLER, now_ns), OPERATOR)
            self._perform(self._lifecycle.tick(now_ns))

    def _perform(self, tells: list[Tell]) -> None:
        for tell in tells:
            if not self._hub.send(tell.message, tell.to):
                log.warning("%s could not be reached with %s", tell.to, type(tell.message).__name__)
                if isinstance(tell.message, Exit | RunFinished):
                    self._untold.append(tell)
