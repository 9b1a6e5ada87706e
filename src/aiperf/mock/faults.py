"""The ways in which the mock server can misbehave, and the one spelling of them on flags and in request headers.

Owns: names, parameters and grammar of faults. Does not own: what they look like on the wire (`answer`), nor when a
fault with a rate strikes (`server`).

Grammar: `NAME[;PARAMETER=NUMBER]...`, several joined by commas: `crlf, stall;after=3;seconds=2`.
"""

from dataclasses import dataclass
from functools import lru_cache

from aiperf.units import ns_from_s


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour. A parameter that the fault does not know keeps its default and is never looked at."""

    name: str
    after: int = 1
    """How many chunks are sent first."""
    seconds: float = 0.0
    """Units: s. 0 for `stall` means forever."""
    status: int = 500
    kb: int = 64
    rate: float = 1.0
    """The fraction of requests it strikes."""

    @property
    def delay_ns(self) -> int:
        return ns_from_s(self.seconds)


Faults = tuple[Fault, ...]

KNOWN: dict[str, tuple[tuple[str, ...], str]] = {
    "error": (("status", "seconds"), "an HTTP error with a JSON body, SECONDS after the request"),
    "reset-mid-stream": (("after",), "TCP reset when chunk AFTER would be due"),
    "close-mid-stream": (
        ("after",),
        "a clean close (FIN) when chunk AFTER would be due; after=0: no response byte at all",
    ),
    "stall": (("after", "seconds"), "sends nothing for SECONDS before chunk AFTER; without seconds: for ever"),
    "malformed-json": (("after",), "the event of chunk AFTER is broken JSON"),
    "not-sse": (("after",), "chunk AFTER is text that is no server-sent event"),
    "error-event": (("after",), "an error object inside the 200 stream in place of chunk AFTER; then [DONE]"),
    "slow-headers": (("seconds",), "the response head comes byte by byte, spread over SECONDS (default 1)"),
    "truncated-body": ((), "a content-length larger than what is sent, then a close"),
    "crlf": ((), "events framed by CR LF"),
    "cr": ((), "events framed by CR alone"),
    "no-done": ((), "a stream without [DONE]"),
    "no-finish": ((), "a stream without a finish reason"),
    "empty": ((), "a well-formed answer without content"),
    "continue": ((), "an unasked-for 100 before the response"),
    "early-hints": ((), "a 103 before the response"),
    "huge-headers": (("kb",), "KB kilobytes of extra response headers"),
    "until-close": ((), "a body that only the end of the connection ends"),
    "chunked-body": ((), "chunked transfer coding for the non-streamed body too"),
    "connection-close": ((), "`connection: close`, and the connection is closed"),
}
"""Name → (parameters, what it does). Every fault also takes `rate`."""

STRIKES_STREAM = ("reset-mid-stream", "close-mid-stream", "stall", "malformed-json", "not-sse", "error-event")
"""Faults at a place in the stream: at most one of them makes sense for a request, the first one counts."""


@lru_cache(maxsize=4096)
def parse_faults(text: str) -> Faults:
    """The faults that the text names, in its order. Raises: ValueError with a one-line reason."""
    return tuple(_parse_one(part.strip()) for part in text.split(",") if part.strip())


def _parse_one(text: str) -> Fault:
    name, *settings = (part.strip() for part in text.split(";"))
    if name not in KNOWN:
        raise ValueError(f"unknown fault {name!r}; known are {', '.join(KNOWN)}")
    allowed = (*KNOWN[name][0], "rate")
    values: dict[str, int | float] = {}
    for setting in settings:
        key, _, number = setting.partition("=")
        if key not in allowed:
            raise ValueError(f"fault {name!r} has no parameter {key!r}; it takes {', '.join(allowed)}")
        try:
            values[key] = float(number) if key in ("seconds", "rate") else int(number)
        except ValueError:
            raise ValueError(f"fault {name!r}: {key} must be a number, not {number!r}") from None
        if values[key] < 0:
            raise ValueError(f"fault {name!r}: {key} must not be negative")
    fault = Fault(name, **values)  # type: ignore[arg-type]  # the table of parameters says which of them are whole
    if fault.rate > 1:
        raise ValueError(f"fault {name!r}: rate is a fraction between 0 and 1")
    if name == "error" and not 400 <= fault.status <= 599:
        raise ValueError("fault 'error': status must be between 400 and 599")
    return fault


def find(faults: Faults, *names: str) -> Fault | None:
    """The first of the faults that has one of these names."""
    return next((fault for fault in faults if fault.name in names), None)


def describe(faults: Faults) -> str:
    """The names, as the truth log keeps them."""
    return ",".join(fault.name for fault in faults)
