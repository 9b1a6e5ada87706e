from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from aiperf.endpoint import sse
from aiperf.endpoint.sse import Event, SseParser


def reference_events(stream: bytes) -> list[bytes | Event]:
    """The standard's algorithm (WHATWG HTML 9.2.5, 9.2.6), line by line over the whole stream."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    *lines, _unfinished = text.split(b"\n")
    events: list[bytes | Event] = []
    data, event_type = b"", b""
    for line in lines:
        if line == b"":
            if data != b"":
                data = data[:-1] if data.endswith(b"\n") else data
                plain = event_type in (b"", b"message")
                events.append(data if plain else Event(event_type.decode(errors="replace"), data))
            data, event_type = b"", b""
        elif line.startswith(b":"):
            pass
        else:
            name, value = line, b""
            if b":" in line:
                name, value = line.split(b":", 1)
                value = value[1:] if value.startswith(b" ") else value
            if name == b"data":
                data += value + b"\n"
            elif name == b"event":
                event_type = value
    return events


def events_of(*reads: bytes) -> list[bytes | Event]:
    parser = SseParser()
    return [event for read in reads for event in parser.feed(read)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b'data: {"a":1}\n\n', [b'{"a":1}']),
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\r\ndata: b\r\n\r\n", [b"a\nb"]),
        (b"data: a\rdata: b\n\n", [b"a\nb"]),
        (b"data\n\n", [b""]),
        (b"data\ndata\n\n", [b"\n"]),
        (b": a comment\n\n: another\ndata: a\n\n", [b"a"]),
        (b"id: 7\nretry: 100\ndata: a\n\n", [b"a"]),
        (b"event: error\ndata: a\n\n", [Event("error", b"a")]),
        (b"event: message\ndata: a\n\n", [b"a"]),
        (b"event: error\n\ndata: a\n\n", [b"a"]),
        (b"event: error\ndata: a\n\ndata: b\n\n", [Event("error", b"a"), b"b"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"]),
        (b"\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b"data: a\n", []),
        (b"datum: a\n\n", []),
        (b" data: a\n\n", []),
        (b"data: a:b: c\n\n", [b"a:b: c"]),
        (b"", []),
    ],
)
def test_stream_gives_events(stream: bytes, events: list[bytes | Event]) -> None:
    assert events_of(stream) == events
    assert events_of(*(bytes([byte]) for byte in stream)) == events
    assert reference_events(stream) == events


SCRAPS = st.sampled_from(
    [
        *(b"data", b"data:", b"data: ", b"event: error", b"event: message", b"event", b"id: 1", b": ping", b":", b" "),
        *(b"data: a\n\n", b"data: b\r\n", b"data: c\r", b"data: d\n"),
        *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b'{"a":1}', b"[DONE]", b"\xef\xbb\xbf", b"\xef", b"\xff", b"x"),
    ]
)


@given(st.lists(SCRAPS, max_size=30), st.data())
def test_any_split_gives_the_events_of_the_standard(scraps: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(scraps)
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8))), len(stream)]
    events = reference_events(stream)
    assert events_of(*scraps) == events
    assert events_of(*(bytes([byte]) for byte in stream)) == events
    assert events_of(*(stream[start:stop] for start, stop in pairwise(edges))) == events


def test_byte_order_mark_is_one_at_the_very_start_only() -> None:
    assert events_of(b"data: a\n\n", b"\xef\xbb\xbfdata: b\n\n", b"data: c\n\n") == [b"a", b"c"]


def test_pending_is_the_unfinished_event() -> None:
    parser = SseParser()
    assert parser.feed(b"data: a\n\ndata: b") == [b"a"]
    assert parser.pending == b"data: b"
    assert parser.feed(b"c") == []
    assert parser.pending == b"data: bc"
    assert parser.feed(b"\n\n") == [b"bc"]
    assert parser.pending == b""


def test_event_completed_by_cr_does_not_wait_for_the_next_byte() -> None:
    parser = SseParser()
    assert parser.feed(b"data: a\r\n\r") == [b"a"]
    assert parser.feed(b"\ndata: b\n\n") == [b"b"]


@pytest.mark.parametrize("read_bytes", [1, 7, 1000])
@pytest.mark.parametrize("shape", [b"data: %b\n\n", b"data: %b\r\n\r\n", b"event: x\ndata: %b\n\n"])
def test_event_of_the_limit_passes_and_a_longer_one_is_refused(
    shape: bytes, read_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "EVENT_LIMIT_BYTES", 100)
    frame_bytes = len(shape.replace(b"\r", b"")) - len(b"%b\n\n")

    def feed(length: int) -> int:
        stream = shape % (b"x" * length)
        return len(events_of(*(stream[at : at + read_bytes] for at in range(0, len(stream), read_bytes))))

    assert feed(100 - frame_bytes) == 1
    with pytest.raises(ValueError, match="longer than"):
        feed(101 - frame_bytes)
