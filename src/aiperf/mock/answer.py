"""An answer as the socket will see it: the writes, the step of the latency model each belongs to, and how it ends.

Owns: that data, response heads, and the short answers (errors, model list). Does not own: how streams and bodies are
put together (`rendering`), the delays in ns (`latency`), sending (`server`). Pure.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from http import HTTPStatus

from aiperf.mock.faults import Fault

AT_ONCE = -1
"""Step of a write that is due when the request is in; step k is due with chunk k."""
EVENT_STREAM = b"text/event-stream; charset=utf-8"
JSON = b"application/json"


class Ending(IntEnum):
    """What becomes of the connection after the last write."""

    KEEP = 0
    CLOSE = 1
    RESET = 2
    HANG = 3
    """Nothing more ever comes."""


@dataclass(slots=True)
class Answer:
    """The writes of one answer. Shared by all requests that ask for the same; only `offsets_ns` is filled later."""

    status: int
    ending: Ending
    fault: str = ""
    tokens: int = 0
    """Tokens in the writes."""
    frames: list[bytes | None] = field(default_factory=list)
    """None: the one that `fill` makes. An empty one sends nothing: it is the instant of the ending."""
    steps: list[int] = field(default_factory=list)
    delays_ns: list[int] = field(default_factory=list)
    fill: Callable[[int, bytes], bytes] | None = None
    """Prompt tokens and the account of writes (may be empty) → the bytes of the frame that reports them."""
    offsets_ns: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    """Due times after the start of the request, by (TTFT, ITL), where these are constant. Filled by `latency`."""

    def add(self, frame: bytes | None, step: int, delay_ns: int = 0) -> None:
        self.frames.append(frame)
        self.steps.append(step)
        self.delays_ns.append(delay_ns)


def plain_answer(status: int, body: bytes, *, fault: Fault | None = None, close: bool = False) -> Answer:
    """A short JSON answer, due at once or after the fault's delay."""
    answer = Answer(status, Ending.CLOSE if close else Ending.KEEP, fault.name if fault else "")
    head = response_head(status, JSON, length=len(body), close=close)
    answer.add(head + body, AT_ONCE, fault.delay_ns if fault else 0)
    return answer


def response_head(
    status: int, content_type: bytes, *, length: int = -1, chunked: bool = False, close: bool = False, extra_kb: int = 0
) -> bytes:
    """Status line and headers. A negative length is not stated."""
    lines = [b"HTTP/1.1 %d %b" % (status, _reason(status)), b"content-type: " + content_type]
    if chunked:
        lines.append(b"transfer-encoding: chunked")
    elif length >= 0:
        lines.append(b"content-length: %d" % length)
    if status == HTTPStatus.UNAUTHORIZED:
        lines.append(b"www-authenticate: Bearer")
    if close:
        lines.append(b"connection: close")
    lines += [b"x-mock-filler-%d: %b" % (i, b"x" * 1000) for i in range(extra_kb)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"
