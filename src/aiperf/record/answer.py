"""The answer of one response: what its bytes have said so far, and when.

Owns: the times and counts of content chunks, the text that is kept for counting tokens, the last usage report, the
first fault. Does not own: how bytes become deltas (`stream`), whether the request failed (`assembly`).

Stamps are those of reads: a chunk's time is the arrival of the last byte of the read that completed it, and its width
is how much earlier it may have arrived.
"""

from array import array
from typing import NamedTuple

from aiperf.endpoint.dialect import Delta, Usage
from aiperf.endpoint.exchange import ErrorKind
from aiperf.record.facts import NONE

TEXT_LIMIT_BYTES = 8 << 20
"""Of an answer's text that is kept for counting: two million tokens. A server that never stops must not fill memory."""


class Chunk(NamedTuple):
    """One SSE event, or a whole body, as it came."""

    stamp_ns: int
    width_ns: int
    """It arrived within this duration before its stamp."""
    data: bytes


class Answer:
    """Filled by a response body while it is read. One per open stream, hence small."""

    __slots__ = (
        "chunks",
        "content_chunk_count",
        "fault_kind",
        "fault_text",
        "first_chunk_text",
        "first_content_ns",
        "first_content_width_ns",
        "first_output_ns",
        "gaps_ns",
        "has_content",
        "has_reasoning",
        "keeps_text",
        "last_content_ns",
        "last_content_width_ns",
        "output_text",
        "reasoning_text",
        "second_content_ns",
        "shared_chunk_count",
        "usage",
    )

    def __init__(self, *, keeps_text: bool, keeps_chunks: bool) -> None:
        self.first_content_ns = NONE
        self.first_output_ns = NONE
        self.second_content_ns = NONE
        self.last_content_ns = NONE
        self.first_content_width_ns = 0
        self.last_content_width_ns = 0
        self.content_chunk_count = 0
        self.shared_chunk_count = 0
        self.gaps_ns: array[int] | tuple[()] = ()
        """Between neighbouring reads that brought content: eight bytes a chunk are all that a long stream leaves."""
        self.has_content = False
        self.has_reasoning = False
        self.keeps_text = keeps_text
        self.first_chunk_text = ""
        self.output_text = bytearray()
        """UTF-8: a list of chunks, or a StringIO, takes ten times the room."""
        self.reasoning_text = bytearray()
        self.usage: Usage | None = None
        self.fault_kind: int = ErrorKind.NO_ERROR
        self.fault_text = ""
        self.chunks: list[Chunk] | None = [] if keeps_chunks else None

    def add_chunk(self, delta: Delta, stamp_ns: int, width_ns: int, *, shares_read: bool) -> None:
        """Takes one content chunk of a stream; `shares_read` if a content chunk before it came with the same read."""
        text, reasoning, tool_call, _, _, _ = delta
        count = self.content_chunk_count
        self.content_chunk_count = count + 1
        if shares_read:
            self.shared_chunk_count += 1
        elif count == 0:
            self.first_content_ns = stamp_ns
            self.first_content_width_ns = width_ns
        else:
            if count == 1:
                self.second_content_ns = stamp_ns
            if not self.gaps_ns:
                self.gaps_ns = array("q")
            self.gaps_ns.append(stamp_ns - self.last_content_ns)
        if self.first_output_ns < 0 and (text or tool_call):
            self.first_output_ns = stamp_ns
        self.last_content_ns = stamp_ns
        self.last_content_width_ns = width_ns
        self.add_text(delta)
        if count == 0 and self.keeps_text:
            self.first_chunk_text = reasoning + text + tool_call

    def add_next_chunk(self, text: str, stamp_ns: int, *, is_reasoning: bool) -> None:
        """Takes a content chunk that is not the first, has its read for itself, and says nothing but this text."""
        if self.content_chunk_count == 1:
            self.second_content_ns = stamp_ns
        self.content_chunk_count += 1
        if not self.gaps_ns:
            self.gaps_ns = array("q")
        self.gaps_ns.append(stamp_ns - self.last_content_ns)
        self.last_content_ns = stamp_ns
        self.last_content_width_ns = 0
        if is_reasoning:
            self.has_reasoning = True
        elif self.first_output_ns < 0:
            self.first_output_ns = stamp_ns
        if self.keeps_text:
            if is_reasoning:
                self.reasoning_text += text.encode()
            else:
                self.output_text += text.encode()
            self._bound_text()

    def add_text(self, delta: Delta) -> None:
        """Takes the text of a delta, whenever it came."""
        text, reasoning, tool_call, _, _, _ = delta
        self.has_content = True
        if reasoning:
            self.has_reasoning = True
        if not self.keeps_text:
            return
        if text or tool_call:
            self.output_text += (text + tool_call).encode()
        if reasoning:
            self.reasoning_text += reasoning.encode()
        self._bound_text()

    def _bound_text(self) -> None:
        if len(self.output_text) + len(self.reasoning_text) > TEXT_LIMIT_BYTES:
            self.keeps_text = False  # Its tokens stay uncounted on this side.
            self.output_text, self.reasoning_text = bytearray(), bytearray()

    def content_columns(self) -> tuple[int, ...]:
        """The columns of `Facts` from `first_content_ns` to `shared_chunk_count`."""
        return (
            self.first_content_ns, self.first_output_ns, self.second_content_ns, self.last_content_ns,
            self.first_content_width_ns, self.last_content_width_ns, self.content_chunk_count, self.shared_chunk_count,
        )  # fmt: skip

    def blame(self, kind: ErrorKind, text: str) -> None:
        """Notes a fault; only the first one counts, since it is what the others follow from."""
        if not self.fault_kind:
            self.fault_kind = kind
            self.fault_text = text
