"""The operator: the person's side of a running benchmark.

Owns: showing progress, hearing Ctrl-C, noticing a controller that is gone or silent. Does not own: the run's decisions,
how the controller is reached (`deploy.line`).

Ctrl-C once asks for an orderly end with what there is; twice cuts what is in flight; three times ends every process.
SIGTERM begins with the second step: whoever sends it will not wait long. The end of the terminal does so too, but for a
run that goes on without its operator: that one is left alone.
"""

import asyncio
import signal
from typing import Any

import msgspec

from aiperf.deploy.line import INTERRUPTED, Line, ResultsStayError
from aiperf.deploy.service_manager import HostEnded, ServiceManager
from aiperf.errors import BenchmarkError, ExitCode
from aiperf.service.layout import Layout, ServiceType
from aiperf.ui.live import View
from aiperf.wire.messages import Notice, Progress, RunFinished

STOP_GRACE_S = 1.0
"""How long the hosts may take to leave once the run is over. All is written by then: a slow one loses nothing."""

PARTING_WORDS_S = 1.0
"""A controller that ends may just have said why: its last words are waited for."""

INTERRUPTS_TO_KILL = 3

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""By which a person, a supervisor or a terminal that goes away asks for the end."""

LOST = " was lost"
"""What stands in a notice behind the name of who is gone, here and in the controller's."""

LEFT_ALONE = "left"
"""Outcome of a run whose operator has gone, and which goes on."""


class Operator:
    """`run()` returns how the run ended. Raises: BenchmarkError if the controller is lost; ResultsStayError,
    and the run is not removed then.

    The caller blocks the `ENDING_SIGNALS`, so that none strikes while something is half made or half removed; here, and
    here only, they are heard.
    """

    def __init__(
        self, layout: Layout, manager: ServiceManager, line: Line, view: View, *, logs: str, stays: bool = True
    ) -> None:
        """`logs`: where more can be read if the run fails. `stays`: else the run is left alone once it has begun."""
        self._controller = layout.host_of(ServiceType.SYSTEM_CONTROLLER).host_id
        self._manager = manager
        self._line = line
        self._view = view
        self._logs = logs
        self._stays = stays
        self._interrupts = 0
        self._results_stay = False
        """They could not be written here; to remove the run would be to lose them."""
        self._last_progress: Progress | None = None
        self._losses: dict[str, str] = {}
        """Who was lost, and how that was told."""

    async def run(self) -> RunFinished:
        loop = asyncio.get_running_loop()
        self._finished: asyncio.Future[RunFinished] = loop.create_future()
        self._killed = asyncio.Event()
        self._hear_signals(loop)
        tasks: list[asyncio.Task[None]] = []
        try:
            tasks = [asyncio.create_task(work) for work in (self._attend(), self._watch_hosts())]
            ends: list[asyncio.Future[Any]] = [self._finished, *tasks]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # A failure here is told; the end of the run would be waited for in vain.
            return await self._bring_home(await self._finished)
        except ResultsStayError:
            self._results_stay = True
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not (self._is_left_alone() or self._results_stay):
                await self._manager.stop(STOP_GRACE_S if self._ended_in_order() else 0)
            await self._line.close()
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
            loop.remove_signal_handler(signal.SIGINT)

    def _hear_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else by `nohup`
            hung_up = self._hang_up if self._manager.outlives_operator else self._terminate
            loop.add_signal_handler(signal.SIGHUP, hung_up)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)

    async def _attend(self) -> None:
        """From the start of the hosts to what the controller says last."""
        await self._manager.start()
        await self._line.open()
        if not self._stays:
            self._leave_alone(ExitCode.DONE, "")
        while not self._finished.done():
            try:
                message = await self._line.receive()
            except BenchmarkError as error:
                self._fail(str(error))
                return
            match message:
                case Progress():
                    self._last_progress = message
                    notices = [text for text in message.notices if self._is_first_word(text)]
                    self._view.show(msgspec.structs.replace(message, notices=notices))
                case Notice() if self._is_first_word(message.text):
                    self._view.notice(message.text)
                case RunFinished():
                    self._settle(self._with_last_progress(message))
        await asyncio.Event().wait()

    async def _watch_hosts(self) -> None:
        while True:
            ended = await self._manager.next_end()
            if ended.host_id == self._controller:
                await asyncio.sleep(PARTING_WORDS_S)
                self._fail(f"the controller was lost: {ended.reason}")
            elif not self._finished.done() and not ended.expected:
                self._tell_loss(ended)

    def _is_first_word(self, text: str) -> bool:
        """A loss may be seen here, by the controller's look at pods and by missing heartbeats; it is told once."""
        who, lost, _ = text.partition(LOST)
        return not lost or self._losses.setdefault(who, text) == text

    def _tell_loss(self, ended: HostEnded) -> None:
        text = f"{ended.host_id}{LOST}: {ended.reason}"
        if self._is_first_word(text):
            self._view.notice(text)
        self._line.tell_loss(ended.host_id, ended.reason)

    async def _bring_home(self, finished: RunFinished) -> RunFinished:
        """The end with its results here, unless the user will not wait for them."""
        if self._is_left_alone() or self._killed.is_set():
            return finished
        bringing = asyncio.create_task(self._line.bring_home(finished))
        killing = asyncio.create_task(self._killed.wait())
        try:
            await asyncio.wait({bringing, killing}, return_when=asyncio.FIRST_COMPLETED)
            return bringing.result() if bringing.done() else finished
        finally:
            bringing.cancel()
            killing.cancel()

    def _settle(self, finished: RunFinished) -> None:
        if not self._finished.done():
            self._finished.set_result(finished)

    def _fail(self, reason: str) -> None:
        if self._finished.done():
            return
        self._finished.set_exception(BenchmarkError(f"{reason}{self._last_seen()} (see {self._logs})"))

    def _with_last_progress(self, finished: RunFinished) -> RunFinished:
        """Of a run that failed without results, what was seen of it is all there is."""
        if finished.summary_path or finished.exit_code in (ExitCode.DONE, ExitCode.INTERRUPTED):
            return finished
        return msgspec.structs.replace(finished, reason=finished.reason + self._last_seen())

    def _last_seen(self) -> str:
        seen = self._last_progress
        if seen is None:
            return ""
        return f"; last seen: {seen.completed_count} requests completed, {seen.failed_count} failed"

    def _ended_in_order(self) -> bool:
        return self._finished.done() and not self._finished.exception() and self._interrupts < INTERRUPTS_TO_KILL

    def _is_left_alone(self) -> bool:
        return self._ended_in_order() and self._finished.result().outcome == LEFT_ALONE

    def _hang_up(self) -> None:
        self._leave_alone(ExitCode.INTERRUPTED, "the terminal has gone; the run goes on")

    def _leave_alone(self, code: ExitCode, reason: str) -> None:
        self._settle(RunFinished(code, LEFT_ALONE, reason, "", ""))

    def _terminate(self) -> None:
        self._interrupts = max(self._interrupts, 1)
        self._interrupt()

    def _interrupt(self) -> None:
        self._interrupts += 1
        now = self._interrupts > 1
        if self._interrupts >= INTERRUPTS_TO_KILL:
            self._killed.set()
            self._settle(_interrupted())
        elif not self._line.stop(now=now):
            self._view.notice("stopping: nothing was sent yet")
            self._settle(_interrupted())
        elif now:
            self._view.notice("stopping now (Ctrl-C again ends every process)")
        else:
            self._view.notice("stopping: waiting for requests in flight (Ctrl-C again cuts them)")


def _interrupted() -> RunFinished:
    return RunFinished(ExitCode.INTERRUPTED, "interrupted", INTERRUPTED, "", "")
