"""Slots over workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.schedule.shares import even_shares, fewest_workers

limits = st.lists(st.integers(0, 50), max_size=12)


@pytest.mark.parametrize(
    ("slots", "slots_max", "shares"),
    [
        (10, [9, 9, 9], [4, 3, 3]),
        (10, [2, 9, 9], [2, 4, 4]),
        (11, [2, 9, 9], [2, 5, 4]),
        (2, [9, 9, 9], [1, 1, 0]),
        (99, [1, 2, 3], [1, 2, 3]),
        (0, [5], [0]),
        (5, [], []),
        (5, [0, 3], [0, 3]),
    ],
)
def test_slots_are_split_evenly_within_limits(slots, slots_max, shares):
    assert even_shares(slots, slots_max) == shares


@given(st.integers(0, 300), limits)
def test_no_slot_is_lost_and_no_limit_passed(slots, slots_max):
    shares = even_shares(slots, slots_max)
    assert sum(shares) == min(slots, sum(slots_max))
    assert all(0 <= share <= limit for share, limit in zip(shares, slots_max, strict=True))


@given(st.integers(0, 300), limits)
def test_who_has_less_than_another_is_full(slots, slots_max):
    shares = even_shares(slots, slots_max)
    for share, limit in zip(shares, slots_max, strict=True):
        assert share == limit or share >= max(shares) - 1


@given(st.integers(1, 300), st.lists(st.integers(1, 50), min_size=1, max_size=12))
def test_a_cap_takes_the_fewest_workers_that_carry_it(cap, slots_max):
    chosen = fewest_workers(cap, slots_max)
    carried = sum(slots_max[position] for position in chosen)
    assert carried >= cap or len(chosen) == len(slots_max)
    assert sum(sorted(slots_max, reverse=True)[: len(chosen) - 1]) < cap, "one less would not do"
    assert chosen == sorted(set(chosen))


def test_among_equals_the_first_are_chosen():
    assert fewest_workers(10, [5, 5, 5, 5]) == [0, 1]
