import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from aiperf.endpoint.dialects import DIALECTS
from aiperf.endpoint.exchange import BodyKind, ErrorKind, Exchange, Outcome
from aiperf.record.assembly import Assembled, RecordAssembler
from aiperf.record.facts import Facts, TokenSource
from aiperf.record.slices import Slice, SliceWriter, read_slice
from aiperf.record.token_counts import TokenPolicy

DONE = b"data: [DONE]\n\n"
Read = tuple[int, int, bytes]
"""stamp_ns, after_ns, data"""


def event(content: str = "", finish: str | None = None, **fields: Any) -> bytes:
    chunk = {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]} | fields
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def reasoning(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"reasoning_content": text}}]}).encode() + b"\n\n"


def usage(prompt: int, completion: int, **details: Any) -> bytes:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return b"data: " + json.dumps({"choices": [], "usage": counts | details}).encode() + b"\n\n"


STOP = event("", "stop")


def reads_of(*datas: bytes) -> list[Read]:
    """One read each, at 1000, 2000, … ns, after 900, 1900, …"""
    return [(1000 * number, 1000 * number - 100, data) for number, data in enumerate(datas, 1)]


def exchange(
    handle: int = 1,
    *,
    status: int = 200,
    kind: BodyKind = BodyKind.EVENT_STREAM,
    outcome: Outcome = Outcome.COMPLETED,
    error_kind: ErrorKind = ErrorKind.NO_ERROR,
    error_text: str = "",
) -> Exchange:
    row = Exchange(
        handle, credit_index=100 + handle, turn_index=0, phase=1, entry_index=7, url_index=0, due_ns=-1,
        dispatched_ns=10, rearm_delay_ns=-1, head=b"", body=b"",
    )  # fmt: skip
    row.http_status, row.body_kind, row.outcome, row.error_kind = status, kind, outcome, error_kind
    row.error_text, row.sent_ns, row.end_ns = error_text, 20, 99_000
    return row


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def assembler(
    *,
    streaming: bool = True,
    count_tokens: Callable[[Sequence[str]], list[int]] | None = words,
    token_policy: TokenPolicy = TokenPolicy.SERVER_PREFERRED,
    keep_chunks: bool = False,
) -> RecordAssembler:
    return RecordAssembler(
        dialect=DIALECTS["chat"],
        streaming=streaming,
        entry_tokens=lambda entry: (entry * 10, 5),
        count_tokens=count_tokens,
        token_policy=token_policy,
        keep_chunks=keep_chunks,
    )


def slice_of(row: Exchange, reads: Sequence[Read], writer: SliceWriter | None = None) -> Slice:
    """A slice with the whole response of one exchange."""
    writer = writer or SliceWriter(3)
    if row.http_status:
        writer.on_head(row)
    for stamp_ns, after_ns, data in reads:
        writer.on_read(row, stamp_ns, after_ns, data)
    writer.on_end(row)
    return read_slice(writer.take(0) or [])


def assembled(row: Exchange, reads: Sequence[Read], **options: Any) -> Assembled:
    records = assembler(**options)
    records.add(slice_of(row, reads))
    taken = records.take()
    assert taken is not None
    assert records.take() is None
    return taken


def facts_of(row: Exchange, reads: Sequence[Read], **options: Any) -> Facts:
    return Facts(*assembled(row, reads, **options).facts[0].tolist())


def failure_of(row: Exchange, reads: Sequence[Read], **options: Any) -> tuple[Outcome, ErrorKind, str]:
    taken = assembled(row, reads, **options)
    facts = taken.facts[0]
    return Outcome(facts["outcome"]), ErrorKind(facts["error_kind"]), taken.error_texts[0]


# Times


def test_times_of_a_stream() -> None:
    taken = assembled(exchange(), reads_of(event(""), event("a"), event("b"), event("c"), STOP + DONE))
    facts = Facts(*taken.facts[0].tolist())
    assert facts.outcome == Outcome.COMPLETED
    assert facts.first_content_ns == 2000
    assert facts.second_content_ns == 3000
    assert facts.last_content_ns == 4000
    assert facts.content_chunk_count == 3
    assert facts.shared_chunk_count == 0
    assert facts.first_content_width_ns == facts.last_content_width_ns == 0
    assert taken.gaps_ns.tolist() == [1000, 1000]
    assert taken.gap_offsets.tolist() == [0, 2]


def test_what_the_worker_knew_is_carried_over() -> None:
    facts = facts_of(exchange(), reads_of(event("a") + DONE))
    assert (facts.credit_index, facts.worker_index, facts.sent_ns, facts.end_ns) == (101, 3, 20, 99_000)


def test_chunks_that_share_a_read_have_no_gap() -> None:
    taken = assembled(exchange(), reads_of(event("a") + event("b"), event("c"), STOP + DONE))
    facts = Facts(*taken.facts[0].tolist())
    assert (facts.content_chunk_count, facts.shared_chunk_count) == (3, 1)
    assert taken.gaps_ns.tolist() == [1000]


def test_second_chunk_that_shares_the_first_read_has_no_time() -> None:
    assert facts_of(exchange(), reads_of(event("a") + event("b"), event("c"), DONE)).second_content_ns == -1


def test_chunk_followed_by_more_bytes_is_known_to_its_interval_only() -> None:
    facts = facts_of(exchange(), reads_of(event("a") + b"data: ", b'{"choices":[]}\n\n', event("b") + STOP + DONE))
    assert (facts.first_content_ns, facts.first_content_width_ns) == (1000, 100)
    assert (facts.last_content_ns, facts.last_content_width_ns) == (3000, 100)


def test_last_chunk_of_a_shared_read_is_known_exactly() -> None:
    facts = facts_of(exchange(), reads_of(event("") + event("a"), STOP + DONE))
    assert facts.first_content_width_ns == facts.last_content_width_ns == 0


def test_chunk_has_the_time_of_the_read_that_completes_it() -> None:
    first = event("a")
    assert facts_of(exchange(), reads_of(first[:10], first[10:-1], first[-1:], DONE)).first_content_ns == 3000


def test_first_output_comes_after_reasoning() -> None:
    facts = facts_of(exchange(), reads_of(reasoning("r"), reasoning("s"), event("a"), STOP))
    assert (facts.first_content_ns, facts.first_output_ns) == (1000, 3000)


def test_tool_call_is_output() -> None:
    call = {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"name": "f"}}]}}]}
    facts = facts_of(exchange(), reads_of(b"data: " + json.dumps(call).encode() + b"\n\n", STOP))
    assert facts.first_output_ns == facts.first_content_ns == 1000


def test_content_after_done_is_ignored() -> None:
    facts = facts_of(exchange(), reads_of(event("a") + DONE + event("b"), event("c")))
    assert (facts.content_chunk_count, facts.last_content_ns) == (1, 1000)


def test_stamps_that_run_backwards_give_no_negative_width() -> None:
    assert facts_of(exchange(), [(1000, 2000, event("a") + DONE)]).first_content_width_ns == 0


def test_whole_body_has_only_an_end() -> None:
    body = json.dumps({"choices": [{"message": {"content": "a b"}, "finish_reason": "stop"}]}).encode()
    facts = facts_of(exchange(kind=BodyKind.JSON), reads_of(body[:9], body[9:]), streaming=False)
    assert facts.outcome == Outcome.COMPLETED
    assert (facts.first_content_ns, facts.last_content_ns, facts.content_chunk_count) == (-1, 2000, 0)
    assert facts.output_tokens == 2


# Failures: each error kind


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500, 503])
def test_status_that_is_no_success(status: int) -> None:
    row = exchange(status=status, kind=BodyKind.JSON)
    body = b'{"error":{"message":"try\\nlater"}}'
    assert failure_of(row, reads_of(body[:5], body[5:])) == (Outcome.FAILED, ErrorKind.HTTP_STATUS, "try later")


def test_status_without_body() -> None:
    failure = (Outcome.FAILED, ErrorKind.HTTP_STATUS, "HTTP status 502")
    assert failure_of(exchange(status=502, kind=BodyKind.OTHER), []) == failure


def test_status_the_worker_already_called_a_failure_gets_the_message() -> None:
    row = exchange(status=500, outcome=Outcome.FAILED, error_kind=ErrorKind.HTTP_STATUS, error_text="HTTP 500")
    assert failure_of(row, reads_of(b"oops"))[2] == "oops"


def test_huge_error_body_is_cut() -> None:
    _, kind, text = failure_of(exchange(status=500), reads_of(*[b"x" * 100_000] * 3))
    assert kind == ErrorKind.HTTP_STATUS
    assert len(text) == 500


def test_stream_without_done_and_finish_reason_is_truncated_and_keeps_its_times() -> None:
    taken = assembled(exchange(), reads_of(event("a"), event("b")))
    facts = Facts(*taken.facts[0].tolist())
    assert (facts.outcome, facts.error_kind) == (Outcome.FAILED, ErrorKind.TRUNCATED_STREAM)
    assert (facts.first_content_ns, facts.last_content_ns) == (1000, 2000)
    assert taken.gaps_ns.tolist() == [1000]


def test_stream_that_ends_inside_an_event_says_so() -> None:
    _, kind, text = failure_of(exchange(), reads_of(event("a") + b"data: {"))
    assert kind == ErrorKind.TRUNCATED_STREAM
    assert "inside an event of which 7 bytes came" in text


@pytest.mark.parametrize("end", [STOP, DONE, b"data: [DONE]", b"data: [DONE]\n", b"data: [DONE]\r\n\r\n"])
def test_finish_reason_or_done_completes_a_stream(end: bytes) -> None:
    assert facts_of(exchange(), reads_of(event("a"), end)).outcome == Outcome.COMPLETED


@pytest.mark.parametrize("bad", [b"data: {oops}\n\n", b"data: oops\n\n", b'data: {"choices":7}\n\n', b"data: \xff\n\n"])
def test_malformed_event(bad: bytes) -> None:
    outcome, kind, text = failure_of(exchange(), reads_of(event("a"), bad, event("b"), DONE))
    assert (outcome, kind) == (Outcome.FAILED, ErrorKind.MALFORMED_BODY)
    assert text.startswith("event 2: ")


def test_json_nested_beyond_reason_is_malformed() -> None:
    bad = b'data: {"choices":[{"delta":{"content":' + b"[" * 100_000 + b"\n\n"
    assert failure_of(exchange(), reads_of(bad, DONE))[1] == ErrorKind.MALFORMED_BODY


def test_event_without_end_is_malformed() -> None:
    reads = [(1000 * number, 0, b"data: " + b"x" * (1 << 20)) for number in range(1, 20)]
    assert failure_of(exchange(), reads)[1] == ErrorKind.MALFORMED_BODY


@pytest.mark.parametrize(
    "bad",
    [
        b'data: {"error":{"message":"no room"}}\n\n',
        b'data: {"object":"error","message":"no room"}\n\n',
        b'event: error\ndata: {"message":"no room"}\n\n',
        b"event: error\ndata: no room\n\n",
    ],
)
def test_error_inside_a_stream(bad: bytes) -> None:
    taken = assembled(exchange(), reads_of(event("a"), bad, DONE))
    facts = Facts(*taken.facts[0].tolist())
    assert (facts.outcome, facts.error_kind) == (Outcome.FAILED, ErrorKind.ERROR_EVENT)
    assert taken.error_texts == ["no room"]
    assert facts.first_content_ns == 1000


def test_first_fault_counts() -> None:
    reads = reads_of(b'data: {"error":"first"}\n\n', b"data: {oops}\n\n")
    assert failure_of(exchange(), reads) == (Outcome.FAILED, ErrorKind.ERROR_EVENT, "first")


@pytest.mark.parametrize("datas", [[], [event("") + STOP + DONE], [b": ping\n\n"], [DONE]])
def test_stream_without_content_is_empty(datas: list[bytes]) -> None:
    assert failure_of(exchange(), reads_of(*datas))[:2] == (Outcome.FAILED, ErrorKind.EMPTY_RESPONSE)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", ErrorKind.EMPTY_RESPONSE),
        (b" \n", ErrorKind.EMPTY_RESPONSE),
        (b'{"choices":[{"message":{"content":""}}]}', ErrorKind.EMPTY_RESPONSE),
        (b'{"choices":[', ErrorKind.MALFORMED_BODY),
        (b'{"hello":1}', ErrorKind.MALFORMED_BODY),
        (b"<html>", ErrorKind.MALFORMED_BODY),
        (b'{"error":{"message":"no"}}', ErrorKind.ERROR_EVENT),
    ],
)
def test_whole_bodies_that_are_no_answer(body: bytes, kind: ErrorKind) -> None:
    row = exchange(kind=BodyKind.JSON)
    assert failure_of(row, reads_of(body), streaming=False)[:2] == (Outcome.FAILED, kind)


@pytest.mark.parametrize("kind", [BodyKind.JSON, BodyKind.OTHER])
def test_json_where_a_stream_was_asked_for_is_read_as_a_body(kind: BodyKind) -> None:
    facts = facts_of(exchange(kind=kind), reads_of(b"\n", b'{"choices":[{"message":{"content":"a"}}]}'))
    assert (facts.outcome, facts.first_content_ns, facts.last_content_ns) == (Outcome.COMPLETED, -1, 2000)


def test_stream_without_its_content_type_is_still_read() -> None:
    facts = facts_of(exchange(kind=BodyKind.OTHER), reads_of(event("a"), DONE))
    assert (facts.outcome, facts.first_content_ns) == (Outcome.COMPLETED, 1000)


def test_nothing_of_an_undeclared_body_is_empty() -> None:
    assert failure_of(exchange(kind=BodyKind.OTHER), [])[1] == ErrorKind.EMPTY_RESPONSE


@pytest.mark.parametrize("error_kind", [ErrorKind.RESET, ErrorKind.CLOSED_EARLY, ErrorKind.TIMEOUT, ErrorKind.PROTOCOL])
def test_what_the_worker_saw_fail_keeps_its_kind_and_what_came(error_kind: ErrorKind) -> None:
    row = exchange(outcome=Outcome.FAILED, error_kind=error_kind, error_text="why")
    taken = assembled(row, reads_of(event("a"), event("b")[:9]))
    facts = Facts(*taken.facts[0].tolist())
    assert (facts.outcome, facts.error_kind, taken.error_texts) == (Outcome.FAILED, error_kind, ["why"])
    assert facts.first_content_ns == 1000


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.CENSORED])
def test_cut_requests_stay_what_they_are(outcome: Outcome) -> None:
    facts = facts_of(exchange(outcome=outcome, error_kind=ErrorKind.CUT), reads_of(event("a"), b"data: {oops}\n\n"))
    assert (facts.outcome, facts.error_kind, facts.first_content_ns) == (outcome, ErrorKind.CUT, 1000)


def test_request_without_response() -> None:
    row = exchange(status=0, outcome=Outcome.FAILED, error_kind=ErrorKind.CONNECT_REFUSED, error_text="refused")
    assert failure_of(row, []) == (Outcome.FAILED, ErrorKind.CONNECT_REFUSED, "refused")


# Tokens


def test_server_counts_are_preferred() -> None:
    facts = facts_of(exchange(), reads_of(event("a b c"), STOP + usage(9, 4) + DONE))
    assert (facts.isl_tokens, facts.client_isl_tokens, facts.requested_osl_tokens) == (9, 70, 5)
    assert (facts.output_tokens, facts.reasoning_tokens, facts.token_source) == (4, 0, TokenSource.SERVER)
    assert (facts.usage_prompt_tokens, facts.usage_completion_tokens, facts.usage_total_tokens) == (9, 4, 13)
    assert facts.client_output_tokens == facts.first_chunk_tokens == -1


def test_tokenizer_counts_where_the_server_does_not() -> None:
    facts = facts_of(exchange(), reads_of(reasoning("x y "), reasoning("z"), event("a b "), event("c"), STOP))
    assert (facts.isl_tokens, facts.token_source) == (70, TokenSource.TOKENIZER)
    assert (facts.output_tokens, facts.reasoning_tokens, facts.client_output_tokens) == (3, 3, 6)
    assert facts.first_chunk_tokens == 2


def test_usage_of_zero_is_none() -> None:
    facts = facts_of(exchange(), reads_of(event("a b"), STOP + usage(0, 0) + DONE))
    assert (facts.isl_tokens, facts.output_tokens, facts.token_source) == (70, 2, TokenSource.TOKENIZER)
    assert facts.usage_completion_tokens == 0


def test_reasoning_reported_by_the_server_is_taken_off_the_output() -> None:
    reported = usage(
        9, 10, completion_tokens_details={"reasoning_tokens": 7}, prompt_tokens_details={"cached_tokens": 8}
    )
    facts = facts_of(exchange(), reads_of(reasoning("x"), event("a"), STOP + reported))
    assert (facts.output_tokens, facts.reasoning_tokens) == (3, 7)
    assert (facts.usage_cached_tokens, facts.usage_reasoning_tokens) == (8, 7)


def test_reasoning_that_the_server_does_not_report_is_split_off_by_the_tokenizer() -> None:
    facts = facts_of(exchange(), reads_of(reasoning("x y"), event("a"), STOP + usage(9, 10)))
    assert (facts.output_tokens, facts.reasoning_tokens, facts.token_source) == (8, 2, TokenSource.SERVER)


def test_reasoning_that_nobody_can_split_off_is_unknown() -> None:
    facts = facts_of(exchange(), reads_of(reasoning("x y"), event("a"), STOP + usage(9, 10)), count_tokens=None)
    assert (facts.output_tokens, facts.reasoning_tokens) == (10, -1)


def test_server_only_asks_no_tokenizer() -> None:
    def never(texts: Sequence[str]) -> list[int]:
        raise AssertionError

    policy = TokenPolicy.SERVER_ONLY
    facts = facts_of(exchange(), reads_of(event("a"), STOP), token_policy=policy, count_tokens=never)
    assert (facts.isl_tokens, facts.output_tokens, facts.token_source) == (-1, -1, TokenSource.NOBODY)


def test_tokenizer_only_ignores_the_server() -> None:
    reads = reads_of(event("a b"), STOP + usage(9, 4))
    facts = facts_of(exchange(), reads, token_policy=TokenPolicy.TOKENIZER_ONLY)
    assert (facts.isl_tokens, facts.output_tokens, facts.token_source) == (70, 2, TokenSource.TOKENIZER)
    assert (facts.usage_prompt_tokens, facts.usage_completion_tokens) == (9, 4)


def test_tokenizer_only_needs_a_tokenizer() -> None:
    with pytest.raises(ValueError, match="tokenizer"):
        assembler(count_tokens=None, token_policy=TokenPolicy.TOKENIZER_ONLY)


def test_texts_of_all_finished_records_are_counted_in_one_batch() -> None:
    batches: list[list[str]] = []

    def count(texts: Sequence[str]) -> list[int]:
        batches.append(sorted(texts))
        return words(texts)

    records, writer = assembler(count_tokens=count), SliceWriter(0)
    for handle, text in enumerate(["a b", "c", "a b"]):
        records.add(slice_of(exchange(handle), reads_of(event(text), STOP), writer))
    taken = records.take()
    assert taken is not None
    assert taken.facts["output_tokens"].tolist() == [2, 1, 2]
    assert batches == [["a b", "c"]]


# Slices and workers


def test_streams_side_by_side_and_over_slices() -> None:
    records, writer = assembler(), SliceWriter(0)
    first, second = exchange(1), exchange(2)
    for row in (first, second):
        writer.on_head(row)
    writer.on_read(first, 1000, 0, event("a")[:10])
    writer.on_read(second, 1500, 0, event("b"))
    records.add(read_slice(writer.take(0) or []))
    assert records.open_stream_count == 2
    assert records.take() is None
    writer.on_read(first, 2000, 1000, event("a")[10:] + DONE)
    writer.on_read(second, 2500, 1500, event("c") + STOP)
    writer.on_end(second)
    writer.on_end(first)
    records.add(read_slice(writer.take(0) or []))
    assert records.open_stream_count == 0
    taken = records.take()
    assert taken is not None
    assert taken.facts["credit_index"].tolist() == [102, 101]
    assert taken.facts["first_content_ns"].tolist() == [1500, 2000]
    assert taken.gaps_ns.tolist() == [1000]
    assert taken.gap_offsets.tolist() == [0, 1, 1]


def test_workers_may_use_the_same_handles() -> None:
    records, writers = assembler(), [SliceWriter(0), SliceWriter(1)]
    for writer in writers:
        writer.on_head(exchange(1))
        records.add(read_slice(writer.take(0) or []))
    assert records.open_stream_count == 2


def test_lost_slice_is_counted_and_blames_no_server() -> None:
    records, writer = assembler(), SliceWriter(0)
    broken, whole, refused = exchange(1), exchange(2), exchange(3, status=0, outcome=Outcome.FAILED)
    writer.on_head(broken)
    writer.on_read(broken, 1000, 0, event("a"))
    records.add(read_slice(writer.take(0) or []))
    writer.on_read(broken, 2000, 0, event("b"))
    writer.on_head(exchange(4))
    assert writer.take(0) is not None  # The slice that is lost.
    writer.on_read(broken, 3000, 0, event("c") + DONE)
    writer.on_read(exchange(4), 3000, 0, event("d") + DONE)
    for row in (broken, exchange(4), refused):
        writer.on_end(row)
    records.add(slice_of(whole, reads_of(event("e") + DONE), writer))
    taken = records.take()
    assert taken is not None
    assert taken.facts["credit_index"].tolist() == [103, 102]
    assert (records.lost_slice_count, records.lost_record_count, records.open_stream_count) == (1, 2, 0)


def test_first_slices_lost_are_counted() -> None:
    records, writer = assembler(), SliceWriter(0)
    slice_of(exchange(1), [], writer)
    records.add(slice_of(exchange(2), reads_of(event("a") + DONE), writer))
    assert records.lost_slice_count == 1


def test_slice_that_comes_again_is_refused() -> None:
    records = assembler()
    part = slice_of(exchange(), reads_of(event("a") + DONE))
    records.add(part)
    with pytest.raises(ValueError, match="again or late"):
        records.add(part)
    taken = records.take()
    assert taken is not None
    assert len(taken.facts) == 1


def test_slice_whose_reads_do_not_add_up_is_refused_whole() -> None:
    records = assembler()
    part = slice_of(exchange(), reads_of(event("a") + DONE))
    with pytest.raises(ValueError, match="add up"):
        records.add(part._replace(blob=part.blob[:-1]))
    assert records.open_stream_count == 0
    records.add(part)
    assert records.lost_slice_count == 0


def test_lost_worker_takes_its_open_streams_along() -> None:
    records = assembler()
    for worker in (0, 1):
        writer = SliceWriter(worker)
        for handle in range(3):
            writer.on_head(exchange(handle))
        records.add(read_slice(writer.take(0) or []))
    assert records.drop_worker(0) == 3
    assert records.drop_worker(0) == 0
    assert records.drop_worker(9) == 0
    assert records.open_stream_count == 3


def test_raw_level_keeps_chunks_with_their_times() -> None:
    row = exchange()
    row.response_head = b"HTTP/1.1 200 OK\r\n\r\n"
    taken = assembled(row, reads_of(event("a") + DONE), keep_chunks=True)
    assert taken.raw is not None
    assert taken.raw[0].head == row.response_head
    assert taken.raw[0].chunks == [(1000, 100, event("a")[6:-2]), (1000, 0, b"[DONE]")]


def test_raw_level_keeps_bodies() -> None:
    row, failed = exchange(kind=BodyKind.JSON), exchange(status=500)
    for each in (row, failed):
        taken = assembled(each, reads_of(b"{", b"}"), keep_chunks=True)
        assert taken.raw is not None
        assert b"".join(chunk.data for chunk in taken.raw[0].chunks) == b"{}"


# Any split of the bytes


DEPENDS_ON_READS = {
    "first_content_ns", "first_output_ns", "second_content_ns", "last_content_ns",
    "first_content_width_ns", "last_content_width_ns", "shared_chunk_count",
}  # fmt: skip
"""Besides the gaps. Every other column is a matter of the bytes alone."""

PIECES = st.sampled_from(
    [
        *(event(""), event("a "), event("é b "), reasoning("r "), STOP, usage(9, 4), usage(0, 0), DONE, b": ping\n\n"),
        *(
            b"data: {oops}\n\n",
            b'event: error\r\ndata: "no"\r\n\r\n',
            b'data: {"error":{"message":"x"}}\n\n',
            b"data: {",
        ),
        event("c ").replace(b"\n", b"\r"),
    ]
)
BODIES = st.lists(PIECES, max_size=8).map(b"".join) | st.binary(max_size=30)


def cut(data: st.DataObject, length: int) -> list[tuple[int, int]]:
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, length), max_size=6))), length]
    return list(pairwise(edges))


@settings(max_examples=200)
@given(
    body=BODIES,
    status=st.sampled_from([200, 200, 200, 500]),
    kind=st.sampled_from(BodyKind),
    outcome=st.sampled_from([Outcome.COMPLETED, Outcome.COMPLETED, Outcome.CENSORED]),
    data=st.data(),
)
def test_any_split_into_reads_and_slices_gives_the_same_record(
    body: bytes, status: int, kind: BodyKind, outcome: Outcome, data: st.DataObject
) -> None:
    row = exchange(status=status, kind=kind, outcome=outcome)
    whole = assembled(row, [(1000, 900, body)], keep_chunks=True)
    reads = [(1000 + start, 900, body[start:stop]) for start, stop in cut(data, len(body))]
    one_slice = assembled(row, reads, keep_chunks=True)
    for name in Facts._fields:
        if name not in DEPENDS_ON_READS:
            assert one_slice.facts[name] == whole.facts[name], name
    assert one_slice.error_texts == whole.error_texts
    counts = one_slice.facts[0]
    if counts["content_chunk_count"]:
        assert len(one_slice.gaps_ns) == counts["content_chunk_count"] - counts["shared_chunk_count"] - 1
        assert one_slice.gaps_ns.sum() == counts["last_content_ns"] - counts["first_content_ns"]

    records, writer = assembler(keep_chunks=True), SliceWriter(3)
    writer.on_head(row)
    for start, stop in cut(data, len(reads)):
        for read in reads[start:stop]:
            writer.on_read(row, *read)
        if frames := writer.take(0):
            records.add(read_slice(frames))
    writer.on_end(row)
    records.add(read_slice(writer.take(0) or []))
    many_slices = records.take()
    assert many_slices is not None
    assert np.array_equal(many_slices.facts, one_slice.facts)
    assert np.array_equal(many_slices.gaps_ns, one_slice.gaps_ns)
    assert many_slices[3:] == one_slice[3:]
