import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
