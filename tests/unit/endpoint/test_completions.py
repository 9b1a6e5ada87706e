import json

import pytest

from aiperf.endpoint.completions import Completions
from aiperf.endpoint.dialect import Delta, RequestContent, RequestOptions, Usage
from aiperf.endpoint.dialects import DIALECTS

COMPLETIONS = Completions()


def test_request_body() -> None:
    options = RequestOptions(model="m", streaming=True, extra={"seed": 1})
    content = RequestContent(text="t", max_tokens=5, extra={"seed": 2})
    assert COMPLETIONS.request_body(content, options) == (
        b'{"model":"m","prompt":"t","max_tokens":5,"stream":true,"stream_options":{"include_usage":true},"seed":2}'
    )


def test_stream_options_only_when_streaming() -> None:
    body = COMPLETIONS.request_body(RequestContent(text="t"), RequestOptions(model="m", streaming=False))
    assert body == b'{"model":"m","prompt":"t","stream":false}'


def test_messages_become_their_texts() -> None:
    messages = ({"role": "system", "content": "a"}, {"role": "user", "content": "b"})
    assert COMPLETIONS.prompt_text(RequestContent(messages=messages)) == "ab"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"choices": [{"index": 0, "text": "a", "finish_reason": None}]}, Delta("a")),
        ({"choices": [{"text": "a"}, {"text": "b"}]}, Delta("ab")),
        ({"choices": [{"text": "", "finish_reason": "stop"}]}, Delta(finished=True)),
        ({"choices": [], "usage": {"prompt_tokens": 1}}, Delta(usage=Usage(1))),
        ({"error": {"message": "no"}}, Delta(error="no")),
        ({"object": "error", "message": "no"}, Delta(error="no")),
    ],
)
def test_events_and_bodies_have_one_shape(event: dict[str, object], expected: Delta) -> None:
    data = json.dumps(event).encode()
    assert COMPLETIONS.decode_event(data) == expected
    assert COMPLETIONS.decode_body(data) == expected


def test_body_without_choices_is_refused() -> None:
    with pytest.raises(ValueError, match="choices"):
        COMPLETIONS.decode_body(b"{}")


def test_dialects_by_name() -> None:
    assert {name: dialect.path for name, dialect in DIALECTS.items()} == {
        "chat": "/v1/chat/completions",
        "completions": "/v1/completions",
    }
