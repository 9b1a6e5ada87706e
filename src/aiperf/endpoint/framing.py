"""Where a response ends: HTTP/1.1 framing by llhttp (`httptools`), as far as a load generator needs it.

Owns: status, the few headers that matter, body bytes without their chunk framing, the end of the message, whether the
connection may be used again. Does not own: sockets, time, what the body means. Bytes in, attributes out.

A `Framing` serves one connection, response after response, and is small; the parser behind it costs four times as much,
so a framing has one only while a response comes, and all parsers of a client call back into one object (`Parsers`).
What httptools does that one must know:
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


SPARE_MAX = 64
"""Parsers kept for the next responses, so that short ones do not pay for making them."""


class _StopError(Exception):
    """Stops the parser from within a callback; `feed` raises a FramingError with this as its context."""


class Parsers:
    """The parsers of all framings of a client.

    `parts` is the list that body bytes are appended to; the caller empties it after each `feed`.
    """

    __slots__ = (
        "_spare",
        "framing",
        "on_body",
        "on_header",
        "on_headers_complete",
        "on_message_begin",
        "on_message_complete",
    )

    framing: "Framing"
    """Whose bytes are being parsed: whom the callbacks are for."""

    def __init__(self, parts: list[bytes]) -> None:
        self._spare: list[httptools.HttpResponseParser] = []
        # A parser keeps what it finds here: attributes, so that all share them. A method would be bound for each anew.
        self.on_body = parts.append
        self.on_message_begin = self._message_begins
        self.on_header = self._header
        self.on_headers_complete = self._headers_complete
        self.on_message_complete = self._message_complete

    def take(self) -> httptools.HttpResponseParser:
        """A parser at the beginning of a response."""
        return self._spare.pop() if self._spare else httptools.HttpResponseParser(self)

    def give_back(self, parser: httptools.HttpResponseParser) -> None:
        """It has parsed a response to its end, and the server would send another: it is at a beginning again."""
        if len(self._spare) < SPARE_MAX:
            self._spare.append(parser)

    # Called by httptools

    def _message_begins(self) -> None:
        if self.framing.complete:
            raise _StopError("bytes follow the end of the response")

    def _header(self, name: bytes, value: bytes) -> None:
        length = len(name)
        if length == 12:
            if name.lower() == b"content-type":
                self.framing.body_kind = _body_kind(value)
        elif length == 14:
            if name.lower() == b"content-length":
                self.framing.is_sized = True
        elif length == 17 and name.lower() == b"transfer-encoding":
            self.framing.is_chunked = value.rstrip().lower().endswith(b"chunked")

    def _headers_complete(self) -> None:
        framing = self.framing
        assert framing.parser is not None
        status = framing.parser.get_status_code()
        if status == 101:
            raise _StopError("the server switches protocols, which was not asked for")
        framing.is_interim = status < 200
        if not framing.is_interim:
            framing.status = status
            framing.head_complete = True
            framing.ends_at_eof = not (framing.is_sized or framing.is_chunked or status == 204 or status == 304)

    def _message_complete(self) -> None:
        framing = self.framing
        if framing.is_interim:
            framing.begin_after_interim()
        else:
            assert framing.parser is not None
            framing.complete = True
            framing.keep_alive = framing.parser.should_keep_alive()


class Framing:
    """The framing of one connection's responses."""

    __slots__ = (
        "_interim_count",
        "_parsers",
        "body_kind",
        "complete",
        "ends_at_eof",
        "head",
        "head_complete",
        "is_chunked",
        "is_interim",
        "is_sized",
        "keep_alive",
        "parser",
        "status",
    )

    def __init__(self, parsers: Parsers) -> None:
        self._parsers = parsers
        self.parser: httptools.HttpResponseParser | None = None
        """Only while a response comes."""
        self._begin()

    def begin(self) -> None:
        """Makes ready for the next response."""
        if self.parser is not None and self.complete and self.keep_alive:
            self._parsers.give_back(self.parser)
        self.parser = None
        self._begin()

    def feed(self, data: bytes) -> None:
        """Takes the next bytes. Raises: FramingError."""
        parser, parsers = self.parser, self._parsers
        if parser is None:
            parser = self.parser = parsers.take()
        parsers.framing = self
        parser.feed_data(data)

    def _begin(self) -> None:
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
        self.is_sized = False
        self.is_chunked = False
        """The body of the response at hand comes in chunks of the transfer coding."""
        self.is_interim = False
        self._interim_count = 0

    def begin_after_interim(self) -> None:
        """An interim response has ended: the next one answers the same request."""
        interim_count, head = self._interim_count + 1, self.head
        self._begin()
        self._interim_count, self.head = interim_count, head

    def final_head(self) -> bytes:
        """Status line and headers of the final response, as received; `head` must hold all bytes fed until now."""
        start = 0
        for _ in range(self._interim_count):
            start = self.head.find(b"\r\n\r\n", start) + 4
        return self.head[start : self.head.find(b"\r\n\r\n", start) + 4]

    @property
    def has_interim(self) -> bool:
        """Interim responses (1xx) came before it."""
        return self._interim_count > 0


def _body_kind(content_type: bytes) -> BodyKind:
    media_type = content_type.partition(b";")[0].strip().lower()
    if media_type == b"text/event-stream":
        return BodyKind.EVENT_STREAM
    if media_type == b"application/json" or media_type.endswith(b"+json"):
        return BodyKind.JSON
    return BodyKind.OTHER
