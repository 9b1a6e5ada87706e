"""What a client asks of the mock server: body and headers of one request, understood.

Owns: the reading of OpenAI request bodies as far as the mock needs it. Pure: bytes in, `Asked` out. Does not own: the
answer, nor HTTP framing.
"""

from typing import Any, NamedTuple

import msgspec

from aiperf.mock.behaviour import Behaviour

CHAT_PATH = b"/v1/chat/completions"
COMPLETIONS_PATH = b"/v1/completions"
TOKENS_MAX = 1_000_000


class Asked(NamedTuple):
    """Everything that decides the bytes of an answer, save the number of prompt tokens. Answers are cached by it."""

    chat: bool
    streaming: bool
    model: str
    tokens: int
    limited: bool
    """The request set the number of tokens: the finish reason is `length`, not `stop`."""
    with_usage: bool


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = False


class _Message(msgspec.Struct):
    content: Any = None


class _Body(msgspec.Struct):
    model: str = ""
    stream: bool | None = False
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream_options: _StreamOptions | None = None
    messages: list[_Message] = []
    prompt: Any = None


_decode_body = msgspec.json.Decoder(_Body).decode


def understand(chat: bool, body: bytes, behaviour: Behaviour, prompt_tokens: int) -> tuple[Asked, int]:
    """What is asked for, and how many prompt tokens `usage` shall report.

    `prompt_tokens` is the number the client wants to see (header `x-mock-prompt-tokens`); if it is negative, the words
    of the prompt are counted, taken as separated by single blanks. 0 if no usage is reported anyway.
    Raises: ValueError with a one-line reason if the body is not a request.
    """
    wanted = _decode_body(body)  # msgspec.DecodeError is a ValueError
    limit = wanted.max_completion_tokens if wanted.max_completion_tokens is not None else wanted.max_tokens
    if limit is not None and not 0 <= limit <= TOKENS_MAX:
        raise ValueError(f"max_tokens must be between 0 and {TOKENS_MAX}")
    streaming = bool(wanted.stream)
    options = wanted.stream_options
    wants_usage = not streaming or (options is not None and bool(options.include_usage))
    with_usage = behaviour.gives_account or (behaviour.report_usage and wants_usage)
    if not with_usage:
        prompt_tokens = 0
    elif prompt_tokens < 0:
        prompt_tokens = sum(_words(message.content) for message in wanted.messages) if chat else _words(wanted.prompt)
    tokens = behaviour.default_tokens if limit is None else limit
    tokens = min(tokens, behaviour.tokens_max or tokens)
    return Asked(chat, streaming, wanted.model or behaviour.model, tokens, limit is not None, with_usage), prompt_tokens


def _words(content: Any) -> int:
    """Words of a text, a list of texts, a list of token ids, or a list of content parts."""
    match content:
        case str():
            return content.count(" ") + 1 if content else 0
        case list():
            return sum(1 if isinstance(part, int) else _words(part) for part in content)
        case {"text": text}:
            return _words(text)
    return 0
