import json

import hypothesis.strategies as st
import pytest
from hypothesis import given

from aiperf.endpoint.dialect import Delta
from aiperf.endpoint.dialects import DIALECTS
from aiperf.endpoint.exchange import BodyKind
from aiperf.record.answer import Answer
from aiperf.record.chunk_template import TRIES, ChunkTemplate
from aiperf.record.known_reads import KnownReads
from aiperf.record.stream import ResponseBody, response_body

CHAT = DIALECTS["chat"]


def chunk(text: str, field: str = "content", **fields: object) -> bytes:
    """The data of one event, in the shape and spacing of most servers."""
    body = fields | {"choices": [{"index": 0, "delta": {field: text}, "finish_reason": None}]}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def in_stream(event: bytes) -> bytes:
    return b"data: " + event + b"\n\n"


def learnt(event: bytes) -> ChunkTemplate:
    template = ChunkTemplate()
    template.learn(event, CHAT.decode_event)
    return template


def test_a_chunk_of_the_learnt_form_is_read_with_its_own_text() -> None:
    assert learnt(chunk("one", id="x")).text_of(in_stream(chunk(" two", id="x"))) == " two"


def test_reasoning_is_read_as_reasoning() -> None:
    template = learnt(chunk("hm", "reasoning_content"))
    assert template.text_of(in_stream(chunk("so", "reasoning_content"))) == "so"
    assert template.is_reasoning
    assert template.text_of(in_stream(chunk("so"))) == ""


def test_nothing_is_read_before_something_was_learnt() -> None:
    assert ChunkTemplate().text_of(in_stream(chunk("x"))) == ""
    assert ChunkTemplate().text_of(b"") == ""


@pytest.mark.parametrize("text", ["", 'a"b', "a\\b", "a\nb", "a\rb", "\x7f", "\u2028", "\ud7ff"])
def test_a_text_that_might_be_read_otherwise_is_left_to_the_parser(text: str) -> None:
    template = learnt(chunk("x"))
    assert template.text_of(in_stream(chunk("x")).replace(b'"x"', b'"' + text.encode() + b'"')) == ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        in_stream(chunk("y"))[:-1],
        in_stream(chunk("y")) + b"\n",
        in_stream(chunk("y")) * 2,
        in_stream(chunk("y", id="other")),
        in_stream(chunk("y")).replace(b"data: ", b"data:"),
        in_stream(chunk("y")).replace(b'"y"', b'"\xff"'),
        b": a comment\n\n" + in_stream(chunk("y")),
    ],
)
def test_what_is_not_one_whole_chunk_of_the_learnt_form_is_left_to_the_parser(data: bytes) -> None:
    assert learnt(chunk("x")).text_of(data) == ""


def test_a_chunk_that_says_more_than_its_text_is_no_model() -> None:
    for more in ({"usage": {"prompt_tokens": 1}}, {"error": {"message": "x"}}):
        assert learnt(chunk("x", **more)).text_of(in_stream(chunk("y", **more))) == ""
    finished = chunk("x").replace(b'"finish_reason":null', b'"finish_reason":"stop"')
    assert learnt(finished).text_of(in_stream(finished)) == ""


def test_a_text_that_also_stands_elsewhere_in_the_chunk_is_not_taken_for_it() -> None:
    other = b'{"object":"chat","choices":[{"delta":{"content":"chat"}}]}'
    assert learnt(other).text_of(in_stream(other.replace(b'"content":"chat"', b'"content":"y"'))) == ""


def test_servers_that_change_every_chunk_are_given_up_on() -> None:
    template, decoded = ChunkTemplate(), []

    def decode(data: bytes) -> Delta:
        decoded.append(data)
        return CHAT.decode_event(data)

    for number in range(10 * TRIES):
        event = chunk("x", nonce=number)
        assert template.text_of(in_stream(event)) == ""
        template.learn(event, decode)
    assert len(decoded) <= 2 * TRIES


TEXTS = st.text(max_size=12) | st.sampled_from([" token", "é", "中", '"', "\\", "\n", "data: ", "probe", "content"])


@given(model=TEXTS, texts=st.lists(TEXTS), dialect=st.sampled_from(sorted(DIALECTS)), ascii_only=st.booleans())
def test_what_a_template_reads_is_what_the_dialect_decodes(
    model: str, texts: list[str], dialect: str, ascii_only: bool
) -> None:
    def event(text: str) -> bytes:
        choice = {"text": text} if dialect == "completions" else {"delta": {"content": text}}
        return json.dumps({"id": "probe", "choices": [choice]}, ensure_ascii=ascii_only).encode(errors="replace")

    decode = DIALECTS[dialect].decode_event
    template = ChunkTemplate()
    template.learn(event(model), decode)
    for text in texts:
        read = template.text_of(in_stream(event(text)))
        assert read in ("", text)
        assert not read or decode(event(text)) == Delta(text=text)


# In a stream: an `Answer` that keeps its chunks parses every one of them, and is what the others are held against.

PIECES = st.sampled_from(
    [
        in_stream(chunk("a")), in_stream(chunk(" b")), in_stream(chunk('"')), in_stream(chunk("think", "reasoning")),
        in_stream(chunk("")), in_stream(chunk("c", id="new")), in_stream(chunk("d")).replace(b"\n", b"\r\n"),
        in_stream(chunk("e")).replace(b"\n", b"\r"), in_stream(chunk("f")) * 2, in_stream(chunk("g"))[:20],
        in_stream(chunk("g"))[20:], b": still there\n\n", b"\n", b"\r", b"data: {\n\n", b"data: [DONE]\n\n",
        in_stream(b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'),
        in_stream(chunk("h")).replace(b"null", b'"stop"'), b"event: error\ndata: {}\n\n",
    ]
)  # fmt: skip


def told(body: ResponseBody, reads: list[bytes]) -> dict[str, object]:
    for number, data in enumerate(reads, 1):
        body.read(1000 * number, 1000 * number - 100, data)
    body.conclude()
    answer = body.answer
    names = set(Answer.__slots__) - {"chunks", "gaps_ns"}
    return {name: getattr(answer, name) for name in names} | {"gaps_ns": list(answer.gaps_ns)}


@given(streams=st.lists(st.lists(PIECES, max_size=30), max_size=4))
def test_streams_say_the_same_with_what_is_known_and_without(streams: list[list[bytes]]) -> None:
    known = KnownReads(CHAT.decode_event)
    for reads in streams:
        quick, slow = (
            response_body(
                200,
                BodyKind.EVENT_STREAM,
                Answer(keeps_text=True, keeps_chunks=keeps_chunks),
                CHAT,
                known,
                streaming=True,
            )
            for keeps_chunks in (False, True)
        )
        assert told(quick, reads) == told(slow, reads)


def test_a_stream_of_equal_chunks_is_hardly_parsed() -> None:
    decoded = 0

    class Counting:
        path = ""

        def decode_event(self, data: bytes) -> Delta:
            nonlocal decoded
            decoded += 1
            return CHAT.decode_event(data)

    body = response_body(
        200,
        BodyKind.EVENT_STREAM,
        Answer(keeps_text=True, keeps_chunks=False),
        Counting(),  # type: ignore[arg-type]
        KnownReads(CHAT.decode_event),
        streaming=True,
    )
    for number in range(1000):
        body.read(1000 * number, 1000 * number - 100, in_stream(chunk(f" word{number}")))
    assert body.answer.content_chunk_count == 1000
    assert body.answer.output_text.decode().split() == [f"word{number}" for number in range(1000)]
    assert decoded < 10
