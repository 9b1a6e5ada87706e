import json

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.mock.answer import Ending
from aiperf.mock.behaviour import Behaviour
from aiperf.mock.faults import KNOWN, parse_faults
from aiperf.mock.rendering import render
from aiperf.mock.request import Asked

PROMPT_TOKENS = 7


class Reader:
    """What an HTTP client makes of an answer."""

    def __init__(self, answer):
        self.body, self.complete, self.status = b"", False, 0
        self.parser = httptools.HttpResponseParser(self)
        self.parser.feed_data(
            b"".join(answer.fill(PROMPT_TOKENS, b"") if frame is None else frame for frame in answer.frames)
        )

    def on_body(self, data):
        self.body += data

    def on_message_complete(self):
        self.status, self.complete = self.parser.get_status_code(), True

    @property
    def words(self):
        events = [line[6:] for line in self.body.decode().splitlines() if line.startswith("data: {")]
        choices = [choice for event in events for choice in json.loads(event)["choices"]]
        return "".join(choice.get("delta", {}).get("content", "") or choice.get("text", "") for choice in choices)


def asked(*, chat=True, streaming=True, tokens=5, with_usage=True):
    return Asked(chat, streaming, "m", tokens, True, with_usage)


@given(
    st.booleans(),
    st.integers(0, 300),
    st.integers(1, 7),
    st.integers(1, 5),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_any_stream_is_complete_and_has_each_token_once(chat, tokens, per_chunk, per_write, usage, role, early):
    behaviour = Behaviour(
        tokens_per_chunk=per_chunk, events_per_write=per_write, role_chunk=role, role_chunk_early=early
    )
    answer = render(asked(chat=chat, tokens=tokens, with_usage=usage), (), behaviour)
    reader = Reader(answer)
    assert reader.complete
    assert len(reader.words.split()) == tokens == answer.tokens
    assert (b"prompt_tokens" in reader.body) == usage
    chunk_count = -(-tokens // per_chunk)
    assert answer.steps[-1] == max(chunk_count - 1, 0)
    assert answer.steps == sorted(answer.steps)
    assert len([step for step in answer.steps if step >= 0]) == max(1, -(-chunk_count // per_write))


@given(st.booleans(), st.integers(0, 50), st.booleans())
def test_any_whole_body_is_complete(chat, tokens, usage):
    reader = Reader(render(asked(chat=chat, streaming=False, tokens=tokens, with_usage=usage), (), Behaviour()))
    body = json.loads(reader.body)
    assert reader.complete
    assert ("usage" in body) == usage
    if usage:
        assert body["usage"]["prompt_tokens"] == PROMPT_TOKENS
        assert body["usage"]["completion_tokens"] == tokens


@given(st.sampled_from(sorted(KNOWN)), st.booleans(), st.integers(0, 5), st.integers(0, 8))
def test_every_fault_leaves_an_answer_that_can_be_sent(name, streaming, tokens, after):
    spec = f"{name};after={after}" if "after" in KNOWN[name][0] else name
    answer = render(asked(streaming=streaming, tokens=tokens), parse_faults(spec), Behaviour())
    assert answer.frames or answer.ending == Ending.HANG
    assert len(answer.frames) == len(answer.steps) == len(answer.delays_ns)
    assert answer.fault == name
    assert answer.tokens <= tokens


@pytest.mark.parametrize("name", ["reset-mid-stream", "close-mid-stream"])
@given(tokens=st.integers(1, 20), after=st.integers(0, 25))
def test_a_cut_stream_ends_when_its_next_chunk_would_be_due(name, tokens, after):
    answer = render(asked(tokens=tokens), parse_faults(f"{name};after={after}"), Behaviour())
    assert answer.frames[-1] == b""
    assert answer.steps[-1] == min(after, tokens)
    assert answer.tokens == min(after, tokens)
    assert answer.ending == (Ending.RESET if name == "reset-mid-stream" else Ending.CLOSE)
    reader = Reader(answer)
    assert not reader.complete
    assert len(reader.words.split()) == min(after, tokens)


def test_long_answers_share_their_chunks():
    answer = render(asked(tokens=10_000, with_usage=False), (), Behaviour())
    assert len({id(frame) for frame in answer.frames}) < 200
