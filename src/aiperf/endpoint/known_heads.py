"""Responses whose head was seen before and that come whole in one read: their framing without a parser.

Owns: remembering heads, byte for byte, and the framing that follows from them; taking the chunks of a whole body apart.
Does not own: what else a response can be (`framing`); everything that is not exactly so is left to it.

A server's heads repeat for as long as their date does. The parser takes 1.5 µs for one of five headers, mostly for
calls back into Python; a head that is known costs a third of that (benchmarks/http_client.py, one chunk).
"""

from typing import NamedTuple

from aiperf.endpoint.framing import Framing

KNOWN_MAX = 64
"""With more, all are forgotten: what repeats is soon known again."""
PATIENCE = 256
"""So many more misses than hits, and nothing is remembered any more: this server never repeats a head."""

_HEAD_END = b"\r\n\r\n"
_SIZE_DIGITS_MAX = 8
_HEX_DIGITS = b"0123456789abcdefABCDEF"


class _Head(NamedTuple):
    status: int
    body_kind: int
    body_bytes: int
    """-1: chunked."""
    keep_alive: bool


class KnownHeads:
    """Of all connections of a client; `parts` is the list that its framings append body bytes to."""

    __slots__ = ("_heads", "_parts", "_patience")

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = parts
        self._heads: dict[bytes, _Head] = {}
        self._patience = PATIENCE

    def read(self, framing: Framing, data: bytes) -> bool:
        """Takes a whole response in, if it is one with a known head: the framing then is as after `feed`.

        Nothing of a response may have been fed before. If it says no, nothing has changed.
        """
        if not self._patience:
            return False
        start = data.find(_HEAD_END) + 4
        head = self._heads.get(data[:start])
        if head is None:
            self._patience -= 1
            return False
        if head.body_bytes < 0:
            chunks = whole_chunks(data, start)
            if chunks is None:
                return False
            self._parts += chunks
        elif len(data) - start != head.body_bytes:
            return False
        elif head.body_bytes:
            self._parts.append(data[start:])
        if self._patience < PATIENCE:
            self._patience += 1
        framing.status, framing.body_kind, _, framing.keep_alive = head
        framing.head_complete = framing.complete = True
        return True

    def learn(self, framing: Framing, data: bytes) -> None:
        """Remembers the head of a response of success which `feed` took in whole, in one read, without complaint."""
        if not self._patience or framing.has_interim or not 200 <= framing.status < 300:
            return
        start = data.find(_HEAD_END) + 4
        if framing.is_chunked:
            if whole_chunks(data, start) is None:
                return
            body_bytes = -1
        else:
            body_bytes = len(data) - start
        if len(self._heads) >= KNOWN_MAX:
            self._heads.clear()
        self._heads[data[:start]] = _Head(framing.status, framing.body_kind, body_bytes, framing.keep_alive)


def whole_chunks(data: bytes, start: int) -> list[bytes] | None:
    """The chunks of a body that begins at `start` and ends with `data`; None if it is not just so, and plain.

    Chunk extensions and trailers are not plain. Source: RFC 9112, section 7.1.
    """
    chunks: list[bytes] = []
    find = data.find
    while True:
        size_end = find(b"\r\n", start, start + _SIZE_DIGITS_MAX + 2)
        digits = data[start:size_end] if size_end >= 0 else b""
        if not digits or digits.strip(_HEX_DIGITS):
            return None
        size, start = int(digits, 16), size_end + 2
        end = start + size
        if data[end : end + 2] != b"\r\n":
            return None
        if not size:
            return chunks if len(data) == end + 2 else None
        chunks.append(data[start:end])
        start = end + 2
