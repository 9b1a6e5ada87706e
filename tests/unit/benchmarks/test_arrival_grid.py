"""Arrivals are held against an even grid that begins where it fits them best."""

import pytest
from arrival_grid import punctuality

MS = 1_000_000
BEGIN_NS = 1_795_572_631_917_466_232


def test_even_arrivals_are_on_the_grid_whenever_they_begin() -> None:
    seen = punctuality([BEGIN_NS + index * MS for index in range(1000)], 1000.0)
    assert seen.off_max == pytest.approx(0, abs=1e-6)
    assert seen.rate_off_fraction == pytest.approx(0, abs=1e-9)


def test_one_late_arrival_is_off_by_its_lateness() -> None:
    arrivals_ns = [BEGIN_NS + index * 10 * MS for index in range(101)]
    arrivals_ns[50] += 4 * MS
    seen = punctuality(arrivals_ns, 100.0)
    assert seen.off_max == pytest.approx(4)
    assert seen.off_p50 == pytest.approx(0, abs=1e-6)


def test_a_tool_that_is_too_slow_drifts_off_the_grid() -> None:
    seen = punctuality([BEGIN_NS + index * 11 * MS for index in range(101)], 100.0)
    assert seen.rate_off_fraction == pytest.approx(10 / 11 - 1)
    assert seen.off_max == pytest.approx(50)


def test_the_order_of_the_log_does_not_matter() -> None:
    arrivals_ns = [BEGIN_NS + index * MS for index in range(100)]
    assert punctuality(arrivals_ns[::-1], 1000.0) == punctuality(arrivals_ns, 1000.0)
