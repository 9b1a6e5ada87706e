"""The operator: the person's side of a running benchmark.

Owns: showing progress, hearing Ctrl-C, noticing a controller that is gone or silent. Does not own: the run's decisions.

Ctrl-C once asks for an orderly end with what there is; twice cuts what is in flight; three times ends every process.
SIGTERM, and the end of the terminal, begin with the second step: whoever sends them will not wait long.
"""

import asyncio
import signal
from typing import Any

from aiperf.deploy.service_manager import HostEnded, ServiceManager
from aiperf.errors import BenchmarkError, ExitCode
from aiperf.service.layout import Layout
from aiperf.ui.live import View
from aiperf.wire.bus import CONTROLLER, OPERATOR, Seat
from aiperf.wire.messages import HostLost, Notice, OperatorJoined, Progress, RunFinished, StopRun
from aiperf.wire.ports import Pattern
from aiperf.wire.zmq_wire import ZmqWire

SILENCE_LIMIT_S = 20
"""The controller reports several times a second; after so long without a word it hangs."""

STOP_GRACE_S = 1.0
"""How long the hosts may take to leave once the run is over. All is written by then: a slow one loses nothing."""

PARTING_WORDS_S = 1.0
"""A controller that ends may just have said why: its last words are waited for."""

INTERRUPTS_TO_KILL = 3

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""By which a person, a supervisor or a terminal that goes away asks for the end."""


class Operator:
    """`run()` returns how the run ended. Raises: BenchmarkError if the controller is lost.

    The caller blocks the `ENDING_SIGNALS`, so that none strikes while something is half made or half removed; here, and
    here only, they are heard.
    """

    def __init__(self, layout: Layout, manager: ServiceManager, view: View) -> None:
        self._layout = layout
        self._manager = manager
        self._view = view
        self._interrupts = 0
        self._last_progress: Progress | None = None

    async def run(self) -> RunFinished:
        loop = asyncio.get_running_loop()
        self._wire = ZmqWire()
        address = self._layout.addresses["control"][-1]
        self._seat = Seat(self._wire.connect(Pattern.DIALOGUE, address, OPERATOR), OPERATOR)
        self._finished: asyncio.Future[RunFinished] = loop.create_future()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else by `nohup`
            loop.add_signal_handler(signal.SIGHUP, self._terminate)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._manager.start()
            self._seat.send(OperatorJoined())
            tasks = [asyncio.create_task(work) for work in (self._listen(), self._watch_hosts())]
            ends: list[asyncio.Future[Any]] = [self._finished, *tasks]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # A bug here is told; the end of the run would be waited for in vain.
            finished = await self._finished
            await self._manager.stop(STOP_GRACE_S if self._interrupts < INTERRUPTS_TO_KILL else 0)
            return finished
        finally:
            for task in tasks:
                task.cancel()
            self._wire.close()
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
            loop.remove_signal_handler(signal.SIGINT)

    async def _listen(self) -> None:
        silent_s = 0
        while silent_s < SILENCE_LIMIT_S:
            try:
                _, message = await asyncio.wait_for(self._seat.receive(), 1)
            except TimeoutError:
                silent_s += 1  # in steps: a pause of this process (Ctrl-Z, a suspended laptop) is one, however long
                continue
            silent_s = 0
            match message:
                case Progress():
                    self._last_progress = message
                    self._view.show(message)
                case Notice():
                    self._view.notice(message.text)
                case RunFinished():
                    if not self._finished.done():
                        self._finished.set_result(message)
        self._fail(f"the controller has been silent for {SILENCE_LIMIT_S} s")

    async def _watch_hosts(self) -> None:
        controllers = {host.host_id for host in self._layout.hosts for s in host.services if s.service_id == CONTROLLER}
        while True:
            ended = await self._manager.next_end()
            if ended.host_id in controllers:
                await asyncio.sleep(PARTING_WORDS_S)
                self._fail(f"the controller was lost: {ended.reason}")
            elif not self._finished.done() and not ended.expected:
                self._tell_loss(ended)

    def _tell_loss(self, ended: HostEnded) -> None:
        self._view.notice(f"{ended.host_id} was lost: {ended.reason}")
        self._seat.send(HostLost(ended.host_id, ended.reason))

    def _fail(self, reason: str) -> None:
        if self._finished.done():
            return
        if (seen := self._last_progress) is not None:
            reason += f"; last seen: {seen.completed_count} requests completed, {seen.failed_count} failed"
        reason += f" (see {self._layout.artifact_dir}/logs/aiperf.log)"
        self._finished.set_exception(BenchmarkError(reason))

    def _terminate(self) -> None:
        self._interrupts = max(self._interrupts, 1)
        self._interrupt()

    def _interrupt(self) -> None:
        self._interrupts += 1
        if self._interrupts == 1:
            self._view.notice("stopping: waiting for requests in flight (Ctrl-C again cuts them)")
            self._seat.send(StopRun(now=False, reason="interrupted by the user"))
        elif self._interrupts == 2:
            self._view.notice("stopping now (Ctrl-C again ends every process)")
            self._seat.send(StopRun(now=True, reason="interrupted by the user"))
        elif not self._finished.done():
            self._finished.set_result(
                RunFinished(ExitCode.INTERRUPTED, "interrupted", "interrupted by the user", "", "")
            )
