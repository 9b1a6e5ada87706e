import pytest

from aiperf.metrics.partial import Partial
from aiperf.report.shards import Block
from aiperf.schedule.phases import PhaseKind
from aiperf.service.column_messages import (
    BlockHeader,
    ColumnHeader,
    LineKind,
    NumberedArrivals,
    decode_columns,
    encode_block,
    encode_columns,
)


def test_a_batch_comes_through_as_it_was():
    header = ColumnHeader("record-processor-0", 4, PhaseKind.PROFILING, 0, 17)
    came, partial = decode_columns(encode_columns(header, Partial.empty()))
    assert came == header
    assert isinstance(partial, Partial)


@pytest.mark.parametrize("kind", LineKind)
def test_a_block_comes_through_as_it_was(kind):
    block = Block(7, 3, b"a frame")
    came = decode_columns(encode_block("record-processor-0", 5, kind, block))
    assert came == (BlockHeader("record-processor-0", 5, kind, 7, 3), block)


def test_what_is_neither_is_refused():
    with pytest.raises(ValueError, match="Invalid"):
        decode_columns([b"\x93\xa5other\x00\x01", b""])


def test_all_that_was_announced_has_come():
    arrivals = NumberedArrivals()
    announced = {"a": 2, "b": 0}
    assert arrivals.book("a", 0) == 0
    assert not arrivals.are_over(announced)
    assert arrivals.book("a", 1) == 0
    assert arrivals.are_over(announced)
    assert arrivals.lost_count(announced) == 0


def test_what_was_jumped_over_is_lost_and_not_waited_for():
    arrivals = NumberedArrivals()
    assert [arrivals.book("a", sequence) for sequence in (0, 3)] == [0, 2]
    assert arrivals.are_over({"a": 4})
    assert arrivals.lost_count({"a": 4}) == 2


def test_what_was_announced_and_does_not_come_is_lost():
    arrivals = NumberedArrivals()
    arrivals.book("a", 0)
    assert not arrivals.are_over({"a": 3, "b": 1})
    assert arrivals.lost_count({"a": 3, "b": 1}) == 3


def test_of_a_sender_that_announces_nothing_the_gaps_are_known():
    arrivals = NumberedArrivals()
    arrivals.book("killed", 2)
    assert arrivals.are_over({})
    assert arrivals.lost_count({}) == 2
