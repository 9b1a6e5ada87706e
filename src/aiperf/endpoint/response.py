"""What one read adds to a response: status and headers once, body bytes every time.

Owns: filling in an exchange from framed bytes, the bounds on heads and on bodies of errors, telling the sink. Does not
own: reading and stamping, the end of the exchange (`client`).
"""

from aiperf.endpoint.connection import Connection
from aiperf.endpoint.counters import ClientCounters
from aiperf.endpoint.exchange import BodyKind, ErrorKind, Exchange, Sink
from aiperf.endpoint.failures import Failure
from aiperf.endpoint.framing import Framing, FramingError, Parsers
from aiperf.endpoint.known_heads import KnownHeads
from aiperf.endpoint.segments import came_in_one_segment
from aiperf.endpoint.settings import ClientSettings

RESPONSE_HEAD_BYTES_MAX = 16 << 10
"""Of a response head that is kept."""

WIDTH_ASKED_NS = 20_000
"""An interval narrower than this is not worth the question whether it is none."""

EVENT_END = b"\n\n"
"""Within a read: it holds several events."""


class ResponseIntake:
    """Takes in the responses of all connections of a client."""

    __slots__ = ("_counters", "_known", "_parsers", "_parts", "_settings", "_sink")

    def __init__(self, sink: Sink, settings: ClientSettings, counters: ClientCounters) -> None:
        self._sink = sink
        self._settings = settings
        self._counters = counters
        self._parts: list[bytes] = []
        """Body bytes of the read at hand, chunk by chunk; empty between calls, hence shared by all connections."""
        self._parsers = Parsers(self._parts)
        self._known = None if settings.keep_response_heads else KnownHeads(self._parts)

    def framing(self) -> Framing:
        """The framing of a new connection."""
        return Framing(self._parsers)

    def take(self, connection: Connection, exchange: Exchange, data: bytes) -> Failure | None:
        """Takes one read in. Says why if these bytes are no response; else `connection.framing` says if it is complete.

        The sink, told within, may have ended the exchange.
        """
        framing = connection.framing
        failure = None
        if framing.head_complete:
            assert framing.parser is not None  # it has read the head
            self._parsers.framing = framing  # `framing.feed`, without the call: 40 ns a chunk
            try:
                framing.parser.feed_data(data)
            except FramingError as error:
                failure = _broken_off(error, framing)
        else:
            failure = self._take_beginning(connection, framing, exchange, data)
        parts = self._parts
        if parts:
            body = parts.pop() if len(parts) == 1 else self._joined_body()
            if exchange.error_kind:
                body = body[: connection.error_bytes_left]
                connection.error_bytes_left -= len(body)
            stamp_ns, after_ns = connection.stamp_ns, connection.after_ns
            if connection.is_instant and stamp_ns - after_ns > WIDTH_ASKED_NS and body.find(EVENT_END, 0, -2) >= 0:
                self._counters.asked_read_count += 1
                if came_in_one_segment(connection):
                    after_ns = stamp_ns
            if body:
                self._sink.on_read(exchange, stamp_ns, after_ns, body)
        return failure

    def _take_beginning(
        self, connection: Connection, framing: Framing, exchange: Exchange, data: bytes
    ) -> Failure | None:
        """Takes in a read that begins before the body does."""
        failure = None
        if exchange.first_byte_ns < 0:
            exchange.first_byte_ns = connection.stamp_ns
            exchange.let_go()
        is_first, known = not framing.head, self._known
        if is_first and known is not None and known.read(framing, data):
            self._take_head(connection, exchange)
            return None
        framing.head += data
        try:
            framing.feed(data)
        except FramingError as error:
            failure = _broken_off(error, framing)
        else:
            if is_first and framing.complete and known is not None:
                known.learn(framing, data)
        if framing.head_complete:
            self._take_head(connection, exchange)
        elif len(framing.head) > self._settings.max_head_bytes:
            limit = self._settings.max_head_bytes
            failure = Failure(ErrorKind.PROTOCOL, f"the response's head is longer than {limit} bytes")
        return failure

    def _take_head(self, connection: Connection, exchange: Exchange) -> None:
        framing = connection.framing
        exchange.http_status = status = framing.status
        exchange.body_kind = body_kind = framing.body_kind
        if body_kind is BodyKind.EVENT_STREAM:
            self._counters.event_stream_count += 1
        is_success = 200 <= status < 300
        if not is_success or self._settings.keep_response_heads:
            exchange.response_head = framing.final_head()[:RESPONSE_HEAD_BYTES_MAX]
        if not is_success:
            exchange.error_kind = ErrorKind.HTTP_STATUS
            exchange.error_text = _status_text(exchange.response_head, status)
            connection.error_bytes_left = self._settings.max_error_body_bytes
        framing.head = b""
        self._sink.on_head(exchange)

    def _joined_body(self) -> bytes:
        self._counters.coalesced_read_count += 1
        body = b"".join(self._parts)
        self._parts.clear()
        return body


def _broken_off(error: FramingError, framing: Framing) -> Failure | None:
    """What it means that the parser stopped."""
    if framing.complete:
        framing.keep_alive = False  # bytes beyond the end: whose answer they are, nobody can say
        return None
    return _not_http(error, framing)


def _not_http(error: FramingError, framing: Framing) -> Failure:
    if not framing.head_complete and framing.head.startswith(b"\x15\x03"):
        return Failure(ErrorKind.PROTOCOL, "the server answers in TLS: is it https:// rather than http://?")
    return Failure(ErrorKind.PROTOCOL, f"not an HTTP/1.1 response: {error.__context__ or error}")


def _status_text(head: bytes, status: int) -> str:
    reason = head.split(b"\r\n", 1)[0].split(b" ", 2)[2:]
    text = f"HTTP {status} {reason[0].decode('latin-1')[:200] if reason else ''}".rstrip()
    return f"{text} (redirects are not followed)" if 300 <= status < 400 else text
