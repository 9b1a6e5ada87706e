"""Stamps that cannot be are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.endpoint.stamps import TOLERANCE_NS, placed_ns

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
