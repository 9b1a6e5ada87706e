"""Reads that were seen before: they mean what they meant, and nothing else is taken for them."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given

from aiperf.endpoint.dialect import Delta, Usage
from aiperf.endpoint.dialects import DIALECTS
from aiperf.record import known_reads
from aiperf.record.known_reads import KnownRead, KnownReads

CHAT = DIALECTS["chat"]
DONE = b"data: [DONE]\n\n"


def event(**fields: object) -> bytes:
    return b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"


def chunk(text: str, response_id: str = "a", **delta: object) -> bytes:
    return event(id=response_id, choices=[{"delta": {"content": text} | delta, "finish_reason": None}])


def answer(text: str, response_id: str, completion_tokens: int = 1) -> bytes:
    usage = {"prompt_tokens": 5, "completion_tokens": completion_tokens}
    return chunk("", response_id) + chunk(text, response_id) + event(id=response_id, choices=[], usage=usage) + DONE


class Counting:
    """The dialect, counting what it is asked."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, data: bytes) -> Delta:
        self.count += 1
        return CHAT.decode_event(data)


def test_a_read_that_differs_in_its_id_alone_is_known() -> None:
    decode = Counting()
    known = KnownReads(decode)
    first = known.find(answer("yes", "chatcmpl-1"))
    asked = decode.count
    assert known.find(answer("yes", "chatcmpl-2")) == first
    assert decode.count == asked
    assert first == KnownRead(
        contents=(Delta(text="yes"),),
        ends_with_content=False,
        event_count=4,
        usage=Usage(5, 1),
        is_finished=False,
        is_done=True,
    )


def test_a_read_that_differs_in_anything_else_is_not_taken_for_it() -> None:
    known = KnownReads(CHAT.decode_event)
    known.find(answer("yes", "x"))
    assert known.find(answer("no", "x")).contents == (Delta(text="no"),)  # type: ignore[union-attr]
    assert known.find(answer("yes", "x", 7)).usage == Usage(5, 7)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b": a comment\n\n",
        b"\xef\xbb\xbf" + chunk("x"),
        chunk("x")[:-1],
        chunk("x").replace(b"\n", b"\r\n"),
        b"data: {\n\n",
        b"data: \n\n",
        b"event: error\n" + chunk("x"),
        event(error={"message": "no"}),
        DONE + chunk("x"),
        event(choices=[{"delta": {"tool_calls": [{"id": "call", "function": {"arguments": {"id": "x"}}}]}}]),
        chunk("x" * known_reads.LIMIT_BYTES),
    ],
)
def test_what_is_not_of_the_simple_kind_is_left_to_the_parser(data: bytes) -> None:
    known = KnownReads(CHAT.decode_event)
    assert known.find(data) is None
    assert known.find(data) is None


def test_an_id_that_a_dialect_looks_at_is_none_to_pass_over() -> None:
    def decode(data: bytes) -> Delta:
        return Delta(text=json.loads(data)["id"])

    known = KnownReads(decode)
    assert known.find(event(id="one")) is None
    assert known.find(event(id="two")) is None


def test_a_server_that_never_repeats_itself_is_given_up_on() -> None:
    decode = Counting()
    known = KnownReads(decode)
    for number in range(3 * known_reads.PATIENCE):
        known.find(chunk(f"word {number}"))
    assert decode.count <= 2 * known_reads.PATIENCE
    assert len(known._known) <= known_reads.KNOWN_MAX


@given(
    texts=st.lists(st.text(max_size=5) | st.sampled_from(['"id":"a"', 'id":"a"', "a", "0"]), max_size=6),
    ids=st.lists(st.text(max_size=4) | st.sampled_from(["a", "0", "chatcmpl-1"]), min_size=1, max_size=6),
)
def test_what_is_known_is_what_the_dialect_decodes(texts: list[str], ids: list[str]) -> None:
    known = KnownReads(CHAT.decode_event)
    for text in texts:
        for response_id in ids:
            found = known.find(chunk(text, response_id))
            assert found is not None
            assert found.contents == ((Delta(text=text),) if text else ())
