"""The way home of log lines: from hosts that do not share the artifact directory to the run's `logs/aiperf.log`.

Owns: a bounded buffer of lines, sending them until they are confirmed, appending them there. Does not own: what is
logged and how a line looks (`host.start_logging`).

Every second (thousands of hosts more seldom: `cadence`), and when the host's services have left, what was logged since
goes to the records manager over the control bus. One message is under way at a time and is sent again until it is
confirmed; lines wait meanwhile, and what the buffer cannot hold is left out and counted. Lines of the time after the
records manager has left go nowhere: they are where the deployment keeps what a host writes to stderr.
"""

import asyncio
import contextlib
import logging
import uuid
from pathlib import Path

from aiperf.service.layout import ServiceType
from aiperf.wire.bus import Seat
from aiperf.wire.messages import LogLines, LogTaken

BUFFER_BYTES = 1 << 18
"""An interval in which a host logs a thousand lines or two."""

CONFIRM_LIMIT_S = 2.0
"""The records manager may not be there yet; after so long a message is sent again."""

LAST_LINES_S = 0.4
"""How long a host whose services have left tries to get rid of its last lines."""


class LogBuffer(logging.Handler):
    """Keeps formatted lines until they are taken."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []
        self._held_bytes = 0
        self._left_out_count = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 (a line that cannot be formatted must not fail who logs it)
            self.handleError(record)
            return
        if self._held_bytes + len(line) > BUFFER_BYTES:
            self._left_out_count += 1
            return
        self._lines.append(line)
        self._held_bytes += len(line)

    def take(self) -> tuple[list[str], int]:
        """The lines since the last time, and how many were left out behind them."""
        self.acquire()  # lines may come from other threads
        try:
            taken = self._lines, self._left_out_count
            self._lines, self._held_bytes, self._left_out_count = [], 0, 0
            return taken
        finally:
            self.release()


def sender_name(host_id: str) -> str:
    """A name on the control bus. A host that is started again has another, since it counts from 0 again."""
    return f"log/{host_id}/{uuid.uuid4().hex[:8]}"


async def relay_lines(
    buffer: LogBuffer, seat: Seat, host_id: str, services_left: asyncio.Event, interval_s: float
) -> None:
    """Sends what `buffer` takes every interval, until the host's services have left."""
    relaying = asyncio.create_task(_relay(buffer, seat, host_id, services_left, interval_s))
    try:
        await services_left.wait()
        await asyncio.wait({relaying}, timeout=LAST_LINES_S)
        if relaying.done():
            relaying.result()
    finally:
        relaying.cancel()


async def _relay(buffer: LogBuffer, seat: Seat, host_id: str, services_left: asyncio.Event, interval_s: float) -> None:
    sequence, are_last = 0, False
    while not are_last:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(services_left.wait(), interval_s)
        are_last = services_left.is_set()
        lines, left_out_count = buffer.take()
        if lines or left_out_count:
            await _deliver(LogLines(host_id, sequence, lines, left_out_count), seat)
            sequence += 1


async def _deliver(message: LogLines, seat: Seat) -> None:
    """Returns when the message is confirmed."""
    while True:
        seat.send(message, to=ServiceType.RECORDS_MANAGER)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONFIRM_LIMIT_S):
                while (await seat.receive())[1] != LogTaken(message.sequence):
                    pass
                return


class LogHome:
    """The log file that lines of other hosts come home to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next: dict[str, int] = {}

    def take(self, sender: str, message: LogLines) -> LogTaken:
        """Appends the lines unless they have come before; the confirmation. A file that cannot be written loses them,
        as it does its own host's."""
        if message.sequence >= self._next.get(sender, 0):
            self._next[sender] = message.sequence + 1
            lines = list(message.lines)
            if message.left_out_count:
                lines.append(f"{message.host_id}: {message.left_out_count} lines left out")
            with contextlib.suppress(OSError), self._path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
        return LogTaken(message.sequence)
