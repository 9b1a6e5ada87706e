"""Framing: any split of the bytes gives the same response."""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.endpoint.exchange import BodyKind
from aiperf.endpoint.framing import Framing, FramingError, Parsers

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

RESPONSES = {
    # name: (bytes, status, body, complete without end of file, keep-alive)
    "sized": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", True, True),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b"", True, True),
    "chunked": (CHUNKED + b"2;ext=1\r\nab\r\nA\r\n0123456789\r\n0\r\n\r\n", 200, b"ab0123456789", True, True),
    "trailers": (CHUNKED + b"1\r\na\r\n0\r\nServer-Timing: 7\r\nX: y\r\n\r\n", 200, b"a", True, True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True, True),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", 304, b"", True, True),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True, True),
    "close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True, False),
    "http/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True, False),
    "http/1.0 kept": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
                      200, b"ok", True, True),
    "until the end": (b"HTTP/1.1 200 OK\r\nX-Empty:\r\n\r\nabc", 200, b"abc", False, False),
    "not chunked last": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc", 200, b"abc", False, False),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\na", 200, b"a", True, True),
    "mixed case": (b"HTTP/1.1 500 Oops\r\ncOnTeNt-LeNgTh: 1\r\n\r\na", 500, b"a", True, True),
}  # fmt: skip


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


@pytest.mark.parametrize("name", RESPONSES)
@given(cuts=st.lists(st.integers(0, 1000), max_size=12))
def test_any_split_gives_the_same_response(name, cuts):
    data, status, body, complete, keep_alive = RESPONSES[name]
    parts: list[bytes] = []
    framing = Framing(Parsers(parts))
    for piece in split(data, cuts):
        assert not framing.complete
        framing.feed(piece)
    assert framing.head_complete
    assert framing.status == status
    assert b"".join(parts) == body
    assert (framing.complete, framing.keep_alive) == (complete, keep_alive)
    assert framing.ends_at_eof == (not complete)


@given(names=st.lists(st.sampled_from([name for name, case in RESPONSES.items() if case[4]]), min_size=1, max_size=6))
def test_one_framing_serves_response_after_response(names):
    parts: list[bytes] = []
    framing = Framing(Parsers(parts))
    for name in names:
        data, status, body, _, _ = RESPONSES[name]
        framing.feed(data)
        assert (framing.complete, framing.status, b"".join(parts)) == (True, status, body)
        parts.clear()
        framing.begin()


@pytest.mark.parametrize("surplus", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", b"garbage", b"\0"])
def test_bytes_after_the_end_stop_the_parser(surplus):
    parts: list[bytes] = []
    framing = Framing(Parsers(parts))
    with pytest.raises(FramingError):
        framing.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + surplus)
    assert framing.complete
    assert parts == [b"ok"]


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        CHUNKED + b"zz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nabc",
    ],
)
def test_malformed_bytes_are_refused(data):
    framing = Framing(Parsers([]))
    with pytest.raises(FramingError):
        framing.feed(data)
    assert not framing.complete


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        (b"application/json", BodyKind.JSON),
        (b"application/json; charset=utf-8", BodyKind.JSON),
        (b"application/problem+json", BodyKind.JSON),
        (b"Text/Event-Stream;charset=UTF-8", BodyKind.EVENT_STREAM),
        (b"text/html", BodyKind.OTHER),
    ],
)
def test_content_type_says_what_the_body_is(content_type, kind):
    framing = Framing(Parsers([]))
    framing.feed(b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n\r\n" % content_type)
    assert framing.body_kind == kind


def test_body_kind_of_the_response_before_is_forgotten():
    framing = Framing(Parsers([]))
    framing.feed(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n")
    framing.begin()
    framing.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert framing.body_kind == BodyKind.OTHER


@given(cut=st.integers(0, 200))
def test_final_head_leaves_interim_heads_and_body_out(cut):
    final = b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\n"
    data = b"HTTP/1.1 100 Continue\r\n\r\n" + final + b"\r\n\r\n"
    framing = Framing(Parsers([]))
    for piece in split(data, [cut]):
        if not framing.head_complete:
            framing.head += piece
        framing.feed(piece)
    assert framing.final_head() == final


def test_a_parser_is_held_only_while_a_response_comes():
    framing = Framing(Parsers([]))
    assert framing.parser is None
    framing.feed(CHUNKED + b"1\r\na\r\n")
    assert framing.parser is not None
    framing.feed(b"0\r\n\r\n")
    framing.begin()
    assert framing.parser is None


def test_responses_that_take_turns_share_a_parser():
    parts: list[bytes] = []
    parsers = Parsers(parts)
    used = set()
    for name in ("chunked", "interim", "sized", "empty", "trailers", "http/1.0 kept"):
        framing = Framing(parsers)
        data, status, body, *_ = RESPONSES[name]
        parts.clear()
        framing.feed(data)
        used.add(id(framing.parser))
        assert (framing.status, b"".join(parts), framing.complete) == (status, body, True)
        framing.begin()
    assert len(used) == 1


def test_a_parser_that_stopped_in_the_middle_serves_nobody_else():
    parts: list[bytes] = []
    parsers = Parsers(parts)
    broken, cut, closing = Framing(parsers), Framing(parsers), Framing(parsers)
    with pytest.raises(FramingError):
        broken.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!")
    broken.keep_alive = False  # as the client does
    cut.feed(CHUNKED + b"5\r\nab")
    closing.feed(RESPONSES["close"][0])
    for framing in (broken, cut, closing):
        framing.begin()
    parts.clear()
    other = Framing(parsers)
    other.feed(CHUNKED + b"2\r\nok\r\n0\r\n\r\n")
    assert (other.complete, parts) == (True, [b"ok"])


@given(turns=st.lists(st.integers(0, 2), max_size=60))
def test_responses_that_come_interleaved_do_not_mix(turns):
    parts: list[bytes] = []
    parsers = Parsers(parts)
    names = ["chunked", "interim", "sized"]
    framings = [Framing(parsers) for _ in names]
    bytes_left = [RESPONSES[name][0] for name in names]
    bodies = [b""] * len(names)
    for turn in [*turns, *(turn for turn, data in enumerate(bytes_left) for _ in data)]:
        if bytes_left[turn]:
            framings[turn].feed(bytes_left[turn][:3])
            bytes_left[turn] = bytes_left[turn][3:]
            bodies[turn] += b"".join(parts)
            parts.clear()
    assert bodies == [RESPONSES[name][2] for name in names]
    assert all(framing.complete and framing.keep_alive for framing in framings)


def test_framings_are_small_while_they_wait_and_while_a_response_comes():
    count = 1000
    parsers = Parsers([])
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        framings = [Framing(parsers) for _ in range(count)]
        waiting_bytes = (tracemalloc.get_traced_memory()[0] - before) / count
        for framing in framings:
            framing.feed(CHUNKED)
        coming_bytes = (tracemalloc.get_traced_memory()[0] - before) / count
        for framing in framings:
            framing.feed(b"0\r\n\r\n")
            framing.begin()
        idle_bytes = (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()
    # Measured: 145, 673 and 179 bytes.
    assert waiting_bytes < 300
    assert coming_bytes < 900
    assert idle_bytes < 350
