import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.api.ranges import Span, Unsatisfiable, accepts_zstd, requested_span

ETAG = '"tag"'


@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=2-5", Span(2, 6)),
        ("bytes=2-", Span(2, 10)),
        ("bytes=2-99", Span(2, 10)),
        ("bytes=-3", Span(7, 10)),
        ("bytes=-99", Span(0, 10)),
        (" Bytes = 2 - 5 ", Span(2, 6)),
    ],
)
def test_one_range_is_a_part(value: str, span: Span) -> None:
    assert requested_span(value, None, ETAG, 10) == span
    assert requested_span(value, ETAG, ETAG, 10) == span


@pytest.mark.parametrize(
    "value",
    [None, "", "bytes=", "bytes=-", "bytes=5-2", "bytes=1-2,4-5", "lines=1-2", "bytes=a-b", f"bytes={'9' * 5000}-"],
)
def test_everything_else_is_the_whole(value: str | None) -> None:
    assert requested_span(value, None, ETAG, 10) is None


def test_a_part_of_something_that_has_changed_is_the_whole() -> None:
    assert requested_span("bytes=2-5", '"older"', ETAG, 10) is None


@pytest.mark.parametrize("value", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_outside_of_the_content_nothing_can_be_sent(value: str) -> None:
    with pytest.raises(Unsatisfiable):
        requested_span(value, None, ETAG, 10)


def test_of_nothing_there_is_no_part() -> None:
    for value in ("bytes=0-", "bytes=-1"):
        with pytest.raises(Unsatisfiable):
            requested_span(value, None, ETAG, 0)


@given(st.text(), st.integers(0, 100))
def test_no_header_breaks_it_and_no_span_leaves_the_content(value: str, length: int) -> None:
    try:
        span = requested_span(f"bytes={value}", None, ETAG, length)
    except Unsatisfiable:
        return
    assert span is None or 0 <= span.start < span.stop <= length


@given(st.integers(1, 1000), st.data())
def test_resumed_parts_make_the_whole(length: int, data: st.DataObject) -> None:
    content = bytes(index % 251 for index in range(length))
    cut = data.draw(st.integers(0, length - 1))
    span = requested_span(f"bytes={cut}-", ETAG, ETAG, length)
    assert span is not None
    assert content[:cut] + content[span.start : span.stop] == content


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        (None, False),
        ("gzip", False),
        ("zstd", True),
        ("gzip, ZSTD;q=0.5", True),
        ("zstd;q=0", False),
        ("zstd; q=0.000", False),
        ("identity, zstdx", False),
    ],
)
def test_zstd_is_sent_to_who_accepts_it(value: str | None, accepted: bool) -> None:
    assert accepts_zstd(value) is accepted
