"""The worker's way out for slices: to one record processor, over disk when that one does not keep up.

Owns: which record processor gets this worker's slices, the order and number of slices, spilling. Does not own: what is
in a slice (`aiperf.record.slices`).

The wire refuses when the record processor is too far behind. The slice then goes to a spill file, and so do all after
it until the file has been sent: order is kept and the worker neither waits nor grows. A record processor that is lost
takes what it had with it; the next slices go to another one in reach. Streams that were under way arrive there without
a head, by which it knows them as orphans. Without any in reach slices are dropped: the ledger of credits knows how many
requests ended, and so how many records are lost.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from aiperf.record.slices import SliceWriter
from aiperf.wire.ports import Frames, Pattern, Port, Wire

log = logging.getLogger(__name__)

RETRY_INTERVAL_S = 0.005


class SpillFile:
    """Frames on disk, first in, first out. Made when first needed, emptied when it was read to its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._read_at = 0
        self.waiting_count = 0
        self.total_bytes = 0

    def append(self, frames: Frames) -> None:
        if self._file is None:
            self._file = self._path.open("w+b")
        packed = msgspec.msgpack.encode([bytes(frame) for frame in frames])
        self._file.seek(0, 2)
        self._file.write(len(packed).to_bytes(8, "big") + packed)
        self.waiting_count += 1
        self.total_bytes += len(packed)

    def peek(self) -> list[bytes]:
        """The oldest message. Raises: AssertionError if nothing is waiting."""
        assert self._file is not None
        self._file.seek(self._read_at)
        length = int.from_bytes(self._file.read(8), "big")
        return msgspec.msgpack.decode(self._file.read(length), type=list[bytes])

    def advance(self) -> None:
        """Forgets the oldest message."""
        assert self._file is not None
        self._file.seek(self._read_at)
        self._read_at += 8 + int.from_bytes(self._file.read(8), "big")
        self.waiting_count -= 1
        if not self.waiting_count:
            self._file.truncate(0)
            self._read_at = 0

    def clear(self) -> None:
        if self._file is not None:
            self._file.truncate(0)
        self._read_at = self.waiting_count = 0

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)


class SliceOutlet:
    """Takes what the client sees (`on_head`, `on_read`, `on_end`) and lets it leave in slices."""

    def __init__(self, name: str, connect: Callable[[str], Port], data_dir: Path) -> None:
        self._writer = SliceWriter(on_full=self.flush)
        self._worker_index = 0
        self._connect = connect
        self._processors: list[str] = []
        self._processor = ""
        self._port: Port | None = None
        self._spill = SpillFile(data_dir / f"{name}.spill")
        self._earlier_counts: dict[str, int] = {}
        self.on_head = self._writer.on_head
        self.on_read = self._writer.on_read
        self.on_end = self._writer.on_end

    @property
    def deferred_bytes(self) -> int:
        """How much went over the disk because the record processor did not keep up."""
        return self._spill.total_bytes

    @property
    def size_bytes(self) -> int:
        """About how much has gathered for the next slice."""
        return self._writer.size_bytes

    def configure(self, worker_index: int, processors: Sequence[str]) -> None:
        """Names the record processors in reach; each worker has its own, as evenly as the numbers allow."""
        self._worker_index = worker_index
        self._writer.belong_to(worker_index)
        self._processors = list(processors)
        self._turn_to_a_processor()

    def lose(self, processor: str) -> None:
        """That record processor is gone. Turns to another one if it was ours."""
        if processor in self._processors:
            self._processors.remove(processor)
        if processor == self._processor:
            self._earlier_counts[processor] = self._writer.sequence
            self._spill.clear()
            self._writer.restart()
            self._turn_to_a_processor()

    def gain(self, processor: str) -> None:
        """That record processor has come. Turns to it if there was none."""
        if processor not in self._processors:
            self._processors.append(processor)
        if not self._processor:
            self._writer.restart()
            self._turn_to_a_processor()

    def slice_counts(self) -> dict[str, int]:
        """How many slices were cut for each record processor."""
        current = {self._processor: self._writer.sequence} if self._processor else {}
        return self._earlier_counts | current

    def flush(self, now_ns: int) -> None:
        """Cuts a slice of what has gathered and lets it go, without waiting."""
        frames = self._writer.take(now_ns)
        self._send_spilled()
        if frames is None or self._port is None:
            return
        if self._spill.waiting_count or not self._port.send(frames):
            self._spill.append(frames)

    async def drain(self, now_ns: Callable[[], int]) -> None:
        """Lets everything go and waits until the wire has taken it, or the last record processor is lost."""
        self.flush(now_ns())
        while self._spill.waiting_count:
            await asyncio.sleep(RETRY_INTERVAL_S)
            self._send_spilled()

    def close(self) -> None:
        self._spill.close()
        if self._port is not None:
            self._port.close()

    def _send_spilled(self) -> None:
        while self._spill.waiting_count and self._port is not None and self._port.send(self._spill.peek()):
            self._spill.advance()

    def _turn_to_a_processor(self) -> None:
        if self._port is not None:
            self._port.close()
        if not self._processors:
            self._processor, self._port = "", None
            return
        self._processor = self._processors[self._worker_index % len(self._processors)]
        self._port = self._connect(self._processor)
        log.info("slices go to %s", self._processor)


def records_channel(wire: Wire, address_of: Callable[[str], str], name: str) -> Callable[[str], Port]:
    """The function that connects a worker to a record processor by its id."""

    def connect(processor: str) -> Port:
        return wire.connect(Pattern.FUNNEL, address_of(f"records/{processor}"), name)

    return connect
