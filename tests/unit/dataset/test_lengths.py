from statistics import fmean, pstdev

from hypothesis import given
from hypothesis import strategies as st

from aiperf.dataset.lengths import drawn_length


def lengths(mean: float, stddev: float, count: int = 4000, purpose: str = "isl", seed: int = 1) -> list[int]:
    return [drawn_length(mean, stddev, seed=seed, purpose=purpose, entry_index=index) for index in range(count)]


@given(mean=st.floats(1, 1e6), stddev=st.floats(0, 1e6), seed=st.integers(0, 2**64), index=st.integers(0, 10**6))
def test_a_length_is_at_least_one_and_always_the_same(mean: float, stddev: float, seed: int, index: int) -> None:
    first, second = (drawn_length(mean, stddev, seed=seed, purpose="isl", entry_index=index) for _ in range(2))
    assert first == second >= 1


def test_without_deviation_every_length_is_the_mean() -> None:
    assert set(lengths(550, 0, 10)) == {550}


def test_lengths_have_the_mean_and_deviation_asked_for() -> None:
    drawn = lengths(550, 50)
    assert abs(fmean(drawn) - 550) < 4
    assert abs(pstdev(drawn) - 50) < 3


def test_a_deviation_above_the_mean_gives_no_heap_at_one() -> None:
    drawn = lengths(10, 20)
    assert min(drawn) == 1
    assert drawn.count(1) < 2 * drawn.count(2) + 50


def test_purposes_and_seeds_are_independent() -> None:
    base = lengths(550, 50)
    for other in (lengths(550, 50, purpose="osl"), lengths(550, 50, seed=2)):
        products = [(a - 550) * (b - 550) for a, b in zip(base, other, strict=True)]
        assert abs(fmean(products)) < 0.1 * 50 * 50
