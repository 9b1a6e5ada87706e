from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.plan.quantities import (
    cpu_quantity,
    cpu_text,
    memory_bytes,
    memory_quantity,
    memory_text,
    millicores,
    read_quantity,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", Fraction(0)),
        ("2", Fraction(2)),
        ("0.5", Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("250m", Fraction(1, 4)),
        ("1k", Fraction(1000)),
        ("1e3", Fraction(1000)),
        ("12E-1", Fraction(12, 10)),
        ("1E", Fraction(10**18)),
        ("1Ki", Fraction(1024)),
        ("1.5Gi", Fraction(3 * 2**29)),
        ("100n", Fraction(1, 10**7)),
        ("-1", Fraction(-1)),
    ],
)
def test_a_quantity_is_read_exactly(text: str, number: Fraction) -> None:
    assert read_quantity(text) == number


@pytest.mark.parametrize("text", ["", "Mi", "1 Gi", "1KB", "1gi", "0x10", "1ee3", "½", "1K", "inf", "nan"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        read_quantity(text)


def test_parts_are_rounded_up() -> None:
    assert (millicores("1n"), millicores("0.1001"), memory_bytes("0.1")) == (1, 101, 1)


@pytest.mark.parametrize("text", ["0", "-1", "0m"])
def test_sizes_are_above_zero(text: str) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        cpu_quantity(text)
    with pytest.raises(ValueError, match="must be above 0"):
        memory_quantity(text)


def test_memory_in_thousandths_is_told_as_the_mistake_it_is() -> None:
    with pytest.raises(ValueError, match="write 512Mi"):
        memory_quantity("512m")


def test_sizes_are_written_shortly() -> None:
    assert [cpu_text(size) for size in (50, 1000, 1500)] == ["50m", "1", "1500m"]
    assert [memory_text(size) for size in (96 << 20, 2 << 30, 1000, 0)] == ["96Mi", "2Gi", "1000", "0"]


@given(st.integers(1, 10**7))
def test_cpu_survives_the_way_through_text(size: int) -> None:
    assert millicores(cpu_text(size)) == size


@given(st.integers(0, 2**60))
def test_memory_survives_the_way_through_text(size: int) -> None:
    assert memory_bytes(memory_text(size)) == size
