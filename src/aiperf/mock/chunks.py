"""The JSON of an answer: the objects of the OpenAI API, filled with deterministic words, one word for one token.

Owns: the text and every JSON object of chat completions and completions. Does not own: SSE and HTTP framing, order and
time of sends (`answer`). Pure.

Ids and creation times are fixed, so that the same request gets the same bytes in every run.
"""

import json
from functools import lru_cache
from typing import Any, NamedTuple

TALE = (
    "the sun moved over a small field and the light left the house near the road to the sea which they had made the "
    "night before while their children could work with the old stone and no one there would turn back or stop when the "
    "cold rain was so slow and still from the north in the morning"
)
"""Words of one token each for the built-in tokenizer too, so that a client that counts for itself agrees."""
WORDS = TALE.split()
CREATED_S = 1_735_689_600


class Voice(NamedTuple):
    """What stays the same in all chunks of an answer."""

    chat: bool
    model: str
    reasoning_tokens: int
    tool_calls: bool
    chunk_bytes: int


def text_of(first: int, stop: int) -> str:
    """The words of the tokens `first` … `stop - 1`."""
    return "".join((" " if i else "") + WORDS[i % len(WORDS)] for i in range(first, stop))


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _chunk(voice: Voice, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-mock" if voice.chat else "cmpl-mock",
        "object": "chat.completion.chunk" if voice.chat else "text_completion",
        "created": CREATED_S,
        "model": voice.model,
        "choices": choices,
    }


def _delta_chunk(voice: Voice, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    return compact(_chunk(voice, [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]))


def _text_chunk(voice: Voice, text: str, finish_reason: str | None = None) -> bytes:
    return compact(_chunk(voice, [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}]))


def role_chunk(voice: Voice) -> bytes:
    """The chat chunk that says who speaks and nothing else."""
    return _delta_chunk(voice, {"role": "assistant", "content": ""})


@lru_cache(maxsize=65536)
def content_chunk(
    voice: Voice, reasoning: str, content: str, tool_start: bool = False, tool_end: bool = False
) -> bytes:
    """A chunk with text. With tool calls, `content` goes into the arguments; start and end make them valid JSON."""
    bare = _content_chunk(voice, reasoning, content, tool_start, tool_end)
    padding = "x" * (voice.chunk_bytes - len(bare) - len(b"data: \n\n"))
    if not padding:
        return bare
    if content:
        return _content_chunk(voice, reasoning, content + padding, tool_start, tool_end)
    return _content_chunk(voice, reasoning + padding, content, tool_start, tool_end)


def _content_chunk(voice: Voice, reasoning: str, content: str, tool_start: bool, tool_end: bool) -> bytes:
    if not voice.chat:
        return _text_chunk(voice, reasoning + content)
    delta: dict[str, Any] = {}
    if reasoning:
        delta["reasoning_content"] = reasoning
    if content and voice.tool_calls:
        call: dict[str, Any] = {"index": 0}
        function = {"arguments": ('{"text":"' if tool_start else "") + content + ('"}' if tool_end else "")}
        if tool_start:
            call |= {"id": "call_mock", "type": "function"}
            function["name"] = "tell"
        delta["tool_calls"] = [call | {"function": function}]
    elif content:
        delta["content"] = content
    return _delta_chunk(voice, delta)


def content_chunks(voice: Voice, tokens: int, tokens_per_chunk: int) -> list[bytes]:
    """The JSON of all chunks that carry the answer's tokens."""
    reasoning_stop = min(voice.reasoning_tokens, tokens) if voice.chat else 0
    chunks, period = [], len(WORDS)
    for first in range(0, tokens, tokens_per_chunk):
        stop = min(first + tokens_per_chunk, tokens)
        middle = min(max(first, reasoning_stop), stop)
        # Words repeat, so that a long answer shares its chunks: only the first of all lacks the leading blank.
        shift = max(0, first - period) // period * period
        reasoning, content = text_of(first - shift, middle - shift), text_of(middle - shift, stop - shift)
        tool = voice.tool_calls and voice.chat
        starts, ends = tool and middle == reasoning_stop and middle < stop, tool and stop == tokens
        chunks.append(content_chunk(voice, reasoning, content, starts, ends))
    return chunks


def finish_chunk(voice: Voice, reason: str) -> bytes:
    return _delta_chunk(voice, {}, reason) if voice.chat else _text_chunk(voice, "", reason)


USAGE_MARK = b'"usage":null'
"""Stands in prebuilt bytes for the usage of a request, so that nothing need be encoded to fill it in."""


def usage_bytes(voice: Voice, prompt_tokens: int, tokens: int, account: bytes = b"") -> bytes:
    """What to put in the place of `USAGE_MARK`. `account`: when the writes left, as numbers between commas."""
    reasoning = min(voice.reasoning_tokens, tokens) if voice.chat else 0
    details = b',"completion_tokens_details":{"reasoning_tokens":%d}' % reasoning if reasoning else b""
    if account:
        details += b',"aiperf_sent_after_ns":[%b]' % account
    counts = b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d%b}'
    return counts % (prompt_tokens, tokens, prompt_tokens + tokens, details)


def usage_chunk(voice: Voice) -> bytes:
    """The last chunk of a stream: no choices, the usage to be filled in."""
    return compact(_chunk(voice, []) | {"usage": None})


def whole_body(voice: Voice, tokens: int, finish_reason: str, with_usage: bool) -> bytes:
    """The JSON of a non-streamed answer; the usage to be filled in."""
    middle = min(voice.reasoning_tokens, tokens) if voice.chat else 0
    content = text_of(middle, tokens)
    choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": finish_reason}
    if not voice.chat:
        choice["text"] = content
    else:
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if middle:
            message["reasoning_content"] = text_of(0, middle)
        if voice.tool_calls and content:
            function = {"name": "tell", "arguments": json.dumps({"text": content})}
            message["tool_calls"] = [{"id": "call_mock", "type": "function", "function": function}]
            message["content"] = None
        choice["message"] = message
    body = _chunk(voice, [choice]) | ({"usage": None} if with_usage else {})
    return compact(body | {"object": "chat.completion"} if voice.chat else body)


def error_object(message: str, status: int) -> bytes:
    """The API's error object."""
    return compact({"error": {"message": message, "type": "mock_error", "param": None, "code": status}})


def model_list(model: str) -> bytes:
    entry = {"id": model, "object": "model", "created": CREATED_S, "owned_by": "aiperf"}
    return compact({"object": "list", "data": [entry]})
