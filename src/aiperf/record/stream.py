"""Response bodies: bytes with their stamps in, an `Answer` out. One class per way in which a body can be read.

Owns: which read completes which event and how sharply its time is known; what makes a well-formed response a bad one
(malformed, truncated, empty). Does not own: the SSE format and the dialects (`aiperf.endpoint`), which body belongs to
which request (`assembly`).

A body is told of every read, and once of its end if the server ended it.
"""

from typing import Protocol

from aiperf.endpoint.dialect import Dialect
from aiperf.endpoint.exchange import BodyKind, ErrorKind
from aiperf.endpoint.server_error import error_line_of_body
from aiperf.endpoint.sse import Event, SseParser
from aiperf.record.answer import Answer, Chunk
from aiperf.record.chunk_template import ChunkTemplate
from aiperf.record.known_reads import DONE, NOT_DECODABLE, KnownRead, KnownReads

BODY_LIMIT_BYTES = 64 * 1024 * 1024
"""A whole body is kept until it can be decoded. The largest answers are a hundredth of this."""

ERROR_BODY_LIMIT_BYTES = 64 * 1024
"""An error's message stands at its start."""

_PLAIN_EVENT_BYTES = len(b"data: \n\n")

_LAST_EVENT = DONE + b"\n\n"


class ResponseBody(Protocol):
    """The body of one response while it comes."""

    answer: Answer

    def read(self, stamp_ns: int, after_ns: int, data: bytes) -> None:
        """Takes the bytes of one read, which arrived after `after_ns`, the last of them at `stamp_ns`."""
        ...

    def conclude(self) -> None:
        """Judges the body, which is complete by its framing. Not called if the exchange failed or was cut."""
        ...


def response_body(
    http_status: int, body_kind: int, answer: Answer, dialect: Dialect, known: KnownReads, *, streaming: bool
) -> ResponseBody:
    """What can read the body of a response with this head."""
    if not 200 <= http_status < 300:
        return ErrorBody(http_status, answer)
    if body_kind == BodyKind.EVENT_STREAM:
        return EventStream(answer, dialect, known)
    if body_kind == BodyKind.JSON or not streaming:
        return WholeBody(answer, dialect)
    return UndeclaredBody(answer, dialect, known)


class EventStream:
    """A body of server-sent events, one delta each."""

    __slots__ = (
        "_decode", "_event_count", "_is_between", "_is_done", "_is_finished", "_known", "_parser", "_template",
        "answer",
    )  # fmt: skip

    def __init__(self, answer: Answer, dialect: Dialect, known: KnownReads) -> None:
        self.answer = answer
        self._decode = dialect.decode_event
        self._known = known
        self._parser: SseParser | None = None
        """Made when it is needed: not for a stream of known reads."""
        self._template: ChunkTemplate | None = None
        """Made when a second chunk of text came."""
        self._is_between = True
        """The bytes so far are whole events, and the parser holds nothing back, not even the half of a line end."""
        self._event_count = 0
        self._is_finished = False
        """A finish reason came."""
        self._is_done = False
        """`[DONE]` came, or the stream is beyond reading: what follows is not looked at."""

    def read(self, stamp_ns: int, after_ns: int, data: bytes) -> None:
        if self._is_done:
            return
        if self._is_between:
            template = self._template
            if template is not None and (text := template.text_of(data)):
                self._event_count += 1
                self.answer.add_next_chunk(text, stamp_ns, is_reasoning=template.is_reasoning)
                return
            if (
                (not self._event_count or data.endswith(_LAST_EVENT))
                and self.answer.chunks is None
                and (known := self._known.find(data)) is not None
            ):
                self._take_known(known, stamp_ns, after_ns)
                return
        self._read_any(stamp_ns, after_ns, data)

    def _take_known(self, known: KnownRead, stamp_ns: int, after_ns: int) -> None:
        contents, ends_with_content, event_count, usage, is_finished, is_done = known
        answer = self.answer
        self._event_count += event_count
        if usage is not None:
            answer.usage = usage
        if is_finished:
            self._is_finished = True
        self._is_done = is_done
        if contents:
            width_ns = stamp_ns - after_ns if stamp_ns > after_ns else 0
            last = len(contents) - 1 if ends_with_content else len(contents)
            for position, delta in enumerate(contents):
                width = width_ns if position < last else 0
                answer.add_chunk(delta, stamp_ns, width, shares_read=position > 0)

    def _read_any(self, stamp_ns: int, after_ns: int, data: bytes) -> None:
        was_between = self._is_between
        if self._parser is None:
            self._parser = SseParser(is_fresh=not self._event_count)
        try:
            events = self._parser.feed(data)
        except ValueError as error:
            self.answer.blame(ErrorKind.MALFORMED_BODY, str(error))
            self._is_done = True
            return
        held = self._parser.pending
        self._is_between = not held and data[-1:] == b"\n"
        if not events:
            return
        # Only an event that ends with the read is known to the instant; the others came since the read before it.
        followed_width_ns = stamp_ns - after_ns if stamp_ns > after_ns else 0
        last_width_ns = followed_width_ns if held.strip() else 0
        last = len(events) - 1
        shares_read = False
        for position, event in enumerate(events):
            width_ns = followed_width_ns if position < last else last_width_ns
            if self._take(event, stamp_ns, width_ns, shares_read):
                shares_read = True
            elif self._is_done:
                return
        if shares_read and was_between and self._is_between:
            self._learn(data, events)

    def _learn(self, data: bytes, events: list[bytes | Event]) -> None:
        """Takes a read that was one plain chunk, the second or a later one, for a model of those to come."""
        event, answer = events[0], self.answer
        if len(events) > 1 or isinstance(event, Event) or len(data) != len(event) + _PLAIN_EVENT_BYTES:
            return
        if answer.chunks is None and answer.content_chunk_count > 1:
            self._template = self._template or ChunkTemplate()
            self._template.learn(event, self._decode)

    def _take(self, event: bytes | Event, stamp_ns: int, width_ns: int, shares_read: bool) -> bool:
        """Whether the event was a content chunk."""
        self._event_count += 1
        answer = self.answer
        event_type, data = event if isinstance(event, Event) else ("", event)
        if answer.chunks is not None:
            answer.chunks.append(Chunk(stamp_ns, width_ns, data))
        if event_type == "error":
            answer.blame(ErrorKind.ERROR_EVENT, error_line_of_body(data) or "an `error` event without data")
            return False
        if data[:1] != b"{":
            marker = data.strip()
            if marker == DONE:
                self._is_done = True
                return False
            if not marker:
                return False
        try:
            delta = self._decode(data)
        except NOT_DECODABLE as error:
            answer.blame(ErrorKind.MALFORMED_BODY, f"event {self._event_count}: {error}")
            return False
        text, reasoning, tool_call, finished, usage, error_text = delta
        if usage is not None:
            answer.usage = usage
        if finished:
            self._is_finished = True
        if error_text is not None:
            answer.blame(ErrorKind.ERROR_EVENT, error_text or "an error object without a message")
        if text or reasoning or tool_call:
            answer.add_chunk(delta, stamp_ns, width_ns, shares_read=shares_read)
            return True
        return False

    def conclude(self) -> None:
        held = self._parser.pending.strip() if self._parser is not None else b""
        if not (self._is_done or self._is_finished):
            # The standard discards an unfinished event, yet who says `[DONE]` and forgets the blank line is done.
            if held == b"data: " + DONE:
                self._is_done = True
            elif self._event_count or held:
                within = f", inside an event of which {len(held)} bytes came" if held else ""
                self.answer.blame(
                    ErrorKind.TRUNCATED_STREAM,
                    f"the stream ended after {self._event_count} events without `[DONE]` or a finish reason{within}",
                )
        if not self.answer.has_content:
            self.answer.blame(ErrorKind.EMPTY_RESPONSE, "the stream brought no content")


class WholeBody:
    """A body that says nothing until its last byte is there: JSON."""

    __slots__ = ("_body", "_decode", "_last_stamp_ns", "answer")

    def __init__(self, answer: Answer, dialect: Dialect) -> None:
        self.answer = answer
        self._decode = dialect.decode_body
        self._body = bytearray()
        self._last_stamp_ns = -1

    def read(self, stamp_ns: int, after_ns: int, data: bytes) -> None:  # noqa: ARG002  (the last byte is what counts)
        self._last_stamp_ns = stamp_ns
        if len(self._body) <= BODY_LIMIT_BYTES:
            self._body += data

    def conclude(self) -> None:
        answer, body = self.answer, bytes(self._body)
        if answer.chunks is not None:
            answer.chunks.append(Chunk(self._last_stamp_ns, 0, body))
        if len(body) > BODY_LIMIT_BYTES:
            answer.blame(ErrorKind.BODY_TOO_LARGE, f"the body is longer than {BODY_LIMIT_BYTES >> 20} MiB")
            return
        if not body.strip():
            answer.blame(ErrorKind.EMPTY_RESPONSE, "the body is empty")
            return
        try:
            delta = self._decode(body)
        except NOT_DECODABLE as error:
            answer.blame(ErrorKind.MALFORMED_BODY, f"the body: {error}")
            return
        answer.usage = delta.usage
        if delta.error is not None:
            answer.blame(ErrorKind.ERROR_EVENT, delta.error or "an error object without a message")
        if delta.text or delta.reasoning or delta.tool_call:
            answer.last_content_ns = self._last_stamp_ns
            answer.add_text(delta)
        else:
            answer.blame(ErrorKind.EMPTY_RESPONSE, "the answer has no content")


class ErrorBody:
    """The body of a response whose status says that the request failed: kept for its message, in bounds."""

    __slots__ = ("_body", "_http_status", "answer")

    def __init__(self, http_status: int, answer: Answer) -> None:
        self.answer = answer
        self._http_status = http_status
        self._body = bytearray()

    def read(self, stamp_ns: int, after_ns: int, data: bytes) -> None:
        if self.answer.chunks is not None:
            self.answer.chunks.append(Chunk(stamp_ns, max(stamp_ns - after_ns, 0), data))
        room = ERROR_BODY_LIMIT_BYTES - len(self._body)
        if room > 0:
            self._body += data[:room]

    def conclude(self) -> None:
        text = error_line_of_body(bytes(self._body)) if self._body else ""
        self.answer.blame(ErrorKind.HTTP_STATUS, text or f"HTTP status {self._http_status}")


class UndeclaredBody:
    """A body whose content type names neither JSON nor an event stream: its first byte tells which it is."""

    __slots__ = ("_body", "_dialect", "_known", "answer")

    def __init__(self, answer: Answer, dialect: Dialect, known: KnownReads) -> None:
        self.answer = answer
        self._dialect = dialect
        self._known = known
        self._body: EventStream | WholeBody | None = None

    def read(self, stamp_ns: int, after_ns: int, data: bytes) -> None:
        if self._body is None:
            start = data.lstrip()[:1]
            if not start:
                return
            if start in (b"{", b"["):
                self._body = WholeBody(self.answer, self._dialect)
            else:
                self._body = EventStream(self.answer, self._dialect, self._known)
        self._body.read(stamp_ns, after_ns, data)

    def conclude(self) -> None:
        if self._body is None:
            self.answer.blame(ErrorKind.EMPTY_RESPONSE, "the body is empty")
        else:
            self._body.conclude()
