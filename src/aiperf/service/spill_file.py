"""Messages that wait on disk, first in, first out.

Owns: the files, how much of the disk they may take, how much has gone over them. Does not own: why a message waits.

Room is given back while others still wait: messages lie in files of `SEGMENT_BYTES`, and one that was read is removed.
`DISK_KEPT_FREE_BYTES` of the disk are left alone, for the log of the run and for its results.

A disk that fails costs messages and nothing else: one that cannot be written was not taken, and with one that cannot
be read the rest of its file is given up, since where the next one begins stands before it.
"""

import contextlib
import errno
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec

from aiperf.wire.ports import Frames

SEGMENT_BYTES = 64 << 20
DISK_KEPT_FREE_BYTES = 64 << 20
DISK_KEPT_FREE_FRACTION = 0.1
"""Of a disk that is small, only so much."""
LENGTH_BYTES = 8


class _Segment:
    """One file: each message is its length and its frames in MessagePack."""

    __slots__ = ("descriptor", "end", "path", "read_at", "waiting_count")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self.end = self.read_at = self.waiting_count = 0

    def append(self, data: bytes) -> None:
        """Raises: OSError. What was written of it then is overwritten by the next."""
        written = 0
        while written < len(data):
            written += os.pwrite(self.descriptor, data[written:], self.end + written)
        self.end += len(data)
        self.waiting_count += 1

    def read(self) -> tuple[bytes, int]:
        """The oldest message, and where it ends. Raises: OSError."""
        begin = self.read_at + LENGTH_BYTES
        end = begin + int.from_bytes(self._read_whole(self.read_at, begin), "big")
        return self._read_whole(begin, end), end

    def _read_whole(self, begin: int, end: int) -> bytes:
        data = os.pread(self.descriptor, end - begin, begin) if end <= self.end else b""
        if len(data) < end - begin:
            raise OSError(errno.EIO, "the file is not as it was written", str(self.path))
        return data

    def empty(self) -> None:
        self.end = self.read_at = self.waiting_count = 0
        with contextlib.suppress(OSError):  # what lies there is overwritten
            os.ftruncate(self.descriptor, 0)

    def remove(self) -> None:
        """As far as the disk allows: what is left of it is of no use to anybody."""
        with contextlib.suppress(OSError):
            os.close(self.descriptor)
        with contextlib.suppress(OSError):
            self.path.unlink()


class SpillFile:
    """Frames on disk. Files are made when first needed."""

    def __init__(self, path: Path) -> None:
        """`path`: of the first file; the others stand beside it with a number behind their names."""
        self._path = path
        self._segments: deque[_Segment] = deque()
        self._made_count = 0
        self._oldest: tuple[list[bytes], int] | None = None
        """Read already, for whoever could not take it: its frames, and where it ends."""
        self.waiting_count = 0
        self.total_count = 0
        self.total_bytes = 0

    def append(self, frames: Sequence[bytes] | Frames) -> None:
        """Raises: OSError (ENOSPC before the disk is full to the last byte). Nothing has changed then."""
        packed = msgspec.msgpack.encode([bytes(frame) for frame in frames])
        self._check_room(len(packed))
        if not self._segments or self._segments[-1].end >= SEGMENT_BYTES:
            self._add_segment()
        self._segments[-1].append(len(packed).to_bytes(LENGTH_BYTES, "big") + packed)
        self.waiting_count += 1
        self.total_count += 1
        self.total_bytes += len(packed)

    def peek(self) -> list[bytes]:
        """The oldest message. Raises: IndexError if nothing is waiting; OSError."""
        if self._oldest is None:
            data, end = self._segments[0].read()
            try:
                self._oldest = msgspec.msgpack.decode(data, type=list[bytes]), end
            except msgspec.DecodeError as error:
                raise OSError(errno.EIO, f"the file is not as it was written: {error}") from error
        return self._oldest[0]

    def advance(self) -> None:
        """Forgets the oldest message."""
        self.peek()
        assert self._oldest is not None
        segment = self._segments[0]
        segment.read_at, self._oldest = self._oldest[1], None
        segment.waiting_count -= 1
        self.waiting_count -= 1
        if segment.waiting_count:
            return
        if len(self._segments) > 1:
            self._segments.popleft().remove()
        else:
            segment.empty()

    def give_up_oldest(self) -> int:
        """Forgets the file that holds the oldest message, which cannot be read, and says how many waited in it."""
        segment = self._segments.popleft()
        count, self._oldest = segment.waiting_count, None
        self.waiting_count -= count
        segment.remove()
        return count

    def clear(self) -> None:
        """Forgets every message."""
        self._oldest = None
        self.waiting_count = 0
        while len(self._segments) > 1:
            self._segments.pop().remove()
        for segment in self._segments:
            segment.empty()

    def close(self) -> None:
        while self._segments:
            self._segments.pop().remove()

    def _add_segment(self) -> None:
        suffix = f".{self._made_count}" if self._made_count else ""
        self._segments.append(_Segment(self._path.with_name(self._path.name + suffix)))
        self._made_count += 1

    def _check_room(self, wanted_bytes: int) -> None:
        disk = os.statvfs(self._path.parent)
        kept_free = min(DISK_KEPT_FREE_BYTES, DISK_KEPT_FREE_FRACTION * disk.f_blocks * disk.f_frsize)
        if disk.f_bavail * disk.f_frsize - wanted_bytes < kept_free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path.parent))
