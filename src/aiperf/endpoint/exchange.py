"""One HTTP exchange: a request to be sent and what the socket showed of it.

Owns: the mutable row that the worker hands to the HTTP client and the client fills with stamps; the names of outcomes
and errors. Does not own: how it is sent (`client`), what the bytes mean (`sse`, the dialects), where the bytes go (a
`Sink`).

All `_ns` instants are on the run clock; durations say so. -1 stands for "there is none".
"""

from enum import IntEnum
from typing import Protocol


class Outcome(IntEnum):
    """How a request ended. Completed and failed requests are records; the others are only counted by the credit ledger,
    except that cancelled and censored ones leave a row with what was seen until then."""

    COMPLETED = 0
    FAILED = 1
    CANCELLED = 2
    """Cut on purpose by the plan."""
    CENSORED = 3
    """Cut at the end of the grace period or by the user: its latency is known only as a lower bound."""


class ErrorKind(IntEnum):
    """Why a request failed; the lower-case name is what users read (`connect_refused`)."""

    NO_ERROR = 0
    DNS = 1
    CONNECT_REFUSED = 2
    CONNECT_TIMEOUT = 3
    CONNECT_OTHER = 4
    TLS = 5
    RESET = 6
    CLOSED_EARLY = 7
    """The server closed before the response was complete by its framing."""
    TIMEOUT = 8
    PROTOCOL = 9
    """Bytes that are no HTTP/1.1 response."""
    HTTP_STATUS = 10
    MALFORMED_BODY = 11
    """A 200 whose body (or one SSE event) is not what the dialect promises."""
    ERROR_EVENT = 12
    """An error object inside a 200 stream."""
    TRUNCATED_STREAM = 13
    """A stream that ended by its framing without `[DONE]` and without a finish reason."""
    EMPTY_RESPONSE = 14
    """Complete and well-formed, yet without any content."""
    CLIENT_RESOURCE = 15
    """This side ran out of files, ports or memory: never the server's fault."""
    CUT = 16
    """Cancelled or censored by this side."""
    BODY_TOO_LARGE = 17


class BodyKind(IntEnum):
    """What the response's content type promises."""

    OTHER = 0
    JSON = 1
    EVENT_STREAM = 2


class Exchange:
    """One request and its fate. The worker sets the first block, the client the second."""

    __slots__ = (
        "blocked_ns",
        "body",
        "body_kind",
        "connect_ns",
        "connection_reused",
        "credit_index",
        "dispatched_ns",
        "dns_ns",
        "due_ns",
        "end_ns",
        "entry_index",
        "error_kind",
        "error_text",
        "first_byte_ns",
        "handle",
        "head",
        "http_status",
        "outcome",
        "phase",
        "rearm_delay_ns",
        "received_bytes",
        "response_head",
        "retried",
        "send_done_ns",
        "sent_bytes",
        "sent_ns",
        "tls_ns",
        "turn_index",
        "url_index",
    )

    def __init__(
        self,
        handle: int,
        *,
        credit_index: int,
        turn_index: int,
        phase: int,
        entry_index: int,
        url_index: int,
        due_ns: int,
        dispatched_ns: int,
        rearm_delay_ns: int,
        head: bytes,
        body: bytes,
    ) -> None:
        self.handle = handle
        """Unique on its worker; links the slices of one response."""
        self.credit_index = credit_index
        self.turn_index = turn_index
        self.phase = phase
        self.entry_index = entry_index
        self.url_index = url_index
        self.due_ns = due_ns
        self.dispatched_ns = dispatched_ns
        self.rearm_delay_ns = rearm_delay_ns
        self.head = head
        """Request line and headers, closed by the blank line. Empty, as is the body, once it cannot be needed again."""
        self.body = body

        self.outcome = 0
        """`Outcome`, as the socket showed it."""
        self.error_kind = 0
        """`ErrorKind`."""
        self.error_text = ""
        self.http_status = 0
        self.body_kind = 0
        self.response_head = b""
        """Status line and headers as received, at most 16 KiB; kept when asked for or when the status is an error."""
        self.blocked_ns = 0
        self.dns_ns = 0
        self.connect_ns = 0
        self.tls_ns = 0
        self.sent_ns = -1
        self.send_done_ns = -1
        self.first_byte_ns = -1
        self.end_ns = -1
        self.connection_reused = 0
        self.retried = 0
        self.sent_bytes = 0
        self.received_bytes = 0

    def let_go(self) -> None:
        """Frees what was to be sent: it is sent, or lies with the connection, and will not be sent again. Of all that
        an open stream needs this would be the most."""
        self.head = self.body = b""


class Sink(Protocol):
    """Where the HTTP client puts what it sees. Called from the timing path: must not block and must not raise."""

    def on_head(self, exchange: Exchange) -> None:
        """The final (not 1xx) status and headers of a response are known: `http_status`, `body_kind`."""
        ...

    def on_read(self, exchange: Exchange, stamp_ns: int, after_ns: int, data: bytes) -> None:
        """One read brought body bytes (de-chunked). They arrived after `after_ns`, the last of them at `stamp_ns`."""
        ...

    def on_end(self, exchange: Exchange) -> None:
        """The exchange is over, whatever its outcome; every field of it is final. Called exactly once."""
        ...
