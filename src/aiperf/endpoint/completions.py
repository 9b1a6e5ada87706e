"""The text completions dialect: `/v1/completions`.

Owns: the request body and the meaning of chunks and bodies. Does not own: SSE framing, when anything arrived. Bytes in,
`Delta` out.
Source: OpenAI API reference, "Completions (legacy)".
"""

from typing import Any

import msgspec

from aiperf.endpoint.dialect import Delta, RequestContent, RequestOptions
from aiperf.endpoint.server_error import error_line
from aiperf.endpoint.usage import UsageObject


class _Choice(msgspec.Struct, gc=False):
    text: str | None = None
    finish_reason: Any = None


class _Answer(msgspec.Struct, gc=False):
    """A chunk or a whole body: they have the same shape."""

    choices: list[_Choice] | None = None
    usage: UsageObject | None = None
    error: Any = None
    object: str | None = None
    message: Any = None


_decode = msgspec.json.Decoder(_Answer).decode
_encode = msgspec.json.Encoder().encode

# A NamedTuple's own constructor is a Python-level function, and this is called for every chunk.
_new_delta = tuple.__new__


class Completions:
    """The dialect of `/v1/completions`."""

    path = "/v1/completions"

    def request_body(self, content: RequestContent, options: RequestOptions) -> bytes:
        """The JSON body: our keys, then the plan's extras, then the line's; where they meet, the later value stands."""
        body: dict[str, Any] = {"model": options.model, "prompt": self.prompt_text(content)}
        if content.max_tokens is not None:
            body["max_tokens"] = content.max_tokens
        body["stream"] = options.streaming
        if options.streaming and options.include_usage:
            body["stream_options"] = {"include_usage": True}
        return _encode(body | dict(options.extra) | dict(content.extra))

    def prompt_text(self, content: RequestContent) -> str:
        """The prompt. Messages, which this dialect does not know, become the plain texts of their contents."""
        if content.messages is None:
            return content.text or ""
        contents = (message.get("content") for message in content.messages)
        return "".join(text for text in contents if isinstance(text, str))

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
    text = ""
    finished = False
    for choice in answer.choices or ():
        text += choice.text or ""
        if choice.finish_reason:
            finished = True
    return _new_delta(Delta, (text, "", "", finished, usage, None))
