"""The chat completions dialect: `/v1/chat/completions`.

Owns: the request body and the meaning of chunks and bodies, with what vLLM, SGLang, TGI and the hosted services add.
Does not own: SSE framing, when anything arrived. Bytes in, `Delta` out.
Source: OpenAI API reference, "Chat" and "Chat streaming".
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from aiperf.endpoint.dialect import Delta, RequestContent, RequestOptions
from aiperf.endpoint.server_error import error_line
from aiperf.endpoint.usage import UsageObject


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: Any = None
    """A string by the reference; some servers send the object itself."""


class _ToolCall(msgspec.Struct, gc=False):
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    """`delta` of a chunk, `message` of a body."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    """What newer servers call `reasoning_content`; some send both, with the same text."""
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: Any = None


class _Answer(msgspec.Struct, gc=False):
    """A chunk or a whole body: they differ in `delta` and `message` alone."""

    choices: list[_Choice] | None = None
    usage: UsageObject | None = None
    error: Any = None
    object: str | None = None
    message: Any = None


_decode = msgspec.json.Decoder(_Answer).decode
_encode = msgspec.json.Encoder().encode

# A NamedTuple's own constructor is a Python-level function, and this is called for every chunk.
_new_delta = tuple.__new__


class Chat:
    """The dialect of `/v1/chat/completions`."""

    path = "/v1/chat/completions"

    def request_body(self, content: RequestContent, options: RequestOptions) -> bytes:
        """The JSON body: our keys, then the plan's extras, then the line's; where they meet, the later value stands."""
        messages: Any = content.messages
        if messages is None:
            messages = [{"role": "user", "content": content.text or ""}]
        body: dict[str, Any] = {"model": options.model, "messages": messages}
        if content.max_tokens is not None:
            body["max_tokens" if options.use_legacy_max_tokens else "max_completion_tokens"] = content.max_tokens
        body["stream"] = options.streaming
        if options.streaming and options.include_usage:
            body["stream_options"] = {"include_usage": True}
        return _encode(body | dict(options.extra) | dict(content.extra))

    def prompt_text(self, content: RequestContent) -> str:
        """The contents of all messages, one after another, without roles and template."""
        if content.messages is None:
            return content.text or ""
        return "".join(_text_of(message.get("content")) for message in content.messages)

    def decode_event(self, data: bytes) -> Delta:
        """What a chunk adds. An object without `choices` adds nothing: gateways send such as signs of life."""
        return _delta(_decode(data))

    def decode_body(self, data: bytes) -> Delta:
        """What a whole body says. Here `choices` must be there, for nothing else follows."""
        answer = _decode(data)
        delta = _delta(answer)
        if answer.choices is None and delta.error is None:
            raise ValueError("the body has no `choices`")
        return delta


def _delta(answer: _Answer) -> Delta:
    usage = answer.usage.counts() if answer.usage is not None else None
    if answer.error:
        return Delta(usage=usage, error=error_line(answer.error))
    if answer.object == "error":
        return Delta(usage=usage, error=error_line(answer.message))
    text = reasoning = tool_call = ""
    finished = False
    for choice in answer.choices or ():
        if choice.finish_reason:
            finished = True
        message = choice.delta or choice.message
        if message is None:
            continue
        content = message.content
        if content:
            text += content if content.__class__ is str else _text_of(content)
        if message.refusal:
            text += message.refusal
        thought = message.reasoning_content or message.reasoning
        if thought:
            reasoning += thought if thought.__class__ is str else _text_of(thought)
        if message.tool_calls or message.function_call:
            tool_call += _calls_text(message)
    return _new_delta(Delta, (text, reasoning, tool_call, finished, usage, None))


def _calls_text(message: _Message) -> str:
    """Names and arguments as they follow one another; "" for a fragment that carries neither."""
    functions = [call.function for call in message.tool_calls or ()] + [message.function_call]
    return "".join(
        (function.name or "") + _json_text(function.arguments) for function in functions if function is not None
    )


def _json_text(arguments: Any) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return _encode(arguments).decode()


def _text_of(content: Any) -> str:
    """The text in a message's `content`: a string, or a list of parts of which only those with text have some."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return ""
    texts = (part.get("text") or part.get("refusal") if isinstance(part, Mapping) else part for part in content)
    return "".join(text for text in texts if isinstance(text, str))
