"""What a dialect of the OpenAI API is: how a request body is written and what a response says.

Owns: the protocol that `chat` and `completions` implement, and the plain data on both of its sides.
Pure: bytes in, data out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class RequestContent:
    """One turn as the dataset describes it. Exactly one of `text` and `messages` is set."""

    text: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    max_tokens: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields of this line of the input file that go into the body as they are; they win over the plan's extras."""


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What all requests of a run share."""

    model: str
    streaming: bool
    use_legacy_max_tokens: bool = False
    """`max_tokens` instead of `max_completion_tokens` (chat)."""
    include_usage: bool = True
    """Ask for `stream_options.include_usage` when streaming."""
    extra: Mapping[str, Any] = field(default_factory=dict)


class Usage(NamedTuple):
    """Token counts as the server reports them; -1 where it does not."""

    prompt_tokens: int = -1
    completion_tokens: int = -1
    total_tokens: int = -1
    cached_tokens: int = -1
    reasoning_tokens: int = -1
    sent_after_ns: tuple[int, ...] = ()
    """The built-in server's own account (`aiperf.mock`): when it sent each part of the answer, counted from the arrival
    of the request. No other server gives it."""


class Delta(NamedTuple):
    """What one SSE event, or one whole JSON body, adds to the answer."""

    text: str = ""
    reasoning: str = ""
    tool_call: str = ""
    """Names and arguments of tool calls, as text to be counted."""
    finished: bool = False
    """It carries a finish reason."""
    usage: Usage | None = None
    error: str | None = None
    """The server's error object as one line of text."""


class Dialect(Protocol):
    """One API dialect. Implementations are stateless modules' classes in `chat` and `completions`."""

    path: str
    """Appended to the base URL unless `--custom-endpoint` says otherwise: `/v1/chat/completions`."""

    def request_body(self, content: RequestContent, options: RequestOptions) -> bytes:
        """The JSON body, UTF-8."""
        ...

    def prompt_text(self, content: RequestContent) -> str:
        """The text of the prompt whose tokens are counted as ISL."""
        ...

    def decode_event(self, data: bytes) -> Delta:
        """What the `data` of one SSE event adds.

        Raises: ValueError with a one-line reason if it is not of this dialect.
        """
        ...

    def decode_body(self, data: bytes) -> Delta:
        """What a whole non-streamed body says. Raises: ValueError with a one-line reason."""
        ...
