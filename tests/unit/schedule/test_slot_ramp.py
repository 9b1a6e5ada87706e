"""For how long slots are open."""

import pytest

from aiperf.schedule.slot_ramp import SlotRamp


@pytest.mark.parametrize(
    ("first", "since", "until", "open_ns"),
    [
        (0, 0, 10, 0),
        (0, 0, 20, 3 * 10),
        (1, 12, 15, 2 * 3),
        (3, 10, 20, 0),
        (0, 15, 15, 0),
        (0, 15, 12, 0),
    ],
    ids=["not begun", "all", "some", "every slot is taken", "no time", "backwards"],
)
def test_without_a_ramp_all_slots_open_at_the_start(first, since, until, open_ns):
    assert SlotRamp(10, 0, 3).open_slot_ns(first, since, until) == open_ns


@pytest.mark.parametrize("first", range(5))
@pytest.mark.parametrize("since", [0, 100, 105, 110, 125, 140, 170])
@pytest.mark.parametrize("until", [100, 101, 110, 139, 140, 200])
def test_in_a_ramp_each_slot_counts_from_when_it_opens(first, since, until):
    ramp = SlotRamp(100, 40, 4)
    each = [max(0, until - max(since, ramp.opens_ns(slot))) for slot in range(first, 4)]
    assert ramp.open_slot_ns(first, since, until) == sum(each)


def test_spans_add_up():
    ramp = SlotRamp(100, 40, 4)
    assert sum(ramp.open_slot_ns(1, at, at + 7) for at in range(90, 195, 7)) == ramp.open_slot_ns(1, 90, 195)
