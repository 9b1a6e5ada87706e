"""Streams of arrivals: the same however asked for, exact where exact is meant, right in distribution where not."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiperf.schedule.arrivals import BLOCK_COUNT, Arrivals
from aiperf.schedule.phases import Pattern

S = 1_000_000_000
MANY = 40_000


@settings(max_examples=60)
@given(
    pattern=st.sampled_from(Pattern),
    seed=st.integers(0, 2**62),
    requests=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 9_000)), min_size=1, max_size=5),
)
def test_an_arrival_is_the_same_however_the_stream_is_asked_for(pattern, seed, requests):
    whole = Arrivals(pattern, 7.5, 2.0, seed).offsets(0, 29_000)
    arrivals = Arrivals(pattern, 7.5, 2.0, seed)
    for first, count in requests:
        np.testing.assert_array_equal(arrivals.offsets(first, count), whole[first : first + count])


@pytest.mark.parametrize("chunk", [1, 7, BLOCK_COUNT - 1, BLOCK_COUNT, BLOCK_COUNT + 1])
@pytest.mark.parametrize("pattern", Pattern)
def test_chunks_joined_are_the_stream(pattern, chunk):
    length = min(200 * chunk, 2 * BLOCK_COUNT + 2)
    arrivals = Arrivals(pattern, 1000, 0.5, 3)
    chunks = [arrivals.offsets(first, min(chunk, length - first)) for first in range(0, length, chunk)]
    np.testing.assert_array_equal(np.concatenate(chunks), Arrivals(pattern, 1000, 0.5, 3).offsets(0, length))


@pytest.mark.parametrize("rate_rps", [1, 3, 7.3, 0.1, 999.999, 1e6 / 3, 12_345.678])
@pytest.mark.parametrize("first", [0, 4095, 10**6, 10**8])
def test_constant_arrivals_never_drift(rate_rps, first):
    arrivals = Arrivals(Pattern.CONSTANT, rate_rps, 1.0, 0)
    number = first // BLOCK_COUNT  # reached directly: to make all arrivals before takes too long for a test
    offsets_ns = arrivals._constant(number)
    exact = [
        round(Fraction(i) / Fraction(rate_rps) * S) for i in range(number * BLOCK_COUNT, (number + 1) * BLOCK_COUNT)
    ]
    assert np.abs(offsets_ns - np.array(exact)).max() == 0
    assert np.ptp(np.diff(offsets_ns)) <= 1


def test_constant_arrivals_begin_at_once():
    assert Arrivals(Pattern.CONSTANT, 4, 1.0, 0).offsets(0, 3).tolist() == [0, S // 4, S // 2]


@pytest.mark.parametrize("pattern", [Pattern.POISSON, Pattern.GAMMA])
def test_random_arrivals_begin_after_a_gap(pattern):
    first = [int(Arrivals(pattern, 1, 1.0, seed).offsets(0, 1)[0]) for seed in range(400)]
    assert min(first) > 0
    assert np.mean(first) == pytest.approx(S, rel=0.2)


@pytest.mark.parametrize(
    ("pattern", "smoothness", "variation"),
    [
        (Pattern.POISSON, 1.0, 1.0),
        (Pattern.POISSON, 9.0, 1.0),  # smoothness is of gamma only
        (Pattern.GAMMA, 1.0, 1.0),
        (Pattern.GAMMA, 0.25, 2.0),
        (Pattern.GAMMA, 4.0, 0.5),
    ],
)
@pytest.mark.parametrize("rate_rps", [0.5, 200, 100_000])
def test_random_gaps_have_the_right_mean_and_spread(pattern, smoothness, variation, rate_rps):
    gaps_ns = np.diff(Arrivals(pattern, rate_rps, smoothness, 11).offsets(0, MANY), prepend=0)
    assert gaps_ns.mean() == pytest.approx(S / rate_rps, rel=4 * variation / MANY**0.5)
    assert gaps_ns.std() / gaps_ns.mean() == pytest.approx(variation, rel=0.05)


def test_poisson_gaps_are_independent():
    gaps_ns = np.diff(Arrivals(Pattern.POISSON, 100, 1.0, 5).offsets(0, MANY))
    assert abs(np.corrcoef(gaps_ns[:-1], gaps_ns[1:])[0, 1]) < 4 / MANY**0.5


def test_seeds_give_different_streams():
    one, other = (Arrivals(Pattern.POISSON, 100, 1.0, seed).offsets(0, 100) for seed in (1, 2))
    assert (one != other).all()


@settings(max_examples=60)
@given(
    pattern=st.sampled_from(Pattern), instants=st.lists(st.integers(-S, 30 * S), min_size=1, max_size=6), data=st.data()
)
def test_count_before_agrees_with_the_offsets(pattern, instants, data):
    whole = Arrivals(pattern, 400, 0.3, 1).offsets(0, 20_000)
    exact = data.draw(st.lists(st.sampled_from(whole[:5_000].tolist()), max_size=3))
    arrivals = Arrivals(pattern, 400, 0.3, 1)
    for instant_ns in instants + exact:
        assert arrivals.count_before(instant_ns) == np.count_nonzero(whole < instant_ns)


@pytest.mark.parametrize("pattern", Pattern)
def test_a_rate_near_zero_overflows_nothing(pattern):
    offsets_ns = Arrivals(pattern, 1e-12, 1.0, 0).offsets(0, BLOCK_COUNT)
    assert (np.diff(offsets_ns) > 0).all()


def test_asking_for_no_arrivals_gives_none():
    arrivals = Arrivals(Pattern.POISSON, 10, 1.0, 0)
    assert arrivals.offsets(0, 0).size == arrivals.offsets(5, 0).size == 0
