"""Where a response ends: HTTP/1.1 framing by llhttp (`httptools`), as far as a load generator needs it.

Owns: status, the few headers that matter, body bytes without their chunk framing, the end of the message, whether the
connection may be used again. Does not own: sockets, time, what the body means. Bytes in, attributes out.

One object serves one connection, response after response. What httptools does that one must know:
- it makes a callback's absence free and a bound C method nearly so: body bytes go straight into a list;
- its keep-alive answer holds only while `on_message_complete` runs;
- it goes on into the next message within one `feed`; an exception from a callback is the only way to stop it;
- it answers a change of protocol (101) with an exception of another family: it is refused before that;
- it has no end-of-file call: whether the end of the connection ends the body is decided here.
"""

import httptools

from aiperf.endpoint.exchange import BodyKind

FramingError = httptools.HttpParserError
"""Raised by `feed`. Means malformed bytes, unless `complete` is set: then bytes followed the end of the response."""


class _StopError(Exception):
    """Stops the parser from within a callback; `feed` raises a FramingError with this as its context."""


class Framing:
    """The framing of one connection's responses.

    `parts` is the list that body bytes are appended to; it may be shared by all connections, the caller empties it
    after each `feed`.
    """

    __slots__ = (
        "_chunked",
        "_interim",
        "_interim_count",
        "_parser",
        "_sized",
        "body_kind",
        "complete",
        "ends_at_eof",
        "feed",
        "head",
        "head_complete",
        "keep_alive",
        "on_body",
        "status",
    )

    def __init__(self, parts: list[bytes]) -> None:
        self.on_body = parts.append
        self._parser = httptools.HttpResponseParser(self)
        self.feed = self._parser.feed_data
        """Takes the next bytes. Raises: FramingError."""
        self.begin()

    def begin(self) -> None:
        """Makes ready for the next response."""
        self.status = 0
        self.body_kind = 0
        """`BodyKind`."""
        self.head = b""
        """Kept by the caller while the head is incomplete: all bytes fed for this response so far."""
        self.head_complete = False
        self.complete = False
        self.ends_at_eof = False
        """The body lasts until the server closes the connection."""
        self.keep_alive = False
        self._sized = False
        self._chunked = False
        self._interim = False
        self._interim_count = 0

    def release(self) -> None:
        """Breaks the cycle of parser and callbacks, so that memory goes at once, garbage collection or not."""
        del self._parser, self.feed

    def final_head(self) -> bytes:
        """Status line and headers of the final response, as received; `head` must hold all bytes fed until now."""
        start = 0
        for _ in range(self._interim_count):
            start = self.head.find(b"\r\n\r\n", start) + 4
        return self.head[start : self.head.find(b"\r\n\r\n", start) + 4]

    @property
    def is_chunked(self) -> bool:
        """The body of the response at hand comes in chunks of the transfer coding."""
        return self._chunked

    @property
    def has_interim(self) -> bool:
        """Interim responses (1xx) came before it."""
        return self._interim_count > 0

    # Called by httptools

    def on_message_begin(self) -> None:
        if self.complete:
            raise _StopError("bytes follow the end of the response")

    def on_header(self, name: bytes, value: bytes) -> None:
        length = len(name)
        if length == 12:
            if name.lower() == b"content-type":
                self.body_kind = _body_kind(value)
        elif length == 14:
            if name.lower() == b"content-length":
                self._sized = True
        elif length == 17 and name.lower() == b"transfer-encoding":
            self._chunked = value.rstrip().lower().endswith(b"chunked")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == 101:
            raise _StopError("the server switches protocols, which was not asked for")
        self._interim = status < 200
        if not self._interim:
            self.status = status
            self.head_complete = True
            self.ends_at_eof = not (self._sized or self._chunked or status == 204 or status == 304)

    def on_message_complete(self) -> None:
        if self._interim:
            interim_count = self._interim_count + 1
            head = self.head
            self.begin()
            self.head = head
            self._interim_count = interim_count
        else:
            self.complete = True
            self.keep_alive = self._parser.should_keep_alive()


def _body_kind(content_type: bytes) -> BodyKind:
    media_type = content_type.partition(b";")[0].strip().lower()
    if media_type == b"text/event-stream":
        return BodyKind.EVENT_STREAM
    if media_type == b"application/json" or media_type.endswith(b"+json"):
        return BodyKind.JSON
    return BodyKind.OTHER
