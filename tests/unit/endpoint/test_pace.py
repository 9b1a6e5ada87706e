"""A bounded pace."""

from hypothesis import given
from hypothesis import strategies as st

from aiperf.endpoint.pace import BURST_NS, Pace
from aiperf.units import NS_PER_S


def test_no_rate_is_no_bound():
    pace = Pace(None)
    assert all(pace.permits(0) for _ in range(10_000))


def test_a_burst_is_what_a_tenth_of_a_second_holds():
    pace = Pace(50)
    assert [pace.permits(NS_PER_S) for _ in range(8)] == [True] * 6 + [False] * 2


def test_time_brings_permits_back_one_by_one():
    pace = Pace(50)
    while pace.permits(0):
        pass
    assert not pace.permits(19_999_999)
    assert pace.permits(20_000_000)
    assert not pace.permits(20_000_000)


@given(
    st.floats(0.5, 20_000),
    st.lists(st.integers(0, NS_PER_S // 5), min_size=1, max_size=200),
)
def test_no_stretch_of_time_has_more_than_its_share_and_a_burst(rate_per_s, gaps_ns):
    pace, now_ns, begun = Pace(rate_per_s), 0, []
    for gap_ns in gaps_ns:
        now_ns += gap_ns
        begun += [now_ns] * sum(pace.permits(now_ns) for _ in range(3))
    for first, began_ns in enumerate(begun):
        most = rate_per_s * (begun[-1] - began_ns + BURST_NS) / NS_PER_S * 1.001 + 1
        assert len(begun) - first <= most
