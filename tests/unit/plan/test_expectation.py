"""Durations with a unit, and how long a request is expected to take."""

import pytest

from aiperf.cli.flags import plan_from_argv
from aiperf.errors import PlanError
from aiperf.plan.durations import duration_ns
from aiperf.plan.expectation import ExpectationPlan


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("500ms", 500_000_000),
        ("30 ms", 30_000_000),
        ("2s", 2_000_000_000),
        ("0.5s", 500_000_000),
        ("250us", 250_000),
        ("1.5m", 90_000_000_000),
        ("4m", 240_000_000_000),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, expected_ns: int) -> None:
    assert duration_ns(text) == expected_ns


@pytest.mark.parametrize("text", ["500", "ms", "-1s", "1,5s", "0ms", "1e3ms", "2 days", "25h", "1s 2ms"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no duration|is not between"):
        duration_ns(text)


@pytest.mark.parametrize(
    ("ttft", "itl", "tokens", "seconds"),
    [
        ("500ms", "30ms", 101, 3.5),
        ("500ms", None, 1, 0.5),  # no second token, nothing to wait for
        ("500ms", None, 2, None),
        (None, "30ms", 101, None),
        (None, None, 1, None),
    ],
)
def test_how_long_a_request_takes(ttft: str | None, itl: str | None, tokens: int, seconds: float | None) -> None:
    assert ExpectationPlan(expected_ttft=ttft, expected_itl=itl).request_s(tokens) == seconds


def test_wrong_durations_are_told_together_with_their_flags() -> None:
    with pytest.raises(PlanError) as caught:
        plan_from_argv(["-m", "m", "--ttft", "500", "--itl", "fast"], {})
    assert [problem.origin for problem in caught.value.problems] == ["--ttft", "--itl"]
    assert all("500ms, 30ms or 2s" in problem.what for problem in caught.value.problems)
