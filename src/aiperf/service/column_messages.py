"""What travels on the `columns` channel, from record processors to the records manager: partial results and lines.

Owns: the headers that go with a partial result's frames and with a block of lines, and the account of which came. Does
not own: the partial result (`aiperf.metrics.partial`), blocks (`aiperf.report.shards`), what a loss means for a run.

Both are numbered per record processor. The wire keeps the order of what one sender sends, so a number that was jumped
over never comes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from aiperf.metrics.own_error import OwnErrors
from aiperf.metrics.partial import Partial
from aiperf.report.shards import Block


class LineKind(StrEnum):
    """Of which export the lines are."""

    LINES = "lines"
    RAW = "raw"


class ColumnHeader(msgspec.Struct, frozen=True, array_like=True, tag="columns"):
    """With a partial result, called a batch."""

    record_processor: str
    sequence: int
    """0, 1, 2, … per record processor: a gap is a stated loss."""
    phase: int
    record_count: int
    first_line: int = 0
    """Of a batch of the measured phase: its records have the lines from this one on, of each kind."""


class OwnErrorHeader(msgspec.Struct, frozen=True, array_like=True, tag="own-errors"):
    """With this side's own errors over records of a calibration; a batch like any other."""

    record_processor: str
    sequence: int
    """Numbered together with partial results."""
    phase: int


class BlockHeader(msgspec.Struct, frozen=True, array_like=True, tag="block"):
    """With a block of lines."""

    record_processor: str
    sequence: int
    """0, 1, 2, … per record processor, over both kinds: a gap is a stated loss."""
    kind: LineKind
    first_line: int
    line_count: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ColumnHeader | OwnErrorHeader | BlockHeader).decode


def encode_columns(header: ColumnHeader, partial: Partial) -> list[bytes]:
    return [_encode(header), *partial.to_frames()]


def encode_own_errors(header: OwnErrorHeader, errors: OwnErrors) -> list[bytes]:
    return [_encode(header), errors.to_frame()]


def encode_block(record_processor: str, sequence: int, kind: LineKind, block: Block) -> list[bytes]:
    return [_encode(BlockHeader(record_processor, sequence, kind, block.first_line, block.line_count)), block.frame]


def decode_columns(
    frames: Sequence[Any],
) -> tuple[ColumnHeader, Partial] | tuple[OwnErrorHeader, OwnErrors] | tuple[BlockHeader, Block]:
    """Raises: ValueError (msgspec's included) if the frames are none of ours."""
    header = _decode(frames[0])
    if isinstance(header, ColumnHeader):
        return header, Partial.from_frames(frames[1:])
    (frame,) = frames[1:]
    if isinstance(header, OwnErrorHeader):
        return header, OwnErrors.from_frame(frame)
    return header, Block(header.first_line, header.line_count, frame)


class NumberedArrivals:
    """Which of the numbered messages of each sender have come."""

    def __init__(self) -> None:
        self._next: Counter[str] = Counter()
        """After the highest number that came."""
        self._came: Counter[str] = Counter()

    def book(self, sender: str, sequence: int) -> int:
        """Notes that one came; how many were jumped over since the last."""
        jumped = max(0, sequence - self._next[sender])
        self._next[sender] = max(self._next[sender], sequence + 1)
        self._came[sender] += 1
        return jumped

    def are_over(self, announced: Mapping[str, int]) -> bool:
        """Whether no more will come of what was announced: all of it has, or is lost."""
        return all(self._next[sender] >= count for sender, count in announced.items())

    def lost_count(self, announced: Mapping[str, int]) -> int:
        """Those that were sent and did not come, as far as that is known: of a sender that says nothing, the gaps."""
        senders = self._next.keys() | announced.keys()
        return sum(max(self._next[name], announced.get(name, 0)) - self._came[name] for name in senders)
