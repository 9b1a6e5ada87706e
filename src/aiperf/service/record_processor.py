"""The record processor: from slices to records, to partial results and lines.

Owns: the loop that joins the assembler (`aiperf.record.assembly`), the partial results (`aiperf.metrics.partial`) and
the blocks of request lines (`aiperf.report.shards`). Does not own: any of their rules.

Never on the timing path: it works through what workers cut, and falls behind without harm. Partial results and blocks
leave on one bounded channel. When the records manager does not keep up and the channel refuses, no slices are taken
until it does: they wait in their own bounded channel, and then on the disk of the worker. So nothing here grows.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from aiperf.dataset.tokens import BUILTIN
from aiperf.metrics.own_error import OwnErrors
from aiperf.record.assembly import Assembled, RecordAssembler
from aiperf.record.slices import read_slice
from aiperf.schedule.calibration import CalibrationShape
from aiperf.schedule.phases import PhaseKind, kind_of
from aiperf.service.column_messages import (
    ColumnHeader,
    OwnErrorHeader,
    encode_block,
    encode_columns,
    encode_own_errors,
)
from aiperf.service.garbage import THROUGHPUT_THRESHOLDS, set_aside
from aiperf.service.membership import DismissedError
from aiperf.service.process_cost import cpu_s, process_cost
from aiperf.service.shard_outlet import Blocks, ShardOutlet, by_phase
from aiperf.service.supply import Supply
from aiperf.service.together import run_together
from aiperf.wire.bus import Seat
from aiperf.wire.messages import Configure, Exit, FinishRecords, RecordsFinished, ServiceLost, ServiceReady, WorkerAdded
from aiperf.wire.ports import Frames, Port

log = logging.getLogger(__name__)

BATCHES_PER_BLOCK = 10
"""Lines leave at least every so many batch intervals, in a block that may not be full: a killed record processor takes
so much with it. The records manager thus gets few messages more than it has batches."""

COLUMNS_RETRY_S = 0.01

LAST_SLICES_S = 5.0
"""From the word that a worker is lost until its open streams are forgotten: its last slices may be under way."""

LEAVE_LIMIT_S = 1.0
QUIET_S = 0.1
"""Told to leave before its time: so long it takes slices at the most, and until none has come for a while."""

SILENCE_BEFORE_GIVING_UP_S = 5.0
"""At the end of a run: how long to wait for slices that were announced and do not come."""


class RecordProcessor:
    """`run()` returns when it is told to exit. Raises: DismissedError if that is before its time.

    `make_pipeline` is called once the dataset is known; finished records leave as columns every `batch_interval_s`.
    `shape`: of the calibration, if there is one.
    """

    def __init__(
        self,
        *,
        seat: Seat,
        slices: Port,
        columns: Port,
        make_pipeline: Callable[[Configure], tuple[RecordAssembler, ShardOutlet]],
        supply: Supply,
        batch_interval_s: float,
        shape: CalibrationShape | None = None,
    ) -> None:
        self._seat = seat
        self._slices = slices
        self._columns = columns
        self._make_pipeline = make_pipeline
        self._supply = supply
        self._configure: asyncio.Future[Configure] = asyncio.get_running_loop().create_future()
        self._batch_interval_s = batch_interval_s
        self._shape = shape
        self._workers: list[str] = []
        self._received: dict[int, int] = {}
        self._slice_arrived = asyncio.Event()
        self._sending = asyncio.Lock()
        """What is numbered leaves in the order of its numbers."""
        self._flowing = asyncio.Event()
        self._flowing.set()
        """Not set while the records manager does not keep up."""
        self._batch_count = 0
        self._block_count = 0
        self._record_count = 0
        self._cpu_when_ready_s = 0.0
        self._lost_before = 0, 0
        """Slices and records that were lost in a calibration, before the load."""
        self._configured = asyncio.Event()
        self._finished = self._leaving = False

    async def run(self) -> None:
        sending = self._send_batches(), self._send_blocks()
        try:
            await run_together(self._take_orders(), self._get_ready(), self._process_slices(), *sending)
        finally:
            self._slices.close()  # Its host may stay: nothing more is to be swallowed.

    async def _take_orders(self) -> None:
        while True:
            _, message = await self._seat.receive()
            match message:
                case Configure() if not self._configure.done():
                    self._workers = message.workers
                    self._configure.set_result(message)
                case WorkerAdded() if message.index == len(self._workers):
                    self._workers.append(message.service_id)  # the list that the lines' writer has, too
                case ServiceLost() if self._configured.is_set() and message.service_id in self._workers:
                    index = self._workers.index(message.service_id)
                    asyncio.get_running_loop().call_later(LAST_SLICES_S, self._drop_worker, index)
                case FinishRecords():
                    await self._finish(message)
                case Exit() if not self._leaving:
                    if message.reason:
                        raise DismissedError(message.reason)
                    return

    async def leave(self, say_farewell: Callable[[], object]) -> None:
        """Makes records of what has come, and closes its account. Others take its place meanwhile."""
        say_farewell()
        if self._leaving or self._finished or not self._configured.is_set():
            return
        self._leaving = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_LIMIT_S):
                while await self._is_another_slice_coming():
                    pass
        await self._finish(FinishRecords({}))

    async def _is_another_slice_coming(self) -> bool:
        self._slice_arrived.clear()
        try:
            await asyncio.wait_for(self._slice_arrived.wait(), QUIET_S)
        except TimeoutError:
            return False
        return True

    def _drop_worker(self, index: int) -> None:
        dropped = self._assembler.drop_worker(index)
        log.warning("%s was lost with %d open streams", self._workers[index], dropped)

    async def _get_ready(self) -> None:
        """Opens what it works with, and then has no more to do than to be there. Orders are heard meanwhile."""
        configure = await self._configure
        await self._supply.dataset(Path(configure.dataset_path))
        if configure.tokenizer_source != BUILTIN:
            await self._supply.tokenizer(Path(configure.tokenizer_source))
        self._assembler, self._shards = self._make_pipeline(configure)
        set_aside(THROUGHPUT_THRESHOLDS)
        self._cpu_when_ready_s = cpu_s()
        self._configured.set()
        self._seat.send(ServiceReady(self._seat.name))
        await asyncio.Event().wait()

    async def _process_slices(self) -> None:
        await self._configured.wait()
        while True:
            await self._flowing.wait()
            _, frames = await self._slices.receive()
            slice_ = read_slice(frames)
            self._assembler.add(slice_)
            self._received[slice_.header.worker_index] = slice_.header.sequence + 1
            self._slice_arrived.set()
            # A full inbox never makes the loop wait; heartbeats and orders need their turn all the same.
            await asyncio.sleep(0)

    async def _send_batches(self) -> None:
        await self._configured.wait()
        while True:
            await asyncio.sleep(self._batch_interval_s)
            if not self._finished:
                await self._send_batch()

    async def _send_batch(self) -> None:
        async with self._sending:
            assembled = self._assembler.take()
            if assembled is None:
                return
            for phase, part in by_phase(assembled):
                await self._send_columns(phase, part)

    async def _send_columns(self, phase: int, assembled: Assembled) -> None:
        first_line, count = self._shards.line_count, len(assembled.facts)
        partial, blocks = self._shards.write(phase, assembled)
        header = ColumnHeader(self._seat.name, self._batch_count, phase, count, first_line)
        self._batch_count += 1
        self._record_count += count
        # Before the lines: nobody needs lines of requests that are in no result.
        await self._hand_over(encode_columns(header, partial))
        if self._shape is not None and kind_of(phase) is PhaseKind.CALIBRATION:
            await self._send_own_errors(phase, assembled, self._shape)
        await self._hand_over_blocks(blocks)

    async def _send_own_errors(self, phase: int, assembled: Assembled, shape: CalibrationShape) -> None:
        errors = OwnErrors.of(assembled.facts, assembled.gaps_ns, assembled.gap_offsets, assembled.sent_after_ns, shape)
        header = OwnErrorHeader(self._seat.name, self._batch_count, phase)
        self._batch_count += 1
        await self._hand_over(encode_own_errors(header, errors))

    async def _send_blocks(self) -> None:
        await self._configured.wait()
        while True:
            await asyncio.sleep(BATCHES_PER_BLOCK * self._batch_interval_s)
            async with self._sending:
                await self._hand_over_blocks(self._shards.flush())

    async def _hand_over_blocks(self, blocks: Blocks) -> None:
        for kind, block in blocks:
            frames = encode_block(self._seat.name, self._block_count, kind, block)
            self._block_count += 1
            await self._hand_over(frames)

    async def _hand_over(self, frames: Frames) -> None:
        """Waits until the wire takes it. No slices are taken meanwhile."""
        try:
            while not self._columns.send(frames):
                self._flowing.clear()
                await asyncio.sleep(COLUMNS_RETRY_S)
        finally:
            self._flowing.set()

    async def _finish(self, order: FinishRecords) -> None:
        """Works through every slice that was announced, hands over what came of them, and says how much it was."""
        await self._configured.wait()  # One that came late may still be getting ready; its slices wait meanwhile.
        while any(self._received.get(worker, 0) < count for worker, count in order.slice_counts.items()):
            self._slice_arrived.clear()
            try:
                await asyncio.wait_for(self._slice_arrived.wait(), SILENCE_BEFORE_GIVING_UP_S)
            except TimeoutError:
                if not self._flowing.is_set():
                    continue  # They wait for the records manager, as this process does.
                log.error("announced slices did not come: expected %s, got %s", order.slice_counts, self._received)
                break
        self._finished = order.is_last
        await self._send_batch()
        async with self._sending:
            await self._hand_over_blocks(self._shards.flush())
        missing = sum(max(0, count - self._received.get(worker, 0)) for worker, count in order.slice_counts.items())
        lost = self._assembler.lost_slice_count + missing, self._assembler.lost_record_count
        finished = RecordsFinished(
            service_id=self._seat.name,
            batch_count=self._batch_count,
            block_count=self._block_count,
            record_count=self._record_count,
            lost_slice_count=max(0, lost[0] - self._lost_before[0]),
            lost_record_count=lost[1] - self._lost_before[1],
            observations=process_cost(self._cpu_when_ready_s),
            is_last=order.is_last,
        )
        self._seat.send(finished)
        if not order.is_last:
            # What a calibration took and lost is none of the load's.
            self._cpu_when_ready_s, self._lost_before = cpu_s(), lost
