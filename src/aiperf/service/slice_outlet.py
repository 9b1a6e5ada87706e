"""The worker's way out for slices: to one record processor, over disk when that one does not keep up.

Owns: which record processor gets this worker's slices, the order and number of slices, when they are spilled. Does not
own: what is in a slice (`aiperf.record.slices`), the files they wait in (`spill_file`).

The wire refuses when the record processor is too far behind. The slice then goes to a spill file, and so do all after
it until the file has been sent: order is kept and the worker neither waits nor grows. A record processor that is lost
takes what it had with it; the next slices go to another one in reach. Streams that were under way arrive there without
a head, by which it knows them as orphans. Without any in reach slices are dropped: the ledger of credits knows how many
requests ended, and so how many records are lost.

So nothing here grows: about a slice in the writer, `FUNNEL_BOUND_MESSAGES` in the wire, the rest on disk. When the disk
has no room left, or fails, slices are dropped and the user is told; the record processor knows by their numbers what it
lacks. The load goes on in any case.
"""

import asyncio
import errno
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from aiperf.record.slices import SliceWriter
from aiperf.service.spill_file import SpillFile
from aiperf.units import NS_PER_S
from aiperf.wire.ports import Frames, Pattern, Port, Wire

log = logging.getLogger(__name__)

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
RETRY_INTERVAL_S = 0.005
SPILLED_PER_FLUSH = 4
"""While the load goes on, no more spilled slices than that are sent at a time: at 1 MiB each, a few milliseconds in
which no stamp is read. New slices come one at a time, so the file empties all the same."""


class SliceOutlet:
    """Takes what the client sees (`on_head`, `on_read`, `on_end`) and lets it leave in slices."""

    def __init__(
        self,
        name: str,
        connect: Callable[[str], Port],
        data_dir: Path,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        """`tell` gets what the user should know, once."""
        self._writer = SliceWriter(on_full=self.flush)
        self._worker_index = 0
        self._connect = connect
        self._processors: list[str] = []
        self._processor = ""
        self._port: Port | None = None
        self._spill = SpillFile(data_dir / f"{name}.spill")
        self._earlier_counts: dict[str, int] = {}
        self._name = name
        self._data_dir = data_dir
        self._tell = tell
        self._spilling_since_ns = -1
        self._deferred_ns = self._deferred_after_load_ns = 0
        self._spilled_before_count = self._spilled_before_bytes = self._dropped_before_count = 0
        """Before the measured phase."""
        self.dropped_count = 0
        """Slices that the disk did not take or not give back, in all phases."""
        self._troubles: set[str] = set()
        """With the disk, told already."""
        self.on_head = self._writer.on_head
        self.on_read = self._writer.on_read
        self.on_end = self._writer.on_end

    @property
    def deferred_bytes(self) -> int:
        """How much went over the disk in the measured phase because the record processor did not keep up."""
        return self._spill.total_bytes - self._spilled_before_bytes

    def observe_anew(self) -> None:
        """The measured phase begins: what was deferred and dropped before is none of its own."""
        self._spilled_before_count, self._spilled_before_bytes = self._spill.total_count, self._spill.total_bytes
        self._dropped_before_count = self.dropped_count
        self._deferred_ns = self._deferred_after_load_ns = 0

    def observations(self) -> dict[str, float]:
        """What came of a record processor that did not keep up, since `observe_anew`, by name with unit."""
        return {
            "deferred_slice_count": self._spill.total_count - self._spilled_before_count,
            "deferred_s": self._deferred_ns / NS_PER_S,
            "deferred_after_load_s": self._deferred_after_load_ns / NS_PER_S,
            "dropped_slice_count": self.dropped_count - self._dropped_before_count,
        }

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
        self._send_spilled(now_ns, SPILLED_PER_FLUSH)
        if frames is None or self._port is None:
            return
        if self._spill.waiting_count or not self._port.send(frames):
            self._defer(frames, now_ns)

    async def drain(self, now_ns: Callable[[], int]) -> None:
        """Lets everything go and waits until the wire has taken it, or the last record processor is lost."""
        began_ns = now_ns()
        self.flush(began_ns)
        while self._spill.waiting_count:
            await asyncio.sleep(RETRY_INTERVAL_S)
            self._send_spilled(now_ns(), self._spill.waiting_count)
            self._deferred_after_load_ns = now_ns() - began_ns

    def close(self) -> None:
        self._spill.close()
        if self._port is not None:
            self._port.close()

    def _defer(self, frames: Frames, now_ns: int) -> None:
        if self._spilling_since_ns < 0:
            self._spilling_since_ns = now_ns
        try:
            self._spill.append(frames)
        except OSError as error:
            trouble = "has no room for" if error.errno in _NO_ROOM else "does not take"
            self._drop(1, f"{trouble} what waits ({error.strerror})")

    def _send_spilled(self, now_ns: int, at_most: int) -> None:
        while at_most and self._spill.waiting_count and self._port is not None:
            try:
                frames = self._spill.peek()
            except OSError as error:
                self._drop(self._spill.give_up_oldest(), f"does not give back what waits ({error.strerror})")
                continue
            if not self._port.send(frames):
                break
            self._spill.advance()
            at_most -= 1
        if self._spilling_since_ns >= 0 and not self._spill.waiting_count:
            self._deferred_ns += now_ns - self._spilling_since_ns
            self._spilling_since_ns = -1

    def _drop(self, count: int, trouble: str) -> None:
        """Each trouble with the disk is told once."""
        self.dropped_count += count
        if trouble in self._troubles:
            return
        self._troubles.add(trouble)
        text = (
            f"{self._name}: its record processor did not keep up, and {self._data_dir} {trouble}: "
            "responses are dropped. The load goes on; their records are lost."
        )
        log.error("%s", text)
        self._tell(text)

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
