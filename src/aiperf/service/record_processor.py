"""The record processor: from slices to records, to partial results and lines.

Owns: the loop that joins the assembler (`aiperf.record.assembly`), the partial results (`aiperf.metrics.partial`) and the
shard of request lines (`aiperf.report.shards`). Does not own: any of their rules.

Never on the timing path: it works through what workers cut, and falls behind without harm.
"""

import asyncio
import logging
from collections.abc import Callable

from aiperf.clock import Clock
from aiperf.record.assembly import Assembled, RecordAssembler
from aiperf.record.slices import read_slice
from aiperf.service.column_messages import ColumnHeader, encode_columns
from aiperf.service.shard_outlet import ShardOutlet, by_phase
from aiperf.wire.bus import Seat
from aiperf.wire.messages import Configure, Exit, FinishRecords, RecordsFinished, ServiceLost, ServiceReady
from aiperf.wire.ports import Port

log = logging.getLogger(__name__)

BATCH_INTERVAL_S = 0.2
"""How often finished records leave as columns."""

COLUMNS_RETRY_S = 0.01

SILENCE_BEFORE_GIVING_UP_S = 5.0
"""At the end of a run: how long to wait for slices that were announced and do not come."""


class RecordProcessor:
    """`run()` returns when it is told to exit.

    `make_assembler` is called once the dataset is known.
    """

    def __init__(
        self,
        *,
        seat: Seat,
        slices: Port,
        columns: Port,
        clock: Clock,
        make_assembler: Callable[[Configure], RecordAssembler],
        make_shards: Callable[[Configure], ShardOutlet],
    ) -> None:
        self._seat = seat
        self._slices = slices
        self._columns = columns
        self._clock = clock
        self._make_assembler = make_assembler
        self._make_shards = make_shards
        self._workers: list[str] = []
        self._received: dict[int, int] = {}
        self._slice_arrived = asyncio.Event()
        self._batch_count = 0
        self._record_count = 0
        self._processing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        try:
            while True:
                _, message = await self._seat.receive()
                match message:
                    case Configure():
                        self._configure(message)
                    case ServiceLost() if message.service_id in self._workers:
                        dropped = self._assembler.drop_worker(self._workers.index(message.service_id))
                        log.warning("%s was lost with %d open streams", message.service_id, dropped)
                    case FinishRecords():
                        self._finishing = asyncio.create_task(self._finish(message))
                    case Exit():
                        return
                if self._processing is not None and self._processing.done():
                    self._processing.result()
        finally:
            for task in (self._processing, self._batching) if self._processing is not None else ():
                task.cancel()

    def _configure(self, configure: Configure) -> None:
        self._workers = configure.workers
        self._assembler = self._make_assembler(configure)
        self._shards = self._make_shards(configure)
        self._processing = asyncio.create_task(self._process_slices())
        self._batching = asyncio.create_task(self._send_batches())
        self._seat.send(ServiceReady(self._seat.name))

    async def _process_slices(self) -> None:
        while True:
            _, frames = await self._slices.receive()
            slice_ = read_slice(frames)
            self._assembler.add(slice_)
            self._received[slice_.header.worker_index] = slice_.header.sequence + 1
            self._slice_arrived.set()
            # A full inbox never makes the loop wait; heartbeats and orders need their turn all the same.
            await asyncio.sleep(0)

    async def _send_batches(self) -> None:
        while True:
            await asyncio.sleep(BATCH_INTERVAL_S)
            await self._send_batch()

    async def _send_batch(self) -> None:
        assembled = self._assembler.take()
        if assembled is None:
            return
        for phase, part in by_phase(assembled):
            await self._send_columns(phase, part)

    async def _send_columns(self, phase: int, assembled: Assembled) -> None:
        partial = self._shards.write(phase, assembled)
        header = ColumnHeader(self._seat.name, self._batch_count, phase, len(assembled.facts))
        self._batch_count += 1
        self._record_count += len(assembled.facts)
        frames = encode_columns(header, partial)
        while not self._columns.send(frames):
            await asyncio.sleep(COLUMNS_RETRY_S)

    async def _finish(self, order: FinishRecords) -> None:
        """Works through every slice that was announced, then closes the account."""
        while any(self._received.get(worker, 0) < count for worker, count in order.slice_counts.items()):
            self._slice_arrived.clear()
            try:
                await asyncio.wait_for(self._slice_arrived.wait(), SILENCE_BEFORE_GIVING_UP_S)
            except TimeoutError:
                log.error("announced slices did not come: expected %s, got %s", order.slice_counts, self._received)
                break
        self._batching.cancel()
        await self._send_batch()
        missing = sum(max(0, count - self._received.get(worker, 0)) for worker, count in order.slice_counts.items())
        finished = RecordsFinished(
            service_id=self._seat.name,
            batch_count=self._batch_count,
            record_count=self._record_count,
            lost_slice_count=self._assembler.lost_slice_count + missing,
            shard_path=self._shards.close(),
        )
        self._seat.send(finished)
