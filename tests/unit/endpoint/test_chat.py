import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from aiperf.endpoint.chat import Chat
from aiperf.endpoint.dialect import Delta, RequestContent, RequestOptions, Usage

CHAT = Chat()
STREAMING = RequestOptions(model="m", streaming=True)
WHOLE = RequestOptions(model="m", streaming=False)


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": [choice]} | fields).encode()


def body(message: dict[str, Any], **fields: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice]} | fields).encode()


def test_text_becomes_one_user_message() -> None:
    assert CHAT.request_body(RequestContent(text="hé"), WHOLE) == (
        '{"model":"m","messages":[{"role":"user","content":"hé"}],"stream":false}'.encode()
    )


def test_messages_go_as_they_are() -> None:
    messages = ({"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "t"}]})
    sent = json.loads(CHAT.request_body(RequestContent(messages=messages), WHOLE))
    assert sent["messages"] == list(messages)


def test_streaming_asks_for_usage() -> None:
    assert CHAT.request_body(RequestContent(text="t", max_tokens=5), STREAMING) == (
        b'{"model":"m","messages":[{"role":"user","content":"t"}],"max_completion_tokens":5,"stream":true,'
        b'"stream_options":{"include_usage":true}}'
    )


def test_usage_is_not_asked_for_when_not_wanted() -> None:
    options = RequestOptions(model="m", streaming=True, include_usage=False)
    assert "stream_options" not in json.loads(CHAT.request_body(RequestContent(text="t"), options))


def test_legacy_name_of_max_tokens() -> None:
    options = RequestOptions(model="m", streaming=False, use_legacy_max_tokens=True)
    sent = json.loads(CHAT.request_body(RequestContent(text="t", max_tokens=5), options))
    assert sent["max_tokens"] == 5
    assert "max_completion_tokens" not in sent


def test_line_wins_over_plan_and_plan_over_ours() -> None:
    options = RequestOptions(model="m", streaming=False, extra={"model": "plan", "temperature": 1, "seed": 1})
    content = RequestContent(text="t", extra={"temperature": 2, "top_k": 3})
    assert CHAT.request_body(content, options) == (
        b'{"model":"plan","messages":[{"role":"user","content":"t"}],"stream":false,"temperature":2,"seed":1,"top_k":3}'
    )


def test_prompt_text_is_all_contents() -> None:
    messages = (
        {"role": "system", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "image_url", "image_url": {}}, "c"]},
        {"role": "assistant", "content": None},
    )
    assert CHAT.prompt_text(RequestContent(messages=messages)) == "abc"
    assert CHAT.prompt_text(RequestContent(text="t")) == "t"


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"content": "a"}, Delta("a")),
        ({"role": "assistant", "content": ""}, Delta()),
        ({"role": "assistant", "content": None}, Delta()),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, Delta("ab")),
        ({"content": [None, 5, {"text": 7}]}, Delta()),
        ({"refusal": "no"}, Delta("no")),
        ({"reasoning_content": "r"}, Delta(reasoning="r")),
        ({"reasoning": "r"}, Delta(reasoning="r")),
        ({"reasoning_content": "r", "reasoning": "r"}, Delta(reasoning="r")),
        ({"content": "a", "reasoning": "r"}, Delta("a", "r")),
        ({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]}, Delta(tool_call="f")),
        ({"tool_calls": [{"index": 0, "function": {"arguments": '{"x"'}}]}, Delta(tool_call='{"x"')),
        ({"tool_calls": [{"index": 0, "id": "c", "function": {"name": None, "arguments": ""}}]}, Delta()),
        ({"tool_calls": [{"index": 0}]}, Delta()),
        ({"tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}, Delta(tool_call='f{"x":1}')),
        ({"function_call": {"name": "f", "arguments": "{}"}}, Delta(tool_call="f{}")),
        ({}, Delta()),
    ],
)
def test_what_a_delta_carries(delta: dict[str, Any], expected: Delta) -> None:
    assert CHAT.decode_event(chunk(delta)) == expected


def test_finish_reason_finishes() -> None:
    assert CHAT.decode_event(chunk({}, "length")) == Delta(finished=True)


def test_usage_chunk_has_no_content() -> None:
    usage = {
        "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 8}, "completion_tokens_details": {"reasoning_tokens": 3},
    }  # fmt: skip
    event = json.dumps({"choices": [], "usage": usage}).encode()
    assert CHAT.decode_event(event) == Delta(usage=Usage(10, 5, 15, 8, 3))


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 1, "prompt_tokens_details": None}, Usage(prompt_tokens=1)),
        ({"completion_tokens": 4.0, "reasoning_tokens": 2}, Usage(completion_tokens=4, reasoning_tokens=2)),
        ({"prompt_cache_hit_tokens": 3}, Usage(cached_tokens=3)),
        ({"prompt_tokens": 10**30, "completion_tokens": -7, "total_tokens": 1e300}, Usage()),
    ],
)
def test_usage_of_other_servers(usage: dict[str, Any], expected: Usage) -> None:
    assert CHAT.decode_event(chunk({}, usage=usage)).usage == expected


def test_all_choices_count() -> None:
    choices = [{"index": index, "delta": {"content": text}} for index, text in enumerate(("a", "b"))]
    assert CHAT.decode_event(json.dumps({"choices": choices}).encode()) == Delta("ab")


@pytest.mark.parametrize(
    "event",
    [
        {"error": {"message": "no room", "type": "server_error", "code": 500}},
        {"object": "error", "message": "no room", "type": "BadRequestError", "code": 400},
        {"error": "no room", "error_type": "overloaded"},
    ],
)
def test_error_objects(event: dict[str, Any]) -> None:
    assert CHAT.decode_event(json.dumps(event).encode()) == Delta(error="no room")


def test_error_null_is_none() -> None:
    assert CHAT.decode_event(chunk({"content": "a"}, error=None)) == Delta("a")


@pytest.mark.parametrize(
    "data", [b"{", b"", b"5", b'"text"', b'{"choices":5}', b'{"choices":[{"delta":"a"}]}', b"\xff"]
)
def test_what_is_no_chunk_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        CHAT.decode_event(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["text", "message"]), inner, max_size=2)
    ),
    max_leaves=4,
)
MESSAGE = st.dictionaries(st.sampled_from(["content", "reasoning", "refusal", "tool_calls", "function_call"]), JSON)
CHOICE = st.fixed_dictionaries({}, optional={"delta": MESSAGE, "message": MESSAGE, "finish_reason": JSON})
ANSWER = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(CHOICE, max_size=2) | JSON,
        "usage": st.dictionaries(st.sampled_from(["prompt_tokens", "prompt_tokens_details"]), JSON) | JSON,
        "error": JSON,
        "object": st.just("error") | JSON,
        "message": JSON,
    },
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(ANSWER)
def test_whatever_a_server_sends_is_a_delta_or_refused(answer: dict[str, Any]) -> None:
    for decode in (CHAT.decode_event, CHAT.decode_body):
        try:
            delta = decode(json.dumps(answer).encode())
        except ValueError:
            continue
        assert all(isinstance(text, str) for text in delta[:3])
        assert delta.error is None or isinstance(delta.error, str)
        assert all(-1 <= count < 1 << 53 for count in (delta.usage or ())[:-1])


def test_object_without_choices_adds_nothing() -> None:
    assert CHAT.decode_event(b'{"type":"ping"}') == Delta()


def test_body() -> None:
    message = {"role": "assistant", "content": "a", "reasoning_content": "r"}
    delta = CHAT.decode_body(body(message, usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}))
    assert delta == Delta("a", "r", finished=True, usage=Usage(1, 2, 3))


def test_body_with_error() -> None:
    assert CHAT.decode_body(b'{"error":{"message":"no"}}').error == "no"


def test_body_without_choices_is_refused() -> None:
    with pytest.raises(ValueError, match="choices"):
        CHAT.decode_body(b'{"detail":"hello"}')
