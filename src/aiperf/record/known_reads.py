"""Reads that say what other reads have said: servers repeat whole responses, but for their ids.

Owns: remembering what a read of whole events meant, and finding it again. Does not own: parsing (`aiperf.endpoint`),
what is done with the meaning (`stream`).

The role chunk at the start of a stream is the same for every response of a second, the usage chunk at its end for every
one of that length, and a one-chunk answer consists of nothing else. Two reads mean the same if they differ in nothing
but the value of `"id"`, which no dialect looks at; that this holds for the read at hand is proved when it is learnt, by
reading it again with another id. What is not remembered: reads that blame the server, that call tools (an `id` may
stand in their arguments), or that are long.

Measured (benchmarks/record_assembly.py): 9 instead of 15 µs for a one-chunk request, from the slice to the record.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from aiperf.endpoint.dialect import Delta, Usage
from aiperf.endpoint.sse import SseParser

LIMIT_BYTES = 8 << 10
"""Of a read that is remembered; one of more is rare, and rarely seen again."""
KNOWN_MAX = 512
"""With more, all are forgotten: what repeats is soon known again."""
PATIENCE = 256
"""So many more misses than hits, and nothing is remembered any more: this server never repeats itself."""

DONE = b"[DONE]"

_ID = re.compile(rb'"id": ?"[\w-]+"')
_ANY_ID = b'"id":"0"'

# JSON nested beyond all reason ends in a RecursionError, which msgspec does not turn into its own.
NOT_DECODABLE = (ValueError, RecursionError)


class KnownRead(NamedTuple):
    """What a read of whole events adds to an answer."""

    contents: tuple[Delta, ...]
    """Of the events with content."""
    ends_with_content: bool
    """The last event of the read is one of them."""
    event_count: int
    usage: Usage | None
    is_finished: bool
    """A finish reason came."""
    is_done: bool
    """`[DONE]` came."""


class KnownReads:
    """Of one dialect; shared by all streams."""

    __slots__ = ("_decode", "_known", "_patience")

    def __init__(self, decode_event: Callable[[bytes], Delta]) -> None:
        self._decode = decode_event
        self._known: dict[bytes, KnownRead | None] = {}
        self._patience = PATIENCE

    def find(self, data: bytes) -> KnownRead | None:
        """What these bytes mean, if they are whole events of a known kind. What came before them must have been, too.

        They are learnt otherwise, if they can be.
        """
        if not self._patience or len(data) > LIMIT_BYTES:
            return None
        found = _ID.search(data)
        key = data.replace(found[0], _ANY_ID) if found else data
        known = self._known.get(key)
        if known is not None:
            if self._patience < PATIENCE:
                self._patience += 1
            return known
        self._patience -= 1
        if key not in self._known:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            meaning = _meaning(data, self._decode)
            self._known[key] = meaning if meaning == _meaning(key, self._decode) else None
            return self._known[key]
        return None


def _meaning(data: bytes, decode: Callable[[bytes], Delta]) -> KnownRead | None:
    """What the events of a read say; None if they are not whole, or not of the kind that is remembered."""
    if not (data.startswith(b"data:") and data.endswith(b"\n\n")) or b"\r" in data:
        return None
    contents: list[Delta] = []
    usage, is_finished, is_done, ends_with_content = None, False, False, False
    events = SseParser().feed(data)
    for event in events:
        if is_done or not isinstance(event, bytes):
            return None
        if event == DONE:
            is_done, ends_with_content = True, False
            continue
        if event[:1] != b"{":
            return None
        try:
            delta = decode(event)
        except NOT_DECODABLE:
            return None
        if delta.error is not None or delta.tool_call:
            return None
        if delta.usage is not None:
            usage = delta.usage
        is_finished = is_finished or delta.finished
        ends_with_content = bool(delta.text or delta.reasoning)
        if ends_with_content:
            contents.append(delta)
    return KnownRead(tuple(contents), ends_with_content, len(events), usage, is_finished, is_done) if events else None
