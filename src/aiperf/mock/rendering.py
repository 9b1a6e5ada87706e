"""Puts answers together: SSE and HTTP framing, and what every fault does to the bytes and their order.

Owns: streams and whole bodies as writes. Does not own: the JSON in them (`chunks`), the delays in ns (`latency`),
sending (`server`). Pure: what is asked for, faults and settings in, an `Answer` out.

Faults that spoil what the other end reads change bytes. Faults that cut an answer end it at the instant when its next
chunk would have been due, so that what was sent before has arrived.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from aiperf.mock import chunks
from aiperf.mock.answer import AT_ONCE, EVENT_STREAM, JSON, Answer, Ending, plain_answer, response_head
from aiperf.mock.behaviour import Behaviour
from aiperf.mock.chunks import USAGE_MARK, Voice
from aiperf.mock.faults import STRIKES_STREAM, Fault, Faults, describe, find
from aiperf.mock.request import Asked
from aiperf.units import NS_PER_S

TRUNCATED_BYTES = 4096
"""By how much `truncated-body` overstates the content length."""


def render(asked: Asked, faults: Faults, behaviour: Behaviour) -> Answer:
    """The answer to what is asked for, as harmed by the faults."""
    if error := find(faults, "error"):
        body = chunks.error_object(f"the mock server was told to fail with {error.status}", error.status)
        return plain_answer(error.status, body, fault=error, close=find(faults, "connection-close") is not None)
    form = _form(asked, faults)
    strike = find(faults, *STRIKES_STREAM)
    answer = Answer(200, Ending.CLOSE if form.close else Ending.KEEP, describe(faults))
    answer.tokens = 0 if find(faults, "empty") else asked.tokens
    if find(faults, "continue"):
        answer.add(b"HTTP/1.1 100 Continue\r\n\r\n", AT_ONCE)
    if find(faults, "early-hints"):
        answer.add(b"HTTP/1.1 103 Early Hints\r\nlink: </hint>; rel=preload\r\n\r\n", AT_ONCE)
    if strike and _cuts(strike) and strike.after == 0:
        answer.tokens = 0
        _cut(answer, strike, 0, 0)
    elif asked.streaming:
        _add_stream(answer, asked, faults, behaviour, form)
    else:
        _add_whole(answer, asked, faults, behaviour, form)
    return answer


class _Form(NamedTuple):
    """How the body is framed."""

    newline: bytes
    chunked: bool
    until_close: bool
    truncated: bool
    close: bool
    slow_ns: int
    """The head takes this long."""
    extra_kb: int

    def coded(self, data: bytes) -> bytes:
        """The data as a part of the body."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data

    def event(self, data: bytes) -> bytes:
        """The data as one server-sent event."""
        return _event(data, self.newline, self.chunked)

    def lone_event(self, data: bytes) -> bytes:
        """The same of data that does not come again."""
        return _event.__wrapped__(data, self.newline, self.chunked)

    def head(self, content_type: bytes, length: int) -> bytes:
        """`length` only counts if neither chunks nor the close tell where the body ends."""
        stated = -1 if self.until_close else length + TRUNCATED_BYTES if self.truncated else length
        return response_head(
            200, content_type, length=stated, chunked=self.chunked, close=self.close, extra_kb=self.extra_kb
        )


@lru_cache(maxsize=4096)
def _event(data: bytes, newline: bytes, chunked: bool) -> bytes:
    """Cached because words repeat: long answers share their writes."""
    event = b"data: " + data + newline + newline
    return b"%x\r\n%b\r\n" % (len(event), event) if chunked else event


def _form(asked: Asked, faults: Faults) -> _Form:
    truncated, until_close = find(faults, "truncated-body") is not None, find(faults, "until-close") is not None
    wants_chunks = asked.streaming or find(faults, "chunked-body") is not None
    slow, huge = find(faults, "slow-headers"), find(faults, "huge-headers")
    return _Form(
        newline=b"\r\n" if find(faults, "crlf") else b"\r" if find(faults, "cr") else b"\n",
        chunked=wants_chunks and not truncated and not until_close,
        until_close=until_close,
        truncated=truncated,
        close=truncated or until_close or find(faults, "connection-close") is not None,
        slow_ns=(slow.delay_ns or NS_PER_S) if slow else 0,
        extra_kb=huge.kb if huge else 0,
    )


def _cuts(strike: Fault) -> bool:
    """The fault ends the answer before it is complete."""
    return strike.name in ("reset-mid-stream", "close-mid-stream") or (strike.name == "stall" and not strike.seconds)


def _cut(answer: Answer, strike: Fault, step: int, delay_ns: int) -> None:
    """Ends the answer in the way of the fault, when chunk `step` would be due."""
    if strike.name != "stall" or not answer.frames:  # an answer has at least one write, if only of nothing
        answer.add(b"", step, delay_ns)
    if strike.name == "stall":
        answer.ending = Ending.HANG
        return
    answer.ending = Ending.RESET if strike.name == "reset-mid-stream" else Ending.CLOSE


def _open(answer: Answer, head: bytes, form: _Form) -> bytes:
    """The part of the head that goes with the first write: all of it, unless it is to come slowly, byte by byte."""
    if not form.slow_ns:
        return head
    for position in range(len(head)):
        answer.add(head[position : position + 1], AT_ONCE, form.slow_ns * position // len(head))
    return b""


def _voice(asked: Asked, behaviour: Behaviour) -> Voice:
    tool_calls = behaviour.tool_calls and asked.chat
    return Voice(asked.chat, asked.model, behaviour.reasoning_tokens, tool_calls, behaviour.chunk_bytes)


def _finish_reason(asked: Asked, voice: Voice) -> str:
    return "tool_calls" if voice.tool_calls else "length" if asked.limited else "stop"


def _add_stream(answer: Answer, asked: Asked, faults: Faults, behaviour: Behaviour, form: _Form) -> None:
    voice = _voice(asked, behaviour)
    strike = find(faults, *STRIKES_STREAM)
    events = [form.event(each) for each in chunks.content_chunks(voice, answer.tokens, behaviour.tokens_per_chunk)]
    if strike:
        events = _struck(events, strike, form)
        if _cuts(strike) or strike.name == "error-event":
            intact_count = max(0, len(events) - (strike.name == "error-event"))
            answer.tokens = min(answer.tokens, intact_count * behaviour.tokens_per_chunk)
    tail = _tail(asked, voice, faults, strike, form)
    opening = _open(answer, form.head(EVENT_STREAM, sum(map(len, events)) + sum(map(len, tail))), form)
    if behaviour.role_chunk and asked.chat:
        opening += form.event(chunks.role_chunk(voice))
        if behaviour.role_chunk_early:
            answer.add(opening, AT_ONCE, form.slow_ns)
            opening = b""
    step = -1
    groups = _groups(events, behaviour.events_per_write)
    for number, group in enumerate(groups):
        step += len(group)
        written = (opening if number == 0 else b"") + b"".join(group)
        delay_ns = form.slow_ns + _stalled_ns(strike, step)
        if number < len(groups) - 1 or (strike and _cuts(strike)):
            answer.add(written, max(step, 0), delay_ns)
        elif tail.usage:
            answer.fill = _usage_filler(written, tail, form, voice, answer.tokens)
            answer.add(None, max(step, 0), delay_ns)
        else:
            answer.add(written + tail.finish + tail.closing, max(step, 0), delay_ns)
    if strike and _cuts(strike):
        _cut(answer, strike, step + 1, form.slow_ns)


def _struck(events: list[bytes], strike: Fault, form: _Form) -> list[bytes]:
    """The content events, with that one spoiled or those dropped that the fault concerns."""
    if _cuts(strike):
        return events[: strike.after]
    if not events or strike.name == "stall":
        return events
    place = min(strike.after, len(events) - 1)
    match strike.name:
        case "malformed-json":
            return [*events[:place], form.event(b'{"id":"chatcmpl-mock","choices":[{"delta":'), *events[place + 1 :]]
        case "not-sse":
            page = form.coded(b"<html>502 Bad Gateway</html>" + form.newline * 2)
            return [*events[:place], page, *events[place + 1 :]]
        case _:
            error = chunks.error_object("the mock server failed inside the stream", 500)
            return [*events[:place], form.event(error)]


class _Tail(NamedTuple):
    """What follows the last content and leaves with it."""

    finish: bytes
    usage: bytes
    """JSON of the usage chunk, the numbers still to be filled in; or nothing."""
    closing: bytes


def _tail(asked: Asked, voice: Voice, faults: Faults, strike: Fault | None, form: _Form) -> _Tail:
    done = b"" if find(faults, "no-done") else form.event(b"[DONE]")
    closing = done + (b"0\r\n\r\n" if form.chunked else b"")
    if strike and strike.name == "error-event":
        return _Tail(b"", b"", closing)
    reason = chunks.finish_chunk(voice, _finish_reason(asked, voice))
    finish = b"" if find(faults, "no-finish") else form.event(reason)
    return _Tail(finish, chunks.usage_chunk(voice) if asked.with_usage else b"", closing)


def _groups(events: list[bytes], size: int) -> list[list[bytes]]:
    """The events of each write. At least one write, if only for the tail."""
    return [events[i : i + size] for i in range(0, len(events), size)] or [[]]


def _stalled_ns(strike: Fault | None, step: int) -> int:
    return strike.delay_ns if strike and strike.name == "stall" and step >= strike.after else 0


def _usage_filler(written: bytes, tail: _Tail, form: _Form, voice: Voice, tokens: int) -> Callable[[int, bytes], bytes]:
    """Makes the last write of a stream: content, finish, usage and the closing."""
    before = written + tail.finish

    def fill(prompt_tokens: int, account: bytes) -> bytes:
        counts = chunks.usage_bytes(voice, prompt_tokens, tokens, account)
        event = form.lone_event if account else form.event
        return before + event(tail.usage.replace(USAGE_MARK, counts)) + tail.closing

    return fill


def _add_whole(answer: Answer, asked: Asked, faults: Faults, behaviour: Behaviour, form: _Form) -> None:
    voice = _voice(asked, behaviour)
    strike = find(faults, *STRIKES_STREAM)
    tokens = answer.tokens
    body = chunks.whole_body(voice, tokens, _finish_reason(asked, voice), asked.with_usage)
    if strike:
        body = _struck_body(body, strike)
    step = max(0, -(-tokens // behaviour.tokens_per_chunk) - 1)
    delay_ns = form.slow_ns + _stalled_ns(strike, max(step, strike.after if strike else 0))

    def written(body: bytes) -> bytes:
        length = len(body) + (TRUNCATED_BYTES if strike and _cuts(strike) else 0)
        closing = b"0\r\n\r\n" if form.chunked and not (strike and _cuts(strike)) else b""
        return _open(answer, form.head(JSON, length), form) + form.coded(body) + closing

    if (
        USAGE_MARK not in body or form.slow_ns
    ):  # a slow head is split beforehand: such an answer reports 0 prompt tokens
        answer.add(written(body.replace(USAGE_MARK, chunks.usage_bytes(voice, 0, tokens))), step, delay_ns)
    else:
        answer.fill = lambda prompt, account: written(
            body.replace(USAGE_MARK, chunks.usage_bytes(voice, prompt, tokens, account))
        )
        answer.add(None, step, delay_ns)
    if strike and _cuts(strike):
        _cut(answer, strike, step, delay_ns)


def _struck_body(body: bytes, strike: Fault) -> bytes:
    """The whole body as the fault spoils it; of one that is cut, the first half is sent."""
    match strike.name:
        case "stall" if strike.seconds:
            return body
        case "malformed-json" | "reset-mid-stream" | "close-mid-stream" | "stall":
            return body[: len(body) // 2]
        case "not-sse":
            return b"<html>502 Bad Gateway</html>"
        case _:
            return chunks.error_object("the mock server failed", 500)
