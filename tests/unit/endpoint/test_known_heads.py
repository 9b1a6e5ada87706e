"""Known heads: a response that is read by them is what the parser would have made of it, and the next one, too."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from aiperf.endpoint import known_heads
from aiperf.endpoint.framing import Framing, FramingError, Parsers
from aiperf.endpoint.known_heads import KnownHeads, whole_chunks

SIZED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
ONE, LAST = b"2\r\nok\r\n", b"0\r\n\r\n"
READS = [
    *(SIZED + body for body in (b"hello", b"other", b"hell", b"hello!", b"")),
    CLOSING + b"ok",
    *(
        CHUNKED + ONE + rest
        for rest in (LAST, b"3\r\nyes\r\n" + LAST, b"", b"0\r\nServer-Timing: 7\r\n\r\n", LAST + b"HTTP")
    ),
    *(CHUNKED + odd + LAST for odd in (b"2;x=1\r\nok\r\n", b"+2\r\nok\r\n", b"0x2\r\nok\r\n", b"2\r\nokay\r\n", b"")),
    CHUNKED + b"A\r\n0123456789\r\n" + LAST,
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED + b"hello",
    b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno",
    b"no HTTP",
    b"\r\n\r\n",
]

Told = tuple[bool, bool, int, int, bool, bytes]


def told(framing: Framing, parts: list[bytes]) -> Told:
    body = b"".join(parts)
    parts.clear()
    return framing.head_complete, framing.complete, framing.status, framing.body_kind, framing.keep_alive, body


def parsed(data: bytes) -> Told | str:
    """What the parser makes of it alone."""
    parts: list[bytes] = []
    framing = Framing(Parsers(parts))
    try:
        framing.feed(data)
    except FramingError:
        return "refused"
    return told(framing, parts)


@given(reads=st.lists(st.sampled_from(READS), max_size=12))
def test_a_response_is_read_by_its_head_as_it_is_parsed(reads: list[bytes]) -> None:
    parts: list[bytes] = []
    known = KnownHeads(parts)
    framing = Framing(Parsers(parts))
    for data in reads:
        if known.read(framing, data):
            assert told(framing, parts) == parsed(data)
            framing.begin()
            continue
        assert not parts
        try:
            framing.feed(data)
        except FramingError:
            assert parsed(data) == "refused"
            is_done = False
        else:
            if framing.complete:
                known.learn(framing, data)
            is_done = framing.keep_alive
            assert told(framing, parts) == parsed(data)
        if is_done:
            framing.begin()
        else:
            parts.clear()
            framing = Framing(Parsers(parts))


def test_a_head_is_known_when_it_has_come_once() -> None:
    parts: list[bytes] = []
    known, framing = KnownHeads(parts), Framing(Parsers(parts))
    for head, body in ((SIZED, b"hello"), (CHUNKED, b"2\r\nok\r\n0\r\n\r\n")):
        assert not known.read(framing, head + body)
        framing.feed(head + body)
        known.learn(framing, head + body)
        framing.begin()
        assert known.read(framing, head + body)
        framing.begin()
    assert parts == [b"hello", b"hello", b"ok", b"ok"]


def test_a_server_that_never_repeats_a_head_is_given_up_on() -> None:
    parts: list[bytes] = []
    known, framing = KnownHeads(parts), Framing(Parsers(parts))
    for number in range(2 * known_heads.PATIENCE):
        data = b"HTTP/1.1 200 OK\r\nX-Request-Id: %d\r\nContent-Length: 2\r\n\r\nok" % number
        assert not known.read(framing, data)
        framing.feed(data)
        known.learn(framing, data)
        framing.begin()
    assert len(known._heads) <= known_heads.KNOWN_MAX
    assert not known.read(framing, data)


@pytest.mark.parametrize(
    "body", [b"", b"5", b"5\r\nhello", b"5\r\nhello\r\n", b"0\r\n", b"0\r\n\r", b"-1\r\n\r\n", b" 0\r\n\r\n"]
)
def test_chunks_that_are_not_whole_are_none(body: bytes) -> None:
    assert whole_chunks(body, 0) is None
