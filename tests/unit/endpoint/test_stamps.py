"""Stamps that cannot be are refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.clock import WallError
from aiperf.endpoint.stamps import TOLERANCE_NS, placed_ns, read_timespec, reading_with

FLOOR_NS, NOW_NS = 10_000_000, 20_000_000


@pytest.mark.parametrize(
    ("stamp_ns", "placed", "replaced"),
    [
        (15_000_000, 15_000_000, False),
        (FLOOR_NS, FLOOR_NS, False),
        (NOW_NS, NOW_NS, False),
        (NOW_NS + 1, NOW_NS, False),  # noise of the conversion
        (NOW_NS + TOLERANCE_NS + 1, NOW_NS, True),  # the wall clock was set forward
        (FLOOR_NS - TOLERANCE_NS, FLOOR_NS, False),
        (FLOOR_NS - TOLERANCE_NS - 1, NOW_NS, True),  # set back, or a segment out of order
        (0, NOW_NS, True),
    ],
)
def test_stamp_is_placed(stamp_ns, placed, replaced):
    assert placed_ns(stamp_ns, FLOOR_NS, NOW_NS) == (placed, replaced)


@given(stamp_ns=st.integers(), floor_ns=st.integers(), width_ns=st.integers(0))
def test_placed_stamp_lies_between_floor_and_now(stamp_ns, floor_ns, width_ns):
    placed, _ = placed_ns(stamp_ns, floor_ns, floor_ns + width_ns)
    assert floor_ns <= placed <= floor_ns + width_ns


def test_a_tests_wrong_clock_moves_stamps_by_its_error_when_they_were_taken():
    read = reading_with(WallError(3_600_000_000_000, ((200_000_000_000, -2_500_000_000),)))
    before, after = struct.pack("@qq", 199, 999_999_999), struct.pack("@qq", 200, 0)
    assert (read_timespec(before), read(before)) == ((199, 999_999_999), (3_799, 999_999_999))
    assert (read_timespec(after), read(after)) == ((200, 0), (3_797, 500_000_000))
