import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.metrics.distribution import Sorted, percentiles
from aiperf.metrics.sketch import GREATEST, LEAST, RELATIVE_ERROR, Sketch, buckets_of, middles_of

magnitudes = st.floats(min_value=LEAST, max_value=GREATEST)
values_in_range = st.one_of(magnitudes, magnitudes.map(lambda value: -value), st.just(0.0))
lists = st.lists(values_in_range, min_size=1, max_size=60)


def sketch_of(values):
    sketch = Sketch()
    sketch.add(np.array(values, np.float64))
    return sketch


@given(lists)
def test_every_value_is_answered_within_the_stated_error(values):
    answers = sketch_of(values).order_statistics(range(len(values)))
    for answer, value in zip(answers, sorted(values), strict=True):
        assert abs(answer - value) <= RELATIVE_ERROR * abs(value)


@given(lists)
def test_buckets_keep_the_order_of_values(values):
    buckets = buckets_of(np.sort(np.array(values)))
    assert (np.diff(buckets) >= 0).all()


@given(values_in_range)
def test_the_middle_of_a_bucket_is_in_it(value):
    bucket = buckets_of(np.array([value]))
    assert buckets_of(middles_of(bucket)) == bucket


@given(st.lists(lists, min_size=1, max_size=5), st.randoms())
def test_merging_in_any_order_gives_the_sketch_of_all(parts, random):
    whole = sketch_of([value for part in parts for value in part])
    random.shuffle(parts)
    merged = Sketch()
    for part in parts:
        merged.merge(sketch_of(part))
    assert merged.first_bucket == whole.first_bucket
    np.testing.assert_array_equal(merged.counts, whole.counts)
    assert (merged.count, merged.minimum, merged.maximum) == (whole.count, whole.minimum, whole.maximum)
    scale = max(abs(whole.minimum), abs(whole.maximum))
    assert merged.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-9 * scale)
    assert math.sqrt(merged.deviation) == pytest.approx(math.sqrt(whole.deviation), rel=1e-6, abs=1e-6 * scale)


tiny = st.floats(min_value=0, max_value=LEAST, exclude_max=True)
huge = st.floats(min_value=GREATEST, max_value=1e100, exclude_min=True)
either_sign = st.sampled_from([-1.0, 1.0])
anything = st.one_of(
    values_in_range,
    st.builds(lambda value, sign: value * sign, tiny, either_sign),  # denormals, and zero of both signs
    st.builds(lambda value, sign: value * sign, huge, either_sign),
    st.sampled_from([1.0, np.nextafter(1.0, 2), np.nextafter(1.0, 0), 5e-324, -5e-324, LEAST, GREATEST]),
)
anything_lists = st.lists(anything, max_size=60) | st.builds(lambda v, n: [v] * n, anything, st.integers(0, 60))


@given(anything_lists)
def test_any_value_is_answered_within_the_stated_error_or_at_the_end_of_the_range(values):
    answers = sketch_of(values).order_statistics(range(len(values)))
    assert answers == sorted(answers)
    for answer, value in zip(answers, sorted(values), strict=True):
        if abs(value) < LEAST:
            assert abs(answer) <= LEAST
        elif abs(value) > GREATEST:
            assert abs(answer) >= GREATEST * (1 - RELATIVE_ERROR)
            assert math.copysign(1, answer) == math.copysign(1, value)
        else:
            assert abs(answer - value) <= RELATIVE_ERROR * abs(value)


@given(st.lists(values_in_range, min_size=1, max_size=80), st.lists(st.floats(0, 100), min_size=1, max_size=8))
def test_percentiles_are_within_the_stated_error_of_the_exact_ones(values, percents):
    data = np.sort(np.array(values))
    for percent, answer in zip(percents, percentiles(sketch_of(values), percents, len(values)), strict=True):
        position = (len(data) - 1) * (percent / 100)
        around = np.abs(data[[math.floor(position), math.ceil(position)]])
        exact = percentiles(Sorted(data), [percent], len(data))[0]
        assert abs(answer - exact) <= RELATIVE_ERROR * around.max() * (1 + 1e-9)


def merged(*sketches):
    whole = Sketch()
    for sketch in sketches:
        whole.merge(sketch)
    return whole


def state(sketch):
    return sketch.count, sketch.first_bucket, sketch.counts.tolist(), sketch.minimum, sketch.maximum


@given(anything_lists, anything_lists, anything_lists)
def test_merging_is_associative_and_commutative_and_an_empty_one_is_neutral(a, b, c):
    x, y, z = sketch_of(a), sketch_of(b), sketch_of(c)
    assert state(merged(merged(x, y), z)) == state(merged(x, merged(y, z)))
    assert state(merged(x, y)) == state(merged(y, x))
    assert state(merged(x, Sketch())) == state(merged(Sketch(), x)) == state(x)
    ranks = range(len(a) + len(b) + len(c))
    assert merged(x, y, z).order_statistics(ranks) == merged(z, y, x).order_statistics(ranks)
    assert state(x) == state(sketch_of(a))


def test_merging_leaves_the_other_as_it_was():
    mine, other = sketch_of([1.0]), sketch_of([2.0, 3.0])
    mine.merge(other)
    mine.add(np.array([2.0]))
    assert other.count == 2
    assert other.order_statistics([0, 1]) == pytest.approx([2, 3], rel=RELATIVE_ERROR)


def test_magnitudes_beyond_the_range_are_filed_at_its_ends():
    sketch = sketch_of([1e-12, 1e100])
    assert sketch.order_statistics([0])[0] == pytest.approx(0, abs=1e-9)
    assert sketch.maximum == 1e100
    assert len(sketch.counts) * 8 <= 660_000


def test_ranks_beyond_the_count_are_infinite():
    assert sketch_of([1.0]).order_statistics([0, 1]) == [1.0, math.inf]
    assert Sketch().order_statistics([0]) == [math.inf]


def test_adding_nothing_changes_nothing():
    sketch = Sketch()
    sketch.add(np.zeros(0))
    sketch.merge(Sketch())
    assert sketch.count == 0
