"""Slices: how response bytes and exchange facts travel from a worker to its record processor while streams still run.

Owns: the four tables of a slice and their bytes. Does not own: sockets, spilling (`aiperf.wire`, `aiperf.service`),
what the bytes mean (`assembly`).

A slice is five frames: a header, then three tables of int64 and one blob. Table rows:
    heads: handle, http_status, body_kind
    reads: handle, stamp_ns, after_ns, length      (`length` bytes of the blob, in order)
    ends:  handle, then EXCHANGE_FIELDS
"""

from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from aiperf.endpoint.exchange import Exchange
from aiperf.record.facts import EXCHANGE_FIELDS

SIZE_LIMIT_BYTES = 1 << 20
"""A slice is cut by time, or when it is as large as this: so the bound of a funnel in messages is one in bytes, too."""

HEAD_WIDTH = 3
READ_WIDTH = 4
READ_LENGTH = 3
"""Column of `reads`."""
END_WIDTH = 1 + len(EXCHANGE_FIELDS)


class SliceHeader(msgspec.Struct, frozen=True, array_like=True):
    worker_index: int
    sequence: int
    """0, 1, 2, … per worker and record processor: a gap is a stated loss."""
    flushed_ns: int
    texts: list[tuple[int, str]]
    """Error texts by handle."""
    response_heads: list[tuple[int, bytes]]
    """Raw response heads by handle, where they are kept."""


class Slice(NamedTuple):
    """A slice as the record processor reads it."""

    header: SliceHeader
    heads: npt.NDArray[np.int64]
    reads: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    blob: memoryview


_encode = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(SliceHeader).decode


class SliceWriter:
    """Collects what the HTTP client sees (it is its `Sink` for bytes) until `take()` cuts the next slice.

    On the timing path: every method costs well under a microsecond and only appends.
    """

    __slots__ = (
        "_blob",
        "_ends",
        "_heads",
        "_on_full",
        "_reads",
        "_response_heads",
        "_sequence",
        "_texts",
        "_worker_index",
        "size_bytes",
    )

    def __init__(self, worker_index: int = -1, on_full: Callable[[int], None] | None = None) -> None:
        """`worker_index` may be told later (`belong_to`), but before anything is written.

        `on_full` is called, with the instant of the last read, whenever `SIZE_LIMIT_BYTES` have gathered."""
        self._worker_index = worker_index
        self._on_full = on_full
        self._sequence = 0
        self._clear()

    def _clear(self) -> None:
        self._heads: list[int] = []
        self._reads: list[int] = []
        self._ends: list[int] = []
        self._blob: list[bytes] = []
        self._texts: list[tuple[int, str]] = []
        self._response_heads: list[tuple[int, bytes]] = []
        self.size_bytes = 0
        """About how many bytes the slice would take if it were cut now."""

    @property
    def sequence(self) -> int:
        """How many slices were cut."""
        return self._sequence

    def belong_to(self, worker_index: int) -> None:
        """Says whose slices these are."""
        self._worker_index = worker_index

    def restart(self) -> None:
        """Begins anew for another record processor: what was not cut yet is dropped, numbering starts at 0."""
        self._sequence = 0
        self._clear()

    def on_head(self, exchange: Exchange) -> None:
        self._heads.extend((exchange.handle, exchange.http_status, exchange.body_kind))

    def on_read(self, exchange: Exchange, stamp_ns: int, after_ns: int, data: bytes) -> None:
        length = len(data)
        self._reads.extend((exchange.handle, stamp_ns, after_ns, length))
        self._blob.append(data)
        self.size_bytes += length + 32
        if self.size_bytes >= SIZE_LIMIT_BYTES and self._on_full is not None:
            self._on_full(stamp_ns)

    def on_end(self, exchange: Exchange) -> None:
        x = exchange
        self._ends.extend(
            (
                x.handle, x.credit_index, x.turn_index, x.phase, self._worker_index, x.url_index, x.entry_index,
                x.outcome, x.error_kind, x.http_status, x.due_ns, x.dispatched_ns, x.blocked_ns, x.dns_ns, x.connect_ns,
                x.tls_ns, x.sent_ns, x.send_done_ns, x.first_byte_ns, x.end_ns, x.rearm_delay_ns, x.connection_reused,
                x.retried, x.sent_bytes, x.received_bytes,
            )
        )  # fmt: skip
        self.size_bytes += 8 * END_WIDTH
        if x.error_text:
            self._texts.append((x.handle, x.error_text))
        if x.response_head:
            self._response_heads.append((x.handle, x.response_head))

    def take(self, now_ns: int) -> list[bytes] | None:
        """Cuts the slice collected so far; None if there is nothing in it."""
        if not (self._heads or self._reads or self._ends):
            return None
        header = SliceHeader(self._worker_index, self._sequence, now_ns, self._texts, self._response_heads)
        frames = [
            _encode(header),
            array("q", self._heads).tobytes(),
            array("q", self._reads).tobytes(),
            array("q", self._ends).tobytes(),
            b"".join(self._blob),
        ]
        self._sequence += 1
        self._clear()
        return frames


def read_slice(frames: Sequence[Any]) -> Slice:
    """The slice whose frames these are. Raises: ValueError (msgspec's included) if they are none."""
    header, heads, reads, ends, blob = frames
    return Slice(
        _decode_header(header),
        np.frombuffer(heads, np.int64).reshape(-1, HEAD_WIDTH),
        np.frombuffer(reads, np.int64).reshape(-1, READ_WIDTH),
        np.frombuffer(ends, np.int64).reshape(-1, END_WIDTH),
        memoryview(blob),
    )
