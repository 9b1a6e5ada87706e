"""The records manager: merges what record processors send, tells how the run goes, writes the results at its end.

Owns: the merged partial result of each phase and the account of what came. Does not own: statistics (`aiperf.metrics`),
files (`aiperf.report`), request lines (`line_store`), the order in which results are written (`result_export`).

When it does not keep up, the channel's bound holds record processors back: a few messages of each wait here.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiperf.clock import Clock
from aiperf.endpoint.exchange import ErrorKind
from aiperf.errors import ExitCode
from aiperf.metrics.failures import Failure
from aiperf.metrics.own_error import OwnErrors, judged_step
from aiperf.metrics.partial import Partial
from aiperf.plan.plan import Plan
from aiperf.report.shards import Block
from aiperf.schedule.calibration import calibration_of, load_in_words
from aiperf.schedule.phases import PhaseKind, PhasePlan, kind_of, step_of
from aiperf.service.cadence import cadence_of
from aiperf.service.column_messages import BlockHeader, ColumnHeader, NumberedArrivals, OwnErrorHeader, decode_columns
from aiperf.service.layout import LOG_NAME, Layout
from aiperf.service.line_store import LineStore
from aiperf.service.log_relay import LogHome
from aiperf.service.process_cost import cpu_s
from aiperf.service.result_export import Received, export_results
from aiperf.service.supply import Supply
from aiperf.service.together import run_together
from aiperf.units import NS_PER_S
from aiperf.wire.bus import Seat
from aiperf.wire.messages import (
    AbortRun,
    Configure,
    Exit,
    ExportResults,
    LoadStatus,
    LogLines,
    MeasureStep,
    Progress,
    ServiceReady,
    StartPhase,
    StepMeasured,
)
from aiperf.wire.ports import Port

log = logging.getLogger(__name__)

RATE_WINDOW_S = 5.0
"""The live rates are those of the last seconds."""

SILENCE_BEFORE_GIVING_UP_S = 5.0
"""At the end of a run: how long to wait for batches and blocks that were announced and do not come."""

LOG_MARGIN_S = 0.2


class RecordsManager:
    """`run()` returns when it is told to exit."""

    def __init__(
        self,
        *,
        seat: Seat,
        columns: Port,
        layout: Layout,
        plan: Plan,
        clock: Clock,
        in_thread: Callable[..., Awaitable[Any]],
        supply: Supply,
    ) -> None:
        self._seat = seat
        self._columns = columns
        self._layout = layout
        self._plan = plan
        self._clock = clock
        self._in_thread = in_thread
        self._supply = supply
        self._configure: asyncio.Future[Configure] = asyncio.get_running_loop().create_future()
        self._export_order: asyncio.Future[ExportResults] = asyncio.get_running_loop().create_future()
        self._log = LogHome(Path(layout.artifact_dir) / LOG_NAME)
        self._partials: defaultdict[int, Partial] = defaultdict(Partial.empty)
        """By number of the phase."""
        self._own_errors: defaultdict[int, OwnErrors] = defaultdict(OwnErrors)
        """Of the steps of a calibration."""
        self._shape = calibration_of(plan)
        self._phase: PhasePlan | None = None
        """The latest."""
        self._lines = LineStore(Path(layout.data_dir))
        self._has_lines = plan.results.export_level != "summary"
        self._batches = NumberedArrivals()
        self._blocks = NumberedArrivals()
        self._measuring: asyncio.Queue[MeasureStep] = asyncio.Queue()
        self._something_came = asyncio.Event()
        self._is_closed = False
        """The results are being written: what comes now has been counted as lost."""
        self._status: LoadStatus | None = None
        self._cpu_at_start_s: float | None = None
        self._recent: deque[tuple[int, int, int]] = deque()
        """Looks at the running phase: when, completed requests until then, output tokens until then."""

    async def run(self) -> None:
        try:
            await run_together(
                self._take_columns(), self._take_orders(), self._get_ready(), self._measure_steps(), self._export()
            )
        finally:
            self._lines.close()

    async def _take_orders(self) -> None:
        while True:
            sender, message = await self._seat.receive()
            match message:
                case Configure() if not self._configure.done():
                    self._configure.set_result(message)
                case StartPhase():
                    self._begin(message.plan)
                case MeasureStep():
                    self._measuring.put_nowait(message)
                case LoadStatus() if not self._export_order.done():
                    self._status = message
                    self._seat.send(self._progress(message))
                case LogLines():
                    self._seat.send(self._log.take(sender, message), to=sender)
                case ExportResults() if not self._export_order.done():
                    self._export_order.set_result(message)
                case Exit():
                    return

    async def _get_ready(self) -> None:
        """Has the dataset brought here, which is an artifact too. Orders are heard meanwhile."""
        configure = await self._configure
        await self._supply.dataset(Path(configure.dataset_path))
        self._seat.send(ServiceReady(self._seat.name))
        await asyncio.Event().wait()

    async def _take_columns(self) -> None:
        while True:
            _, frames = await self._columns.receive()
            if self._is_closed:
                continue
            match decode_columns(frames):
                case ColumnHeader() as header, Partial() as partial:
                    self._merge(header, partial)
                case OwnErrorHeader() as header, OwnErrors() as errors:
                    self._batches.book(header.record_processor, header.sequence)
                    self._own_errors[header.phase].merge(errors)
                case BlockHeader() as header, Block() as block:
                    self._keep(header, block)
            self._something_came.set()
            await asyncio.sleep(0)

    def _begin(self, phase: PhasePlan) -> None:
        """Of a step of a calibration nothing is kept once it was measured."""
        for number in [number for number in self._partials if kind_of(number) is PhaseKind.CALIBRATION]:
            del self._partials[number]
        self._own_errors.clear()
        self._recent.clear()
        self._phase = phase
        if phase.kind is not PhaseKind.CALIBRATION and self._cpu_at_start_s is None:
            self._cpu_at_start_s = cpu_s()

    async def _measure_steps(self) -> None:
        """Orders are heard meanwhile."""
        while True:
            order = await self._measuring.get()
            await self._until_all_came(order.batch_counts, {})
            assert self._shape is not None
            errors, finished = self._own_errors[order.plan.phase], order.finished
            step = judged_step(errors, order.plan, self._shape, finished.ledger, finished.unplaced_slot_s)
            self._seat.send(StepMeasured(step))

    def _merge(self, header: ColumnHeader, partial: Partial) -> None:
        if jumped := self._batches.book(header.record_processor, header.sequence):
            log.error("%d batches of records of %s did not arrive", jumped, header.record_processor)
        self._partials[header.phase].merge(partial)
        if kind_of(header.phase) is PhaseKind.PROFILING and self._has_lines and partial.arrivals is not None:
            self._lines.book_ends(header.record_processor, header.first_line, partial.arrivals.table[0])

    def _keep(self, header: BlockHeader, block: Block) -> None:
        if jumped := self._blocks.book(header.record_processor, header.sequence):
            log.error("%d blocks of lines of %s did not arrive", jumped, header.record_processor)
        try:
            self._lines.append(header.record_processor, header.kind, block)
        except OSError as error:
            reason = f"cannot keep the lines of requests in {self._layout.data_dir}: {error.strerror}"
            log.error("%s", reason)
            self._lines.give_up(reason)
            self._seat.send(AbortRun(reason, int(ExitCode.INFRASTRUCTURE)))

    # The live view

    def _progress(self, status: LoadStatus) -> Progress:
        partial, now_ns = self._partials[status.phase], self._clock.now_ns()
        totals = partial.totals
        request_rate, token_rate = self._rates(now_ns, totals.completed_count, totals.osl_tokens)
        return Progress(
            phase=status.phase,
            state="draining" if status.draining else self._state(status.phase),
            elapsed_s=max(0, now_ns - status.start_ns) / NS_PER_S,
            sent_count=status.issued_count,
            completed_count=totals.completed_count,
            failed_count=totals.failed_count,
            in_flight_count=status.in_flight_count,
            offered_count=status.offered_count,
            expected_count=status.expected_count,
            expected_s=status.expected_s,
            request_rate=request_rate,
            output_token_rate=token_rate,
            statistics=partial.live_statistics(),
            errors=_counts_by_name(partial.failures.most_frequent()),
        )

    def _state(self, number: int) -> str:
        kind = kind_of(number)
        if kind is not PhaseKind.CALIBRATION or self._phase is None:
            return kind.name.lower()
        return f"calibrating, step {step_of(number) + 1} ({load_in_words(self._phase)})"

    def _rates(self, now_ns: int, completed: int, tokens: int) -> tuple[float, float]:
        """Completed requests and output tokens per second over the last `RATE_WINDOW_S`."""
        self._recent.append((now_ns, completed, tokens))
        while now_ns - self._recent[0][0] > RATE_WINDOW_S * NS_PER_S and len(self._recent) > 2:
            self._recent.popleft()
        then_ns, completed_then, tokens_then = self._recent[0]
        seconds = (now_ns - then_ns) / NS_PER_S
        if seconds <= 0:
            return 0.0, 0.0
        return (completed - completed_then) / seconds, (tokens - tokens_then) / seconds

    # The end

    async def _export(self) -> None:
        """Orders are heard meanwhile."""
        order = await self._export_order
        await self._until_all_came(order.batch_counts, order.block_counts)
        if self._status is not None:
            self._seat.send(self._progress(self._status))  # The last look at the live view shows every record.
        self._is_closed = True
        self._lines.close()
        received = Received(
            self._partials[PhaseKind.PROFILING],
            self._lines,
            self._batches.lost_count(order.batch_counts),
            self._cpu_at_start_s or 0.0,
        )
        # In a thread: writing may take long, and heartbeats go on meanwhile.
        exported = await self._in_thread(export_results, order, received, self._layout, self._plan)
        if not self._layout.shares_disk:
            # Until what other hosts logged so far is home.
            await asyncio.sleep(cadence_of(self._layout).log_interval_s + LOG_MARGIN_S)
        self._seat.send(exported)
        await asyncio.Event().wait()

    async def _until_all_came(self, batch_counts: dict[str, int], block_counts: dict[str, int]) -> None:
        """Or until nothing has come for a while."""
        while not (self._batches.are_over(batch_counts) and self._blocks.are_over(block_counts)):
            self._something_came.clear()
            try:
                await asyncio.wait_for(self._something_came.wait(), SILENCE_BEFORE_GIVING_UP_S)
            except TimeoutError:
                log.error(
                    "announced batches and blocks did not come: %d of %s, %d of %s",
                    self._batches.lost_count(batch_counts),
                    batch_counts,
                    self._blocks.lost_count(block_counts),
                    block_counts,
                )
                return


def _counts_by_name(failures: list[Failure]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for failure in failures:
        name = f"{failure.name} {failure.http_status}" if failure.kind == ErrorKind.HTTP_STATUS else failure.name
        counts[name] = counts.get(name, 0) + failure.count
    return counts
