import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.metrics import distribution
from aiperf.metrics.distribution import (
    PERCENTS,
    Samples,
    Sorted,
    adjusted,
    describe,
    interval_ranks,
    p99_interval,
    percentile_name,
    supported_percents,
)
from aiperf.metrics.sketch import RELATIVE_ERROR, Sketch

values_lists = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


def ranked(*values):
    return Sorted(np.array(values, np.float64))


@given(values_lists)
def test_statistics_equal_numpys(values):
    result = describe(Sorted(np.array(values)), "ms")
    data = np.sort(values)
    for percent in PERCENTS:
        assert result.statistics[f"p{percent}"] == np.percentile(data, percent)
    assert result.statistics["count"] == len(values)
    assert result.statistics["min"] == data.min()
    assert result.statistics["max"] == data.max()
    assert result.statistics["avg"] == pytest.approx(data.mean())
    assert result.statistics["std"] == pytest.approx(data.std())
    assert result.statistics["sum"] == pytest.approx(data.sum())


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50))
def test_sums_of_whole_numbers_are_exact(values):
    sketch = Sketch()
    for value in values:
        sketch.add(np.array([value], np.float64))
    assert describe(Sorted(np.array(values, np.float64)), "tokens").statistics["sum"] == sum(values)
    assert describe(sketch, "tokens").statistics["sum"] == sum(values)


def test_no_values_have_no_statistics():
    assert describe(ranked(), "ms") is None
    assert adjusted(ranked(), "ms", 3) is None


@pytest.mark.parametrize(
    ("count", "rare"), [(661, []), (6_635, []), (6_636, ["p99.9"]), (66_380, ["p99.9"]), (66_381, ["p99.9", "p99.99"])]
)
def test_rare_percentiles_need_their_sample(count, rare):
    names = [percentile_name(percent) for percent in supported_percents(count)]
    assert names[-len(rare) - 1 :] == ["p99", *rare]


def test_p99_of_a_small_sample_comes_with_its_interval():
    assert describe(Sorted(np.arange(661.0)), "ms").p99_interval is not None
    assert describe(Sorted(np.arange(662.0)), "ms").p99_interval is None


@pytest.mark.parametrize(("count", "fraction"), [(100, 0.99), (600, 0.99), (50, 0.5), (20, 0.9)])
def test_the_interval_holds_the_quantile_with_the_stated_confidence_and_is_the_tightest(count, fraction):
    def chance_below(rank):
        """That fewer than `rank` of the values lie below the quantile."""
        return sum(math.comb(count, k) * fraction**k * (1 - fraction) ** (count - k) for k in range(rank))

    lower, upper = interval_ranks(count, fraction, 0.99)
    assert chance_below(lower) <= 0.005 < chance_below(lower + 1)
    if upper <= count:
        assert 1 - chance_below(upper) <= 0.005 < 1 - chance_below(upper - 1)
    else:
        assert 1 - chance_below(count) > 0.005


def test_a_hundred_values_cannot_bound_p99_from_above():
    low, high = p99_interval(Sorted(np.arange(100.0)))
    assert low < 98
    assert high == math.inf


def test_percentiles_that_cut_requests_could_raise_are_lower_bounds():
    observed = np.arange(1.0, 100)
    result = describe(Sorted(np.append(observed, 99.5)), "ms", Sorted(observed))
    assert result.lower_bounds == ["avg", "max", "sum", "p99"]
    assert describe(Sorted(observed), "ms", Sorted(observed)).lower_bounds == []


def test_a_request_cut_early_lets_every_percentile_above_it_rise():
    observed = np.arange(1.0, 100)
    result = describe(Sorted(np.append(observed, 0.5)), "ms", Sorted(observed))
    assert "p50" in result.lower_bounds


@given(values_lists, st.lists(st.floats(-1e6, 1e6), max_size=5))
def test_what_is_no_lower_bound_does_not_move_when_cut_requests_take_forever(observed, bounds):
    known = np.array(observed)
    result = describe(Sorted(np.array(observed + bounds)), "ms", Sorted(known))
    forever = np.sort(np.append(known, np.full(len(bounds), 1e12)))
    for percent in PERCENTS:
        if f"p{percent}" not in result.lower_bounds:
            assert result.statistics[f"p{percent}"] == pytest.approx(np.percentile(forever, percent))


def test_failed_requests_push_adjusted_percentiles_to_infinity():
    result = adjusted(Sorted(np.arange(1.0, 91)), "ms", failed_count=10)
    data = np.append(np.arange(1.0, 91), np.full(10, 1e9))
    assert result.statistics["p50"] == np.percentile(data, 50)
    assert result.statistics["p75"] == np.percentile(data, 75)
    assert result.statistics["p95"] == math.inf
    assert result.statistics["count"] == 100
    assert "avg" not in result.statistics


def test_a_bound_below_all_that_is_known_leaves_the_least_value_open():
    result = describe(ranked(0.5, 1.0, 2.0), "ms", ranked(1.0, 2.0))
    assert "min" in result.lower_bounds
    assert "min" not in describe(ranked(1.0, 2.0, 3.0), "ms", ranked(1.0, 2.0)).lower_bounds


def test_adjusted_percentiles_that_cut_requests_could_raise_are_lower_bounds():
    observed = np.arange(1.0, 91)
    result = adjusted(Sorted(np.append(observed, np.full(5, 20.0))), "ms", failed_count=5, known=Sorted(observed))
    assert result.statistics["count"] == 100
    assert result.bound_count == 5
    assert {"p50", "p90"} <= set(result.lower_bounds)
    assert "p99" not in result.lower_bounds  # +∞ in any case
    assert adjusted(Sorted(observed), "ms", 5).lower_bounds == []


def test_without_failures_the_adjusted_percentiles_are_the_plain_ones():
    values = Sorted(np.arange(1.0, 91))
    plain, same = describe(values, "ms"), adjusted(values, "ms", 0)
    assert same.statistics.items() <= plain.statistics.items()


def test_a_sketch_states_its_error():
    sketch = Sketch()
    sketch.add(np.arange(1.0, 1000))
    result = describe(sketch, "ms")
    assert result.relative_error == RELATIVE_ERROR
    assert result.statistics["p50"] == pytest.approx(500, rel=RELATIVE_ERROR)
    assert result.statistics["avg"] == pytest.approx(500)
    assert result.statistics["max"] == 999


@given(
    st.lists(st.lists(st.floats(1, 1e6) | st.just(math.nan), max_size=12), max_size=8),
    st.randoms(),
)
def test_samples_above_the_limit_are_sketched_in_any_grouping(parts, random):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distribution, "EXACT_LIMIT", 20)
        patch.setattr(distribution, "FOLD_COUNT", 7)
        groups = [Samples(np.array([part, part], np.float64)) for part in parts] or [Samples(np.empty((2, 0)))]
        while len(groups) > 1:
            random.shuffle(groups)
            mine, other = groups.pop(), groups.pop()
            if random.random() < 0.3:
                mine.sketch(0)
            mine.merge(other)
            groups.append(mine)
        samples = groups[0]
        assert samples.is_exact == (sum(map(len, parts)) <= 20)
        whole = Sketch()
        values = np.array([value for part in parts for value in part])
        whole.add(values[~np.isnan(values)])
        for row in (0, 1):
            assert samples.sketch(row).count == whole.count
            np.testing.assert_array_equal(samples.sketch(row).counts, whole.counts)


def test_samples_together_with_bounds_of_another_kind():
    values, bounds = Samples(np.array([[1.0, 2.0, np.nan]])), Samples(np.array([[np.nan], [9.0]]))
    assert values.ranked_with(0, bounds, 1).order_statistics([0, 1, 2, 3]) == [1, 2, 9, math.inf]
