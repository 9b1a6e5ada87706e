"""Samples meet their rows of the server's log, by id or by order, and errors are reported minus true."""

import pytest
from peers.peer import Sample
from truth_join import JoinError, errors_of, pairs

from aiperf.mock.truth import Truth

MS = 1_000_000


def row(name: str, received_ms: int, *, ttft_ms: int = 200, latency_ms: int = 1000, ending: str = "complete") -> Truth:
    sent_ns = [(received_ms + ttft_ms) * MS, (received_ms + latency_ms) * MS]
    return Truth(
        request_id=name,
        received_ns=received_ms * MS,
        kernel_stamp=True,
        started_ns=received_ms * MS,
        status=200,
        fault="",
        ending=ending,
        prompt_tokens=1,
        tokens=2,
        due_ns=sent_ns,
        sent_ns=sent_ns,
        after_ns=[each + 1 for each in sent_ns],
        queued_writes=0,
    )


def sample(name: str | None, started_ms: int, ttft_ms: float, latency_ms: float, width_ms: float = 0.0) -> Sample:
    return Sample(name, started_ms * MS, ttft_ms, latency_ms, width_ms, width_ms)


def test_requests_with_ids_are_joined_by_them_whatever_the_order() -> None:
    a, b = sample("a", 5, 200, 1000), sample("b", 1, 200, 1000)
    log = [row("b", 2), row("a", 6)]
    assert pairs([a, b], log) == [(a, log[1]), (b, log[0])]


def test_requests_without_ids_are_joined_by_the_order_of_start_and_arrival() -> None:
    late, early = sample(None, 9, 200, 1000), sample(None, 1, 200, 1000)
    log = [row("#0-1", 2), row("#0-2", 10)]
    assert pairs([late, early], log) == [(early, log[0]), (late, log[1])]


def test_requests_that_were_not_answered_in_full_are_not_in_the_order() -> None:
    one = sample(None, 1, 200, 1000)
    log = [row("#0-1", 1, ending="client-gone"), row("#0-2", 2)]
    assert pairs([one], log) == [(one, log[1])]


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        ([], "no request was answered"),
        ([sample("strange", 1, 1, 1)], "1 of 1 requests are not in the server's log"),
        ([sample(None, 1, 1, 1)] * 3, "3 requests are reported, 1 are in the server's log"),
    ],
)
def test_what_does_not_belong_together_is_not_joined(samples: list[Sample], why: str) -> None:
    with pytest.raises(JoinError, match=why):
        pairs(samples, [row("a", 1)])


def test_an_error_is_reported_minus_true() -> None:
    joined = [(sample("a", 0, 203, 1010), row("a", 0))]
    errors = errors_of(joined, widths_claimed=False)
    assert errors.ttft_p50 == pytest.approx(3)
    assert errors.ttft_p99 == pytest.approx(3)
    assert errors.latency_p50 == pytest.approx(10)


def test_an_interval_that_does_not_hold_the_send_is_a_false_claim() -> None:
    # The token was sent at 200 ms: told 210 with a width of 5 misses it, with a width of 15 holds it.
    false = errors_of([(sample("a", 0, 210, 1010, width_ms=5), row("a", 0))], widths_claimed=True)
    held = errors_of([(sample("a", 0, 210, 1010, width_ms=15), row("a", 0))], widths_claimed=True)
    assert (false.false_count, held.false_count) == (2, 0)


def test_who_claims_no_interval_makes_no_false_claim() -> None:
    assert errors_of([(sample("a", 0, 210, 1010), row("a", 0))], widths_claimed=False).false_count == 0
