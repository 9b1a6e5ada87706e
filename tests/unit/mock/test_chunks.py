import json

from hypothesis import given
from hypothesis import strategies as st

from aiperf.dataset.tokens import open_tokenizer
from aiperf.mock.chunks import TALE, Voice, content_chunks, text_of

PLAIN = Voice(True, "m", 0, False, 0)
TOKENIZER = open_tokenizer("builtin")


def contents(chunks):
    return [json.loads(chunk)["choices"][0]["delta"] for chunk in chunks]


@given(st.integers(0, 300))
def test_one_word_is_one_token_of_the_built_in_tokenizer(tokens):
    assert len(TOKENIZER.encode(text_of(0, tokens))) == tokens


@given(st.integers(0, 300), st.integers(1, 9))
def test_the_chunks_make_up_the_whole_text(tokens, tokens_per_chunk):
    deltas = contents(content_chunks(PLAIN, tokens, tokens_per_chunk))
    assert "".join(delta["content"] for delta in deltas) == text_of(0, tokens)
    assert all(len(delta["content"].split()) == tokens_per_chunk for delta in deltas[:-1])


@given(st.integers(0, 60), st.integers(0, 70), st.integers(1, 9))
def test_reasoning_is_exactly_the_first_tokens(tokens, reasoning_tokens, tokens_per_chunk):
    voice = PLAIN._replace(reasoning_tokens=reasoning_tokens)
    deltas = contents(content_chunks(voice, tokens, tokens_per_chunk))
    reasoning = "".join(delta.get("reasoning_content", "") for delta in deltas)
    assert reasoning == text_of(0, min(reasoning_tokens, tokens))
    assert reasoning + "".join(delta.get("content", "") for delta in deltas) == text_of(0, tokens)


@given(st.integers(1, 200), st.integers(1, 9))
def test_arguments_of_a_tool_call_are_valid_json(tokens, tokens_per_chunk):
    deltas = contents(content_chunks(PLAIN._replace(tool_calls=True), tokens, tokens_per_chunk))
    arguments = "".join(delta["tool_calls"][0]["function"]["arguments"] for delta in deltas)
    assert json.loads(arguments) == {"text": text_of(0, tokens)}


def test_the_words_begin_again_when_they_are_over():
    length = len(TALE.split())
    assert text_of(0, length + 2) == f"{TALE} the sun"
