"""Record columns: how partial results travel from a record processor to the records manager.

Owns: the header that goes with a partial result's frames. Does not own: the partial result (`aiperf.metrics.partial`).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from aiperf.metrics.partial import Partial


class ColumnHeader(msgspec.Struct, frozen=True, array_like=True):
    record_processor: str
    sequence: int
    """0, 1, 2, … per record processor: a gap is a stated loss."""
    phase: int
    record_count: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ColumnHeader).decode


def encode_columns(header: ColumnHeader, partial: Partial) -> list[bytes]:
    return [_encode(header), *partial.to_frames()]


def decode_columns(frames: Sequence[Any]) -> tuple[ColumnHeader, Partial]:
    """Raises: ValueError (msgspec's included) if the frames are none of ours."""
    return _decode(frames[0]), Partial.from_frames(frames[1:])
