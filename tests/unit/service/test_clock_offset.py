"""Offsets from round trips: the truth is always within what is claimed."""

from hypothesis import given
from hypothesis import strategies as st

from aiperf.service.clock_offset import PROBES_MAX, PROBES_MIN, RoundTrip, best_offset, is_settled

delays_ns = st.integers(0, 10**9)


def trip(there_ns: int, back_ns: int, *, offset_ns: int = 0, reply_ns: int = 0, sent_ns: int = 0) -> RoundTrip:
    received_ns = sent_ns + there_ns + offset_ns
    return RoundTrip(sent_ns, received_ns, received_ns + reply_ns, received_ns + reply_ns + back_ns - offset_ns)


def test_equal_ways_give_the_exact_offset():
    assert trip(500, 500, offset_ns=-3_000, reply_ns=70).offset_ns == -3_000


def test_the_time_to_reply_is_no_part_of_the_way():
    assert trip(500, 700, offset_ns=10**15, reply_ns=10**9).under_way_ns == 1_200


def test_the_quickest_round_trip_is_believed():
    trips = [trip(9_000, 100, offset_ns=5), trip(60, 40, offset_ns=5), trip(100, 9_000, offset_ns=5)]
    assert best_offset(trips) == (15, 50)


@given(
    offset_ns=st.integers(-(10**18), 10**18),
    ways=st.lists(st.tuples(delays_ns, delays_ns, delays_ns), min_size=1, max_size=30),
)
def test_the_truth_is_within_the_uncertainty(offset_ns, ways):
    found = best_offset([trip(there, back, offset_ns=offset_ns, reply_ns=reply) for there, back, reply in ways])
    assert abs(found.offset_ns - offset_ns) <= found.uncertainty_ns


def test_few_round_trips_settle_nothing():
    assert not is_settled([])
    assert not is_settled([trip(100, 100)] * (PROBES_MIN - 1))
    assert is_settled([trip(100, 100)] * PROBES_MIN)


def test_a_floor_that_was_reached_only_once_may_not_be_one():
    slow = [trip(n * 1_000_000, 0) for n in range(2, PROBES_MIN + 2)]
    lucky = trip(100_000, 0)
    assert not is_settled([*slow, lucky, lucky])
    assert is_settled([*slow, lucky, lucky, lucky])


def test_a_path_that_never_settles_ends_the_search_all_the_same():
    assert is_settled([trip(n * n * 1_000_000, 0) for n in range(1, PROBES_MAX + 1)])
