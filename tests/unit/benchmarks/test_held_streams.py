"""How many streams were open at once follows from when requests arrived and when their last token had left."""

from held_streams import most_at_once

from aiperf.mock.truth import Truth


def row(received_ns: int, *after_ns: int) -> Truth:
    return Truth(
        request_id="",
        received_ns=received_ns,
        kernel_stamp=True,
        started_ns=received_ns,
        status=200,
        fault="",
        ending="complete",
        prompt_tokens=1,
        tokens=len(after_ns),
        due_ns=list(after_ns),
        sent_ns=list(after_ns),
        after_ns=list(after_ns),
        queued_writes=0,
    )


def test_streams_that_overlap_are_open_at_once() -> None:
    assert most_at_once([row(0, 5, 10), row(3, 12), row(9, 20)]) == 3


def test_one_that_begins_as_another_ends_is_not_beside_it() -> None:
    assert most_at_once([row(10, 20), row(0, 10), row(20, 30)]) == 1


def test_no_stream_is_none() -> None:
    assert most_at_once([]) == 0
