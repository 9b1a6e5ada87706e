import pytest

from aiperf.endpoint.exchange import Exchange
from aiperf.record.facts import EXCHANGE_FIELDS
from aiperf.record.slices import SliceWriter, read_slice


def exchange(handle: int) -> Exchange:
    """An exchange whose every number is another."""
    row = Exchange(
        handle, credit_index=0, turn_index=0, phase=0, entry_index=0, url_index=0, due_ns=0, dispatched_ns=0,
        rearm_delay_ns=0, head=b"", body=b"",
    )  # fmt: skip
    for number, name in enumerate(EXCHANGE_FIELDS):
        if name != "worker_index":
            setattr(row, name, 1000 * handle + number)
    return row


def test_slice_gives_back_what_went_in() -> None:
    writer, rows = SliceWriter(9), [exchange(1), exchange(2)]
    rows[1].error_text, rows[1].response_head = "why", b"HTTP/1.1 500\r\n\r\n"
    writer.on_head(rows[0])
    writer.on_read(rows[0], 500, 400, b"abc")
    writer.on_read(rows[1], 600, 500, b"de")
    for row in rows:
        writer.on_end(row)
    part = read_slice(writer.take(77) or [])
    assert (part.header.worker_index, part.header.sequence, part.header.flushed_ns) == (9, 0, 77)
    assert part.heads.tolist() == [[1, rows[0].http_status, rows[0].body_kind]]
    assert part.reads.tolist() == [[1, 500, 400, 3], [2, 600, 500, 2]]
    assert bytes(part.blob) == b"abcde"
    assert part.header.texts == [(2, "why")]
    assert part.header.response_heads == [(2, b"HTTP/1.1 500\r\n\r\n")]


def test_ends_stand_in_the_order_of_the_facts() -> None:
    writer, row = SliceWriter(9), exchange(1)
    writer.on_end(row)
    handle, *values = read_slice(writer.take(0) or []).ends[0].tolist()
    expected = [9 if name == "worker_index" else getattr(row, name) for name in EXCHANGE_FIELDS]
    assert (handle, values) == (1, expected)


def test_slices_are_numbered_and_start_empty() -> None:
    writer = SliceWriter(0)
    assert writer.take(0) is None
    for sequence in range(3):
        writer.on_end(exchange(sequence))
        part = read_slice(writer.take(0) or [])
        assert part.header.sequence == sequence
        assert part.ends[:, 0].tolist() == [sequence]
        assert writer.size_bytes == 0
    assert writer.take(0) is None
    assert writer.sequence == 3


@pytest.mark.parametrize("frame", range(4))
def test_frame_cut_short_is_refused(frame: int) -> None:
    writer, row = SliceWriter(0), exchange(1)
    writer.on_head(row)
    writer.on_read(row, 1, 0, b"abc")
    writer.on_end(row)
    frames = writer.take(0) or []
    frames[frame] = frames[frame][:-1]
    with pytest.raises(ValueError, match=r"."):
        read_slice(frames)
