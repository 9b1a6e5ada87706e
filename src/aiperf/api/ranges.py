"""Which bytes a request asks for.

Owns: reading `Range`, `If-Range` and `Accept-Encoding`. Does not own: files, answers. Header values in, a decision out.
"""

import re
from typing import NamedTuple

_ONE_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE)
_ZERO_WEIGHT = re.compile(r"q\s*=\s*0(\.0*)?\s*")


class Span(NamedTuple):
    """The bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int


class Unsatisfiable(Exception):  # noqa: N818 (the field's word for status 416)
    """The range lies outside of the content."""


def requested_span(range_value: str | None, if_range: str | None, etag: str, length: int) -> Span | None:
    """The part asked for; None for the whole.

    A range that is not understood, several ranges, or a part of content that has changed since (`If-Range`) mean the
    whole, as the specification allows. Raises: Unsatisfiable. Source: RFC 9110, 13.1.5 and 14.2.
    """
    if range_value is None or (if_range is not None and if_range.strip() != etag):
        return None
    found = _ONE_RANGE.fullmatch(range_value)
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        suffix = int(last)
        if not suffix or not length:
            raise Unsatisfiable
        return Span(max(0, length - suffix), length)
    if last and int(last) < int(first):
        return None
    if int(first) >= length:
        raise Unsatisfiable
    return Span(int(first), min(int(last) + 1, length) if last else length)


def accepts_zstd(accept_encoding: str | None) -> bool:
    """Whether the content may be sent compressed. Source: RFC 9110, 12.5.3."""
    for choice in (accept_encoding or "").split(","):
        coding, _, weight = choice.partition(";")
        if coding.strip().lower() == "zstd":
            return not _ZERO_WEIGHT.fullmatch(weight.strip())
    return False
